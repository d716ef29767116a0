import CausewayBase
import Testing

@testable import CausewayTunnelCore

/// Who sends next, and how much at a time.
@Suite struct FairnessTests {
  /// A relay whose streams may send without limit.
  private func relay(bulk count: Int, of byteCount: Int) throws -> Session {
    let session = Session.attached(.relay) { $0.maximumWindow = 1 << 30 }
    for id in 1...UInt32(count) {
      #expect(session.open(1) == id)
      _ = try session.feed(Wire.acknowledge(id, received: 0, credit: 1 << 29))
      session.write(id, byteCount - 1)
    }
    return session
  }

  @Test("a small stream leaves before the next frames of a bulk one") func smallFirst() throws {
    let session = try relay(bulk: 1, of: 4 << 20)
    for _ in 0..<5 { _ = session.sent(upTo: 65536) }
    let small = try #require(session.open(100))
    let frames = session.sent(upTo: 65536)
    #expect(frames.first?.stream == small)
  }

  @Test("a small stream among many bulk ones waits for none of them", arguments: [2, 10, 50])
  func smallAmongBulk(_ count: Int) throws {
    let session = try relay(bulk: count, of: 200_000)
    for _ in 0..<count { _ = session.sent(upTo: 65536) }
    for _ in 0..<20 {
      let small = try #require(session.open(1000))
      let position = session.sent(upTo: 65536).firstIndex { $0.stream == small }
      #expect(position == 0)
    }
  }

  @Test("a bulk stream alone fills its frames; frames are cut while others wait, and never exceed 64 KiB") func frameSizes() throws {
    let alone = try relay(bulk: 1, of: 1 << 20)
    let single = alone.sent()
    #expect(single.allSatisfy { $0.byteCount <= 65536 } && single.dropLast().allSatisfy { $0.byteCount == 65536 })
    let shared = try relay(bulk: 3, of: 1 << 20)
    let frames = shared.sent(upTo: 2 << 20)
    #expect(frames.allSatisfy { $0.dataByteCount <= 16384 })
  }

  @Test("a target is exceeded by one frame at most", arguments: [1, 1000, 65536, 100_000])
  func target(_ target: Int) throws {
    let session = try relay(bulk: 2, of: 1 << 20)
    let frames = session.sent(upTo: target, withPings: true)
    let total = frames.map(\.byteCount).reduce(0, +)
    #expect(total >= target && total - frames.last!.byteCount < target)
  }

  @Test("bulk streams share evenly", arguments: [2, 5, 20]) func evenShares(_ count: Int) throws {
    let session = try relay(bulk: count, of: 1 << 20)
    var shares = [UInt32: Int]()
    for _ in 0..<count * 4 { for frame in session.sent(upTo: 65536) { shares[frame.stream, default: 0] += frame.dataByteCount } }
    #expect(shares.count == count && shares.values.max()! - shares.values.min()! <= 2 * 16384)
  }

  @Test("small streams that keep coming do not starve a bulk one") func noStarvation() throws {
    let session = try relay(bulk: 1, of: 1 << 20)
    _ = session.sent(upTo: 65536)
    var bulk = 0
    for turn in 0..<50 {
      for _ in 0..<10 { _ = session.open(1000, at: .ms(Double(turn))) }
      bulk += session.sent(upTo: 65536, at: .ms(Double(turn))).filter { $0.stream == 1 }.map(\.dataByteCount).reduce(0, +)
    }
    #expect(bulk > 50 * 16384)
  }

  @Test("a stream that talks a lot counts as bulk until it has been silent for 5 ms") func burst() throws {
    let session = try relay(bulk: 1, of: 1 << 20)
    let talker = try #require(session.open(20_000))
    _ = session.sent(upTo: 65536)
    session.write(talker, 100, at: .ms(1))
    #expect(session.sent(upTo: 16384, at: .ms(1)).first?.stream == 1)
    _ = session.sent(upTo: 65536, at: .ms(2))
    session.write(talker, 100, at: .ms(10))
    #expect(session.sent(upTo: 16384, at: .ms(10)).first?.stream == talker)
  }

  @Test("resets, acknowledgements and control are not blocked by credit or by data") func controlFirst() throws {
    let session = try relay(bulk: 2, of: 1 << 20)
    _ = session.sent(upTo: 65536)
    session.reset(2, .cancelled)
    session.sendControl([1, 2].span)
    _ = try session.feed(Wire.data(1, at: 0, [5]) + Wire.ping(3))
    #expect(session.sent(upTo: 1000).map(\.kind) == [6, 5, 3, 2, 1])
  }
}
