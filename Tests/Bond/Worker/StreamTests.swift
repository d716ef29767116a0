import CausewayBase
import CausewayBondCore
import Testing

@testable import CausewayBond

@Suite struct StreamTests {
  @Test("pauses double from 0.2 s to 5 s, and start again after a connection that worked")
  func backoff() {
    var backoff = ReconnectBackoff()
    let now = Instant(nanoseconds: 1_000_000_000)
    let pauses = (0..<7).map { _ in backoff.ended(at: now).nanoseconds - now.nanoseconds }
    #expect(pauses == [200, 400, 800, 1600, 3200, 5000, 5000].map { $0 * 1_000_000 })
    backoff.worked()
    #expect(backoff.ended(at: now).nanoseconds == 1_200_000_000)
  }

  @Test("a number never means another connection than it did, and never a UDP socket")
  func numbers() {
    var numbers = StreamNumbers()
    var seen: Set<UInt32> = []
    for _ in 0..<1000 {
      guard let number = numbers.take() else { return #expect(Bool(false), "there is room") }
      #expect(number >= StreamNumbers.first)
      #expect(seen.insert(number).inserted)
      #expect(numbers.isCurrent(number))
      numbers.give(number)
    }
  }

  @Test("the table has an end")
  func numbersEnd() {
    var numbers = StreamNumbers()
    let all = (0..<StreamNumbers.limit).compactMap { _ in numbers.take() }
    #expect(Set(all).count == StreamNumbers.limit)
    #expect(numbers.take() == nil)
    numbers.give(all[5])
    let next = numbers.take()
    #expect(next != nil && next != all[5])
  }

  /// A run as the engine leaves it, and what a stream should carry for it.
  private static func run(_ lengths: [Int], withMagic: Bool) -> (bytes: [UInt8], wire: [UInt8]) {
    var bytes: [UInt8] = []
    var wire: [UInt8] = withMagic ? [0x43, 0x77, 0x42, 0x31] : []
    for (index, length) in lengths.enumerated() {
      let datagram = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) }
      bytes += datagram
      wire += [UInt8(length >> 8), UInt8(length & 255)] + datagram
    }
    return (bytes, wire)
  }

  @Test(
    "a run becomes messages with lengths, the magic once, and the rest after any number of sent bytes is exact",
    arguments: [[148], [1440, 1440, 1440, 600], [32, 32], Array(repeating: 1023, count: 64)], [true, false])
  func framing(lengths: [Int], withMagic: Bool) {
    var (bytes, wire) = Self.run(lengths, withMagic: withMagic)
    let output = StreamOutput()
    // SAFETY: the array outlives the list's use.
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      unsafe output.frame(buffer.baseAddress!, count: buffer.count, segmentByteCount: lengths[0], withMagic: withMagic)
      #expect(output.byteCount == wire.count)
      #expect(output.pieceCount == 2 * lengths.count)
      for skipped in [0, 1, 3, 5, 6, 7, wire.count / 2, wire.count - 1, wire.count] {
        var rest = [UInt8](repeating: 0, count: wire.count - skipped + 1)
        unsafe rest.withUnsafeMutableBufferPointer { target in unsafe output.copy(after: skipped, to: target.baseAddress!) }
        #expect(Array(rest.dropLast()) == Array(wire[skipped...]))
        #expect(rest.last == 0, "nothing is written behind it")
      }
    }
  }
}
