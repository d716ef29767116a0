import CausewayBase
import CausewayLinuxIO
import CausewayMessagingCore
import Glibc
import Testing

@testable import CausewayMessaging

/// Bytes that no correct peer sends: changed copies of what one sends, and noise. A seed replays a failure.
@Suite("Garbage in the handshake")
struct BootstrapFuzzTests {
  /// Changes a few bytes, or cuts, doubles or joins pieces.
  struct Mutator {
    var random: SeededRandom
    let originals: [[UInt8]]

    mutating func next() -> [UInt8] {
      var bytes = originals.randomElement(using: &random) ?? []
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        if bytes.isEmpty { bytes = [0] }
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes[place] = .random(in: 0...255, using: &random)
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
        case 3: bytes.removeSubrange(place...)
        case 4: bytes.insert(.random(in: 0...255, using: &random), at: place)
        case 5: bytes.remove(at: place)
        case 6: bytes += originals.randomElement(using: &random) ?? []
        default: bytes = (0..<place).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
      }
      return bytes
    }
  }

  static let messages: [BootstrapMessage] = {
    let version = BootstrapMessage.Version(
      proto: BootstrapMessage.protocolVersion, ucxMajor: 1, ucxMinor: 13, ucxPatch: 1, path: "/lib/libucp.so")
    let nonce = [UInt8](repeating: 9, count: 32)
    let introduction = BootstrapMessage.Introduction(
      code: nonce, connection: ConnectionAddress(identifier: 1, check: 2, grant: 3), worker: [UInt8](0...99))
    var readable = introduction
    readable.memory = MemoryPlace(host: MemoryPlace.thisHost, process: UInt32(getpid()), descriptor: 3, address: 1 << 46)
    readable.readsPeer = true
    return [
      .hello(.init(version: version, nonce: nonce, server: ServerID.none.bytes, sharing: MemoryPlace.thisHost, hasKey: true)),
      .challenge(.init(version: version, nonce: nonce, sharing: MemoryPlace.thisHost, wantsKey: false)), .proof(introduction),
      .welcome(introduction), .proof(readable),
      .welcome(readable),
      .refusal(.init(code: .versionMismatch, text: "why")), .goodbye, .reading,
    ]
  }()

  static func encoded(_ message: BootstrapMessage) -> [UInt8] {
    let buffer = ByteBuffer()
    message.encode(into: buffer)
    return buffer.bytes.indices.map { buffer.bytes[$0] }
  }

  @Test("no bytes trap the reader of handshakes, and what it reads it writes and reads alike", arguments: [1, 2, 3, 4] as [UInt64])
  func handshake(_ seed: UInt64) {
    var mutator = Mutator(random: SeededRandom(seed: seed), originals: Self.messages.map(Self.encoded))
    var read = 0
    for _ in 0..<25_000 {
      let bytes = mutator.next()
      guard case .message(let message, let count) = BootstrapMessage.parse(bytes.span) else { continue }
      read += 1
      if count > bytes.count { Issue.record("seed \(seed): \(bytes)") }
      let again = Self.encoded(message)
      if BootstrapMessage.parse(again.span) != .message(message, byteCount: again.count) { Issue.record("seed \(seed): \(bytes)") }
    }
    #expect(read > 1000)
  }

  @Test("nor the reader of addresses", arguments: [5, 6] as [UInt64])
  func addresses(_ seed: UInt64) throws {
    let blob = AddressBlob(
      ucxMajor: 1, ucxMinor: 13, server: .random(), host: AddressBlob.thisHost, name: "name", port: 4000,
      addresses: [.ipv4(0x0A00_0001, port: 4000), .ipv6(high: 1, low: 2, port: 4000)])
    var mutator = Mutator(random: SeededRandom(seed: seed), originals: [blob.encoded])
    var read = 0
    for _ in 0..<25_000 {
      let bytes = mutator.next()
      guard case .success(let blob) = AddressBlob.decode(bytes) else { continue }
      read += 1
      if (try? AddressBlob.decode(blob.encoded).get()) != blob { Issue.record("seed \(seed): \(bytes)") }
    }
    #expect(read > 1000)
  }

  @Test("a server that hears garbage at each step goes on with others", arguments: [7, 8] as [UInt64])
  func server(_ seed: UInt64) async throws {
    let engine = try Pair.engine(tls: "tcp")
    let peer = try Peer("smoke", "tls=tcp")
    let port = try #require(UInt16(peer.line()))
    var mutator = Mutator(random: SeededRandom(seed: seed), originals: Self.messages.map(Self.encoded))
    let hello = Self.encoded(
      .hello(
        .init(
          version: .init(
            proto: BootstrapMessage.protocolVersion, ucxMajor: UInt16(engine.library.major), ucxMinor: UInt16(engine.library.minor),
            ucxPatch: 0, path: ""), nonce: [UInt8](repeating: 9, count: 32), server: ServerID.none.bytes, sharing: engine.sharing,
          hasKey: false)))
    for index in 0..<200 {
      let socket = try PlainSocket(port: port, sending: (index & 1 == 0 ? hello : []) + mutator.next())
      withExtendedLifetime(socket) {}
    }
    // Whoever comes next gets its first order.
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port)
    #expect(String(decoding: try await client.receive(tag: 0xFFFF).buffer.array(), as: UTF8.self) == "send 1 0")
    engine.shutdown()
  }
}
