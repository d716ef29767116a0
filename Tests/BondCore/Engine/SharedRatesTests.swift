import CausewayBase
import Testing

@testable import CausewayBondCore

@Suite struct SharedRatesTests {
  private static func parts(of rate: UInt64, _ claims: [RateClaim]) -> [UInt64] {
    var list = InlineArray<8, RateClaim>(repeating: .none)
    for (index, claim) in claims.enumerated() { list[index] = claim }
    return claims.indices.map { RateDivision.part(of: rate, list, thread: $0, threads: claims.count) }
  }

  private static func claim(_ rate: UInt64, _ isHungry: Bool = false) -> RateClaim { RateClaim(bytesPerSecond: rate, isHungry: isHungry) }

  @Test("who wants all gets all but what the modest need; the hungry share equally; silent ones may begin")
  func division() {
    let (none, hungry) = (RateClaim.none, Self.claim(1, true))
    #expect(Self.parts(of: 1000, [none, none]) == [500, 500])
    #expect(Self.parts(of: 1000, [hungry, none]) == [1000, 250])
    #expect(Self.parts(of: 1000, [hungry, hungry]) == [500, 500])
    #expect(Self.parts(of: 1000, [hungry, Self.claim(200)]) == [700, 300])
    #expect(Self.parts(of: 1000, [hungry, hungry, Self.claim(100), none]) == [425, 425, 150, 125])
    #expect(Self.parts(of: 1000, [Self.claim(200), Self.claim(100)]) == [575, 425])
    // Whose wish is more than an equal part counts as hungry.
    #expect(Self.parts(of: 1000, [hungry, Self.claim(900)]) == [500, 500])
  }

  @Test("parts of threads that send add up to the rate, whatever they claim", arguments: [UInt64(1), 2, 3])
  func sums(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<2000 {
      let rate = UInt64.random(in: 1000...10_000_000_000, using: &random)
      let claims = (0..<Int.random(in: 1...8, using: &random)).map { _ in
        RateClaim(
          rawValue: Bool.random(using: &random) ? UInt64.random(in: 0...3 * rate, using: &random) : .random(in: 0...(.max), using: &random))
      }
      let parts = Self.parts(of: rate, claims)
      // Each may have the least part on top: enough to begin with.
      #expect(parts.reduce(0, +) <= rate + rate / 2 + 8, "\(rate) \(claims)")
      #expect(parts.reduce(0, +) >= rate - rate / 100 - 8, "\(rate) \(claims)")
      #expect(parts.allSatisfy { $0 >= rate / UInt64(2 * claims.count) })
    }
  }

  private static let rate: UInt64 = 8_000_000
  /// Of a packet of 400 bytes on the wire: padded to 416 with the frame's header, 32 around it.
  private static let datagram = 448.0

  /// Bits a second that queues of one side bring across.
  private func goodput(_ pair: ThreadedPair, packets: [Int], from side: Int, seconds: Int64 = 2) -> [Double] {
    var number: UInt32 = 0
    pair.run(for: .seconds(1))
    let send = {
      for queue in packets.indices {
        for _ in 0..<packets[queue] { pair.send(from: side, queue: queue, flow: UInt16(1000 + queue), number: number) }
      }
      number += 1
    }
    pair.run(for: .seconds(1), send, every: 1_000_000)
    pair.ends[1 - side].delivered = []
    pair.run(for: .seconds(seconds), send, every: 1_000_000)
    return packets.indices.map { queue in
      let count = pair.ends[1 - side].delivered.count { $0.flow == UInt16(1000 + queue) }
      return Double(count) * Self.datagram * 8 / Double(seconds)
    }
  }

  @Test("one flow has all of a fixed rate, whichever end it was fixed at and however many threads there are", arguments: [2, 8], [0, 1])
  func singleFlow(threads: Int, side: Int) {
    let pair = ThreadedPair(threads: [threads, threads], uplinks: 1) { end, settings in
      guard end == 0 else { return }
      settings.uplinks[0].rateUp = Self.rate
      settings.uplinks[0].rateDown = Self.rate
    }
    let sums = goodput(pair, packets: [4], from: side)
    #expect(sums[0] > 0.93 * Double(Self.rate) && sums[0] < 1.01 * Double(Self.rate), "\(sums)")
  }

