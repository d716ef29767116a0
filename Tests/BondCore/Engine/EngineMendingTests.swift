import CausewayBase
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

@Suite("Engine: copies, resends, parity, order") struct EngineMendingTests {
  @Test("small urgent packets go twice when another path is idle, and arrive once", arguments: [true, false])
  func urgentCopies(duplicates: Bool) {
    let network = EngineNetwork(.init(duplicates: duplicates))
    network.open()
    for number in 0..<50 {
      network.offer(to: network.client, number: number, byteCount: 80, port: 53)
      network.run(for: .milliseconds(20))
    }
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.server, of: 50) == nil)
    #expect(network.client.statistics.copiesSent == (duplicates ? 50 : 0))
    #expect(network.server.engine.snapshot()[0].duplicatePackets == (duplicates ? 50 : 0))
    network.expectNothingKept()
  }

  @Test(
    "a small packet of an idle flow goes twice, none of a busy flow, and no large one",
    arguments: [(80, 20, 50), (80, 2, 1), (300, 20, 0)] as [(Int, Int, UInt64)])
  func idleCopies(byteCount: Int, milliseconds: Int, copies: UInt64) {
    let network = EngineNetwork(.init(duplicates: true))
    network.open()
    for number in 0..<50 {
      network.offer(to: network.client, number: number, byteCount: byteCount)
      network.run(for: .milliseconds(milliseconds))
    }
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.server, of: 50) == nil)
    #expect(network.client.statistics.copiesSent == copies)
    network.expectNothingKept()
  }

  @Test("a small packet lost on the fast path is sent again there, before its copy arrives by the slow one")
  func overtakenCopies() {
    let network = EngineNetwork(.init(duplicates: true))
    network.links[0].delay = .milliseconds(2)
    network.links[1].delay = .milliseconds(80)
    network.open()
    var sent = 0
    network.loses = { flight in
      guard flight.isData, flight.toServer, flight.link == 0 else { return false }
      sent += 1
      return sent % 10 == 5
    }
    let start = network.now
    for number in 0..<100 {
      network.offer(to: network.client, number: number, byteCount: 80, port: 53)
      network.run(for: .milliseconds(20))
    }
    let gap = network.longestGap(at: network.server, since: start)
    network.loses = { _ in false }
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.server, of: 100) == nil)
    let resent = network.client.statistics.resentPackets
    #expect(8...12 ~= resent, "\(resent) resends for 10 losses")
    #expect(gap <= .milliseconds(60), "20 ms to the next packet and 40 at most to find a loss")
    network.expectNothingKept()
  }

  @Test("redundant: every packet on every path, so a path that dies is not even noticed")
  func redundant() {
    let network = EngineNetwork(.init(links: 3, scheduler: .redundant))
    network.links[2].delay = .milliseconds(30)
    network.open()
    var number = network.exchange(for: .seconds(1), every: .milliseconds(10))
    let start = network.now
    network.links[0].isUp = false
    number = network.exchange(for: .seconds(1), every: .milliseconds(10), from: number)
    for end in [network.client, network.server] { #expect(network.longestGap(at: end, since: start) <= .milliseconds(40)) }
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number, isOrdered: false) == nil) }
    network.expectNothingKept()
  }

  @Test("losses are mended by resends, each flow in its own order", arguments: [UInt64(1), 2, 3, 4])
  func resends(seed: UInt64) {
    let network = EngineNetwork(.init(seed: seed))
    network.links[1].delay = .milliseconds(25)
    network.open()
    network.loses = { _ in network.random.next() % 100 < 3 }
    let flows: [UInt16] = [1, 2, 3]
    let number = network.exchange(for: .seconds(5), every: .milliseconds(4), flows: flows)
    network.loses = { _ in false }
    network.run(for: .seconds(1))
    for end in [network.client, network.server] {
      #expect(end.statistics.resentPackets > 0)
      for flow in flows {
        let faults = network.faults(at: end, flow: flow, of: number)
        #expect(faults.repeated == [])
        #expect(faults.missing.count <= 2, "a resend may be lost as well, and then be too late: of 1250, 38 are lost at first")
      }
    }
    network.expectNothingKept()
  }

  @Test("without resends a SKIP tells the receiver not to wait")
  func skip() {
    let network = EngineNetwork(.init(links: 1, repairs: false))
    network.open()
    var number = network.exchange(for: .seconds(1), every: .milliseconds(2))
    var isLost = false
    var skips = 0
    network.loses = { flight in
      guard !isLost, flight.toServer, flight.isData else { return false }
      isLost = true
      return true
    }
    network.watch = { if $0.kind == FrameKind.skip { skips += 1 } }
    let start = network.now
    number = network.exchange(for: .milliseconds(500), every: .milliseconds(2), from: number)
    #expect(isLost && skips >= 1)
    #expect(network.longestGap(at: network.server, since: start) <= .milliseconds(100))
    network.run(for: .seconds(1))
    #expect(network.numbers(at: network.server).count == number - 1)
    #expect(network.numbers(at: network.server) == network.numbers(at: network.server).sorted())
    network.expectNothingKept()
  }

  @Test("parity mends what a resend would bring too late, and without loss none is sent")
  func parity() {
    func run(loss: UInt64) -> (network: EngineNetwork, lost: Int, sent: Int) {
      let network = EngineNetwork(.init(links: 1, parity: true))
      network.links[0].delay = .milliseconds(300)
      network.open()
      network.loses = { ($0.isData || $0.kind == FrameKind.repair) && network.random.next() % 1000 < loss }
      var number = network.exchange(for: .seconds(20), every: .milliseconds(5))  // to learn loss and delay
      let first = number
      number = network.exchange(for: .seconds(40), every: .milliseconds(5), from: number)
      network.run(for: .seconds(2))
      let arrived = Set(network.numbers(at: network.server).filter { $0 >= first })
      return (network, number - first - arrived.count, number - first)
    }
    let lossy = run(loss: 10)
    #expect(lossy.network.server.statistics.parityRepaired > 50)
    #expect(lossy.lost * 5 <= lossy.sent / 100, "\(lossy.lost) of \(lossy.sent) stayed lost")
    lossy.network.expectNothingKept(after: .seconds(15))  // copies for parity are kept for 10 s
    let clean = run(loss: 0)
    #expect(clean.lost == 0 && clean.network.client.statistics.paritySent == 0)
    clean.network.expectNothingKept()
  }

  @Test("another scheduler takes over under way, from any to any", arguments: SchedulerKind.allCases)
  func schedulers(from kind: SchedulerKind) {
    let network = EngineNetwork(.init(scheduler: kind))
    network.links[1].delay = .milliseconds(20)
    network.open()
    var number = 0
    for next in SchedulerKind.allCases {
      number = network.exchange(for: .milliseconds(300), every: .milliseconds(3), from: number)
      for end in [network.client, network.server] { end.engine.setScheduler(next) }
    }
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number, isOrdered: false) == nil) }
    network.expectNothingKept()
  }

  @Test("a congestion mark of the way comes out on the inner packet")
  func congestion() {
    let network = EngineNetwork(.init(links: 1))
    network.open()
    var packet = EngineNetwork.packet(fromServer: false, flow: 5, number: 1, byteCount: 400, port: 7000)
    packet[1] = 2  // ECT(0)
    (packet[10], packet[11]) = (0, 0)
    var span = packet.mutableSpan
    network.client.engine.offer(&span, .init(), at: network.now)
    var seen: Flight?
    network.loses = { flight in
      guard flight.isData, flight.toServer, seen == nil else { return false }
      seen = flight
      return true
    }
    network.run(for: .milliseconds(1))
    let flight = seen!
    #expect(flight.trafficClass == 2, "the outer packet bears the inner mark, and no DSCP")
    network.inject(
      Flight(
        bytes: flight.bytes, link: 0, toServer: true, clientAddress: flight.clientAddress, trafficClass: 3, sentAt: network.now),
      after: .milliseconds(10))
    network.run(for: .seconds(1))
    #expect(network.server.delivered.count == 1 && network.server.delivered[0].packet[1] & 3 == 3)
    network.expectNothingKept()
  }
}
