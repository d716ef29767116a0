import Glibc
import Testing

@testable import CausewayMessaging

@Suite("Messages beyond 4 GiB", .serialized)
struct HugeTests {
  private static let byteCount = (1 << 32) + (1 << 20) + 3
  /// Where a number of 32 bits would end, with and without a sign.
  private static let places = [0, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, byteCount - 1]

  /// What the machine can still give, in bytes.
  static var available: Int {
    guard let file = unsafe fopen("/proc/meminfo", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while unsafe fgets(&line, CInt(line.count), file) != nil {
      let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
      if words.first == "MemAvailable:", words.count > 1 { return (Int(words[1]) ?? 0) << 10 }
    }
    return 0
  }

  @Test("one goes through whole, and truncation tells its length", .enabled(if: available > 8 << 30, "it takes 5 GiB of memory"))
  func whole() async throws {
    let pair = try await Pair.connected(tls: "posix")
    let (out, into) = (try Untouched(Self.byteCount), try Untouched(Self.byteCount))
    for (index, place) in Self.places.enumerated() { out[place] = UInt8(index + 1) }
    async let sent: Void = unsafe pair.client.send(out.constant, tag: 1)
    let error = await #expect(throws: MessagingError.self) { _ = try await pair.server.receive(into: MessageBuffer(count: 1), tag: 1) }
    #expect(error?.byteCount == Self.byteCount)
    let received = try await unsafe pair.server.receive(into: into.bytes, tag: 1)
    try await sent
    #expect(received.byteCount == Self.byteCount)
    for (index, place) in Self.places.enumerated() { #expect(into[place] == UInt8(index + 1), "at \(place)") }
    #expect(into[(1 << 32) - 2] == 0)
    #expect(try pair.client.counters().bytesSent == UInt64(Self.byteCount))
    #expect(try pair.endpoint.counters().bytesReceived == UInt64(Self.byteCount))
    try await pair.close()
  }

  /// Memory that costs nothing until it is written.
  // @unchecked Sendable: a constant; the test and UCX touch the bytes in turns.
  @safe private final class Untouched: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(_ count: Int) throws {
      let base = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
      guard let base = unsafe base, unsafe base != MAP_FAILED else { throw Failed(errno) }
      unsafe bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    // SAFETY: the buffer checks its bounds in debug builds, and the places are this file's.
    subscript(place: Int) -> UInt8 {
      get { unsafe bytes[place] }
      set { unsafe bytes[place] = newValue }
    }

    var constant: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(bytes) }

    deinit { unsafe munmap(bytes.baseAddress, bytes.count) }
  }
}
