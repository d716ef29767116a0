import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

/// What sweeping frames at random would find only by luck.
@Suite("Engine: single tricks of a peer") struct HostileDetailTests {
  private func packet(_ sequence: UInt32, previous: UInt16 = 0) -> [UInt8] {
    written { out in
      DataHeader(bucket: 3, previous: previous, sequence: sequence).write(into: &out)
      let packet = ipv4Packet(40)
      for byte in packet { out.append(byte) }
    }
  }

  private func pair(clientIsVictim: Bool = false, scheduler: SchedulerKind = .auto) -> (EngineNetwork, HostilePeer) {
    let network = EngineNetwork(.init(scheduler: scheduler, parity: true))
    network.open()
    return (network, HostilePeer(network, victim: clientIsVictim ? network.client : network.server, seed: 1))
  }

  /// Path ids that the hostile side may open.
  private func ownPaths(_ hostile: HostilePeer) -> [UInt8] { (1..<64).filter { !hostile.link.isOwn(PathID($0)) } }

  @Test("a counter beyond what acknowledgements can name keeps nobody awake", arguments: [1 << 48, 1 << 60] as [UInt64])
  func farCounter(_ counter: UInt64) {
    let (network, hostile) = pair()
    let path = ownPaths(hostile)[10]
    hostile.counters[Int(path)] = counter
    hostile.send(packet(1), on: path)
    hostile.obeys = false
    network.run(for: .seconds(20))
    let steps = network.stepCount
    network.run(for: .seconds(10))
    #expect(network.stepCount - steps < 3000)
  }

  @Test("acknowledgements of many paths full of gaps say all that arrived, in well-formed frames")
  func manyGaps() {
    let (_, hostile) = pair()
    let paths = Array(ownPaths(hostile).prefix(20))
    for path in paths { hostile.sendProbe(on: path) }
    for _ in 0..<20 { hostile.turn() }
    var sent: [UInt8: Set<UInt64>] = [:]
    for _ in 0..<32 {
      for path in paths {
        hostile.counters[Int(path)] += 1  // one is lost
        sent[path, default: []].insert(hostile.counters[Int(path)])
        hostile.send(written { Skip(bucket: 0, sequence: 1).write(into: &$0) }, on: path)
      }
    }
    for _ in 0..<50 { hostile.turn() }
    #expect(hostile.malformedCount == 0)
    for path in paths { #expect(sent[path]!.isSubset(of: hostile.acknowledged[Int(path)]), "path \(path)") }
  }

  @Test("a server that has forgotten us and says so gets our paths again at once")
  func forgotten() {
    let (_, hostile) = pair(clientIsVictim: true)
    #expect(hostile.link.paths.count { $0.uplink != nil && $0.isUsable } == 2)
    let hello = Hello(features: [.repair], bootID: 77)
    hostile.send(written { hello.write(isAcknowledgement: false, into: &$0) })
    #expect(hostile.link.paths.count { $0.uplink != nil } == 2)
    for _ in 0..<100 { hostile.turn() }
    #expect(hostile.link.paths.count { $0.uplink != nil && $0.isUsable } == 2)
  }

  @Test("a path closed amid a round of copies leaves the others' going")
  func closedAmidRound() {
    let (network, hostile) = pair(scheduler: .redundant)
    let paths = Array(ownPaths(hostile).prefix(2))
    for _ in 0..<50 { hostile.turn() }
    #expect(hostile.link.paths.count { $0.isUsable } >= 2)
    var rounds = 0
    var stalls = 0
    for number in 0..<40 {
      for _ in 0..<4 { hostile.offer(number: number) }
      var entries = [PathAnnouncement(path: PathID(paths[number % 2]), state: .closing)]
      if number % 4 < 2 { entries[0].state = .open }
      // Between the copies of a round the engine hears of a path's end.
      while hostile.link.redundantPaths == 0, network.oneRun(of: hostile.victim) {}
      rounds += hostile.link.redundantPaths == 0 ? 0 : 1
      hostile.send(written { PathList.write(sequence: UInt32(number), entries.span, into: &$0) }, on: 0)
      hostile.turn()
      if !hostile.link.redundant.isEmpty || !hostile.link.queue.isEmpty { stalls += 1 }
      for path in paths { hostile.sendProbe(on: path) }
      for _ in 0..<30 { hostile.turn() }
    }
    #expect(rounds > 20 && stalls == 0)
    #expect(hostile.link.redundant.isEmpty && hostile.link.queue.isEmpty)
    #expect(hostile.dataCount > 150)
  }

  @Test("what a peer sent before it forgot everything takes no part in what comes after")
  func oldLife() {
    let (network, hostile) = pair()
    let path = ownPaths(hostile)[0]
    let wish = OrderParameters(flags: .repairsFollow, holdLimitMicroseconds: 300_000, memoryByteCount: 1 << 20)
    hostile.send(written { wish.write(into: &$0) }, on: path)
    for sequence in 1...60 as ClosedRange<UInt32> { hostile.send(packet(sequence), on: path) }
    // A piece of a packet that never becomes whole.
    let frame = packet(61)
    let header = FragmentHeader(total: frame.count, index: 0, count: 2, sequence: 61)!
    hostile.send(written { out in _ = header.write(of: frame.span, into: &out) }, on: path)
    #expect(hostile.link.decoder != nil && hostile.link.reassembler.nextDeadline != nil)
    hostile.send(written { Hello(features: [.repair], bootID: 78).write(isAcknowledgement: false, into: &$0) })
    #expect(hostile.link.decoder == nil && hostile.link.reassembler.nextDeadline == nil)
    hostile.victim.engine.releaseDeliveries()
    #expect(network.server.engine.pool.lentCount == 0)
  }
}