  @Test("two busy threads have half each, and a modest one takes no more than it needs")
  func severalFlows() {
    func pair() -> ThreadedPair {
      ThreadedPair(threads: [2, 2], uplinks: 1) { end, settings in if end == 0 { settings.uplinks[0].rateUp = Self.rate } }
    }
    let equal = goodput(pair(), packets: [4, 4], from: 0)
    for part in equal { #expect(part > 0.45 * Double(Self.rate) && part < 0.55 * Double(Self.rate), "\(equal)") }
    // 400 packets a second are 1.4 Mbit/s.
    var tick = 0
    let mixed = pair()
    var number: UInt32 = 0
    mixed.run(for: .seconds(1))
    mixed.run(
      for: .seconds(4),
      {
        tick += 1
        for _ in 0..<4 { mixed.send(from: 0, queue: 0, flow: 1000, number: number) }
        if tick % 5 < 2 { mixed.send(from: 0, queue: 1, flow: 1001, number: number) }
        number += 1
      }, every: 1_000_000)
    let counts = [1000, 1001].map { flow in mixed.ends[1].delivered.count { Int($0.flow) == flow } }
    #expect(counts[1] > 1570, "\(counts)")
    let sum = Double(counts.reduce(0, +)) * Self.datagram * 8 / 4
    #expect(sum > 0.9 * Double(Self.rate) && sum < 1.02 * Double(Self.rate), "\(counts)")
  }

  @Test("threads that learn one link come to share it equally, however they began, and fill it", arguments: [2, 3])
  func learnedLink(threads: Int) {
    let pair = ThreadedPair(threads: [threads, threads], uplinks: 1)
    let rate = 1_000_000.0
    pair.bottleneck = rate
    var number: UInt32 = 0
    func send(_ queues: Range<Int>, _ seconds: Int64) {
      pair.run(
        for: .seconds(seconds),
        {
          for queue in queues { for _ in 0..<4 { pair.send(from: 0, queue: queue, flow: UInt16(1000 + queue), number: number) } }
          number += 1
        }, every: 1_000_000)
    }
    pair.run(for: .seconds(1))
    send(0..<1, 3)
    send(0..<threads, 5)
    pair.ends[1].delivered = []
    send(0..<threads, 3)
    let shares = (0..<threads).map { queue in
      Double(pair.ends[1].delivered.count { $0.flow == UInt16(1000 + queue) }) * Self.datagram / 3 / rate
    }
    #expect(shares.reduce(0, +) > 0.9, "\(shares)")
    for share in shares { #expect(abs(share * Double(threads) - 1) < 0.25, "\(shares)") }
  }

  @Test("a limit on a path is gone when the settings say so, and a path that goes leaves no claim behind")
  func changes() {
    var settings = PeerSettings(publicKey: ThreadedPair.publicKey(of: 1))
    let pair = ThreadedPair(threads: [2, 2], uplinks: 2) { end, mine in
      guard end == 0 else { return }
      mine.uplinks[0].rateUp = Self.rate
      mine.uplinks[1].rateUp = Self.rate / 2
      settings = mine
    }
    _ = goodput(pair, packets: [4, 4], from: 0, seconds: 1)
    let rates = settings.rates!
    #expect(rates.part(of: 1000, place: 0, thread: 0, threads: 2) == 500)
    let engine = pair.ends[0].engines[1]
    settings.uplinks[0].isRemoved = true
    try? engine.setPeer(ThreadedPair.peer, settings, at: pair.now)
    pair.run(for: .seconds(1))
    #expect(engine.peers[ThreadedPair.peer]?.paths.map(\.uplink) == [1])
    // The other one is silent too by now: it told so before it stopped looking.
    #expect(rates.part(of: 1000, place: 0, thread: 0, threads: 2) == 500)
    #expect(rates.part(of: 1000, place: 0, thread: 1, threads: 2) == 500)
  }
}
