import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite struct ReassemblerTests {
  private func pieces(_ frame: [UInt8], limit: Int, sequence: UInt32) -> [[UInt8]] {
    guard let count = FragmentHeader.count(total: frame.count, pieceLimit: limit) else { return [] }
    return (0..<count).map { index in
      written { out in
        _ = FragmentHeader(total: frame.count, index: index, count: count, sequence: sequence)?.write(of: frame.span, into: &out)
      }
    }
  }

  private func frame(_ sequence: UInt32, _ length: Int) -> [UInt8] {
    let word = DataHeader(flags: .checksumPartial, bucket: 3, previous: 9, sequence: sequence).word
    return (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } + ipv4Packet(length, seed: UInt64(sequence))
  }

  private func give(_ reassembler: inout Reassembler, _ payload: [UInt8], path: UInt8 = 1, at now: Instant = .zero) -> (
    DataHeader, PacketSlot
  )? {
    guard case .fragment(let header, let piece) = try? frames(payload).get().first else { return nil }
    return reassembler.receive(header, payload.span.extracting(piece), path: PathID(path), at: now)
  }

  @Test("pieces in any order, twice, and mixed with others' make the packet", arguments: UInt64(1)...10)
  func anyOrder(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let pool = PacketPool(packetByteCount: 9000, limit: 256)
    var reassembler = Reassembler(pool: pool)
    var all: [(UInt8, [UInt8])] = []
    var expected: [UInt32: [UInt8]] = [:]
    for sequence in UInt32(1)...20 {
      let length = Int.random(in: 600...9000, using: &random)
      let whole = frame(sequence, length)
      expected[sequence] = whole
      // A copy over another path is cut elsewhere.
      for (path, limit) in [(UInt8(1), 1180), (2, 548)] { all += pieces(whole, limit: limit, sequence: sequence).map { (path, $0) } }
    }
    all += all.filter { _ in UInt8.random(in: 0...4, using: &random) == 0 }
    all.shuffle(using: &random)
    var found = Set<UInt32>()
    for (path, payload) in all {
      guard let (header, slot) = give(&reassembler, payload, path: path) else { continue }
      let bytes = pool.withPacket(slot) { $0.copied(0..<$0.count) }
      #expect(bytes == Array(expected[header.sequence]![8...]))
      #expect(header.previous == 9)
      #expect(header.flags == .checksumPartial)
      found.insert(header.sequence)
      pool.give(slot)
    }
    #expect(found.count == 20)
    reassembler.advance(to: .distantFuture)
    let lent = pool.lentCount
    #expect(lent == 0)
  }

  @Test("what stays incomplete goes after half a second, and room is for 64")
  func bounds() {
    let pool = PacketPool(packetByteCount: 9000, limit: 256)
    var reassembler = Reassembler(pool: pool)
    for sequence in UInt32(1)...100 {
      let first = pieces(frame(sequence, 1400), limit: 1180, sequence: sequence)[0]
      #expect(give(&reassembler, first, at: Instant(nanoseconds: UInt64(sequence) * 1000)) == nil)
    }
    var lent = pool.lentCount
    #expect(lent == 64)
    #expect(reassembler.abandonedCount == 36)
    #expect(reassembler.nextDeadline == Instant(nanoseconds: 37_000 + 500_000_000))
    reassembler.advance(to: Instant(nanoseconds: 40_000 + 500_000_000))
    lent = pool.lentCount
    #expect(lent == 60)
    reassembler.advance(to: .distantFuture)
    #expect(reassembler.nextDeadline == nil)
  }

  @Test("a whole that is no DATA frame, of another number, or too long is refused")
  func lies() {
    let pool = PacketPool(packetByteCount: 1440, limit: 256)
    var reassembler = Reassembler(pool: pool)
    func send(_ whole: [UInt8], sequence: UInt32) -> Bool {
      pieces(whole, limit: 800, sequence: sequence).contains { give(&reassembler, $0) != nil }
    }
    #expect(!send(frame(1, 1400), sequence: 2))
    #expect(!send([UInt8](repeating: 0x45, count: 1000), sequence: 3))
    #expect(!send(frame(4, 1400) + [0], sequence: 4))
    #expect(!send(frame(5, 1500), sequence: 5))
    #expect(reassembler.refusedCount == 3 + 2)
    #expect(reassembler.completedCount == 0)
    let lent = pool.lentCount
    #expect(lent == 0)
  }
}
