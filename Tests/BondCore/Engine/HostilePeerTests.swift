import CausewayBase
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

/// A peer with valid keys may send anything. Nothing traps, nothing grows past its limit, nobody is kept busy, and others notice nothing.
@Suite("Engine: a hostile peer") struct HostilePeerTests {
  /// Honest traffic of the network's other peer beside what the hostile one does.
  private final class Story {
    let network: EngineNetwork
    let hostile: HostilePeer
    var number = 0
    var overgrown: Set<String> = []

    init(seed: UInt64, serverIsVictim: Bool, scheduler: SchedulerKind = .auto) {
      network = EngineNetwork(.init(seed: seed, scheduler: scheduler, parity: true, duplicates: true))
      network.open()
      hostile = HostilePeer(network, victim: serverIsVictim ? network.server : network.client, seed: seed)
    }

    func step(_ duration: Duration) {
      for end in [network.client, network.server] { network.offer(to: end, number: number, byteCount: 300) }
      number += 1
      hostile.offer(byteCount: 100 + number % 5 * 300, number: number)
      hostile.turn(duration)
      for name in hostile.overgrown { overgrown.insert(name) }
    }

    /// It falls silent, and then is removed: what the others have is as if it never had been.
    func end(_ location: SourceLocation = #_sourceLocation) {
      #expect(overgrown.isEmpty, sourceLocation: location)
      #expect(hostile.malformedCount == 0, "what the victim says is well formed", sourceLocation: location)
      hostile.obeys = false
      network.run(for: .seconds(12))
      let steps = network.stepCount
      network.run(for: .seconds(10))
      #expect(network.stepCount - steps < 3000, "nobody is woken for nothing", sourceLocation: location)
      #expect(hostile.overgrown.isEmpty, sourceLocation: location)
      number = network.exchange(for: .seconds(1), every: .milliseconds(10), from: number)
      network.run(for: .seconds(1))
      for end in [network.client, network.server] {
        #expect(network.complaint(at: end, of: number, isOrdered: false) == nil, sourceLocation: location)
        #expect(end.usablePathCount == 2, sourceLocation: location)
      }
      hostile.victim.engine.removePeer(HostilePeer.id)
      network.expectNothingKept(location)
    }
  }

  @Test("an obedient one is served: the test's own peer works", arguments: [true, false])
  func obedient(serverIsVictim: Bool) {
    let story = Story(seed: 1, serverIsVictim: serverIsVictim)
    for _ in 0..<100 { story.step(.milliseconds(5)) }
    #expect(story.hostile.link.kind == .bond && story.hostile.link.paths.count { $0.isUsable } >= 2)
    #expect(story.hostile.dataCount >= 95)
    #expect(story.hostile.link.statistics.sentPackets >= 99)
    story.end()
  }

  @Test("every field of every frame at its bounds and beyond, on paths of either side", arguments: [true, false])
  func extremes(serverIsVictim: Bool) {
    let story = Story(seed: 2, serverIsVictim: serverIsVictim)
    let payloads = FrameFields.extremes()
    for path in [0, 1, 2, 63, 62] as [UInt8] {
      for (place, payload) in payloads.enumerated() {
        story.hostile.send(payload, on: path)
        if place % 8 == 0 { story.step(.milliseconds(3)) }
        // Boot ids made it a stranger, and PATHS closed what it had.
        if place % 64 == 0 { story.hostile.hello() }
      }
      story.hostile.hello()
      for _ in 0..<50 { story.step(.milliseconds(2)) }
    }
    #expect(story.hostile.dataCount > 200, "data were under way all the time")
    story.end()
  }

  @Test("frames spoiled at random", arguments: [true, false], 1...4 as ClosedRange<UInt64>)
  func spoiled(serverIsVictim: Bool, seed: UInt64) {
    let kinds = SchedulerKind.allCases
    let story = Story(seed: seed, serverIsVictim: serverIsVictim, scheduler: kinds[Int(seed) % kinds.count])
    let extremes = FrameFields.extremes() + samplePayloads()
    var random = SeededRandom(seed: seed ^ 0x5601)
    for round in 0..<6000 {
      let pool = random.next() % 3 == 0 && !story.hostile.payloads.isEmpty ? story.hostile.payloads : extremes
      let path = random.next() % 4 == 0 ? UInt8(random.next() % 64) : UInt8(random.next() % 5)
      let counter = story.hostile.counters[Int(path)]
      switch random.next() % 200 {
      case 0: story.hostile.counters[Int(path)] = counter &+ random.next() % 70_000
      case 1 where round > 4000: story.hostile.counters[Int(path)] = max(counter, 1 << 48 - 2 + random.next() % 4)
      default: break
      }
      story.hostile.send(
        FrameFields.spoiled(pool, &random), on: path, socket: 100 + UInt32(random.next() % 2), trafficClass: UInt8(random.next() % 4))
      if random.next() % 100 == 0 { story.hostile.obeys.toggle() }
      if round % 300 == 0 {
        story.hostile.obeys = true
        story.hostile.hello()
      }
      if round % 8 == 0 { story.step(random.next() % 50 == 0 ? .milliseconds(400) : .milliseconds(Int(random.next() % 6) + 1)) }
    }
    story.end()
  }
}
