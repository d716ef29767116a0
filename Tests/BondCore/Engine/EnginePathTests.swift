import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite("Engine: peers and paths") struct EnginePathTests {
  @Test("two of ours learn it inside the session, and open their paths with ids of their parity", arguments: [true, false], [true, false])
  func opening(clientIsSmaller: Bool, showsPayloads: Bool) {
    let network = EngineNetwork(.init(links: 3, clientIsSmaller: clientIsSmaller, showsPayloads: showsPayloads))
    #expect(network.client.kind == .unknown && network.client.link.paths.isEmpty)
    network.open()
    let ids = network.client.pathIDs
    #expect(ids.count == 3 && ids.allSatisfy { $0 % 2 == (clientIsSmaller ? 0 : 1) })
    #expect(network.server.pathIDs == ids)
    for end in [network.client, network.server] { #expect(end.link.paths.first?.id == .handshake && end.handshakeCount == 1) }
    _ = network.exchange(for: .milliseconds(200), every: .milliseconds(10))
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.server, of: 20) == nil && network.complaint(at: network.client, of: 20) == nil)
    network.expectNothingKept()
  }

  @Test("no data on a path before its echo came, in either direction")
  func validation() {
    let network = EngineNetwork(.init(links: 3))
    var echoed: [Bool: Set<Int>] = [true: [0], false: [0]]
    var early = 0
    var dataPaths: Set<Int> = []
    network.arrived = { if $0.kind == FrameKind.echo { echoed[!$0.toServer]!.insert($0.path) } }
    network.watch = { flight in
      guard flight.isData || flight.isFragment else { return }
      dataPaths.insert(flight.path)
      if !echoed[flight.toServer]!.contains(flight.path) { early += 1 }
    }
    // Data wait from the first moment on.
    _ = network.exchange(for: .seconds(1), every: .milliseconds(2), flows: [1, 2, 3])
    #expect(early == 0)
    #expect(dataPaths.subtracting([0]).count >= 2, "the schedulers use several paths")
    network.run(for: .seconds(1))
    for flow: UInt16 in [1, 2, 3] { #expect(network.complaint(at: network.server, flow: flow, of: 500) == nil) }
    network.expectNothingKept()
  }

  @Test("who sends without a pause from the first moment on does not keep the bond from opening", arguments: [50, 300, 900])
  func noPause(microseconds: Int64) {
    let network = EngineNetwork()
    let number = network.exchange(for: .milliseconds(600), every: .microseconds(microseconds), byteCount: 100)
    for end in [network.client, network.server] { #expect(end.usablePathCount == 2) }
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.numbers(at: end).last == number - 1) }
    network.expectNothingKept()
  }

  @Test("a peer that answers no HELLO gets plain WireGuard on one path")
  func stock() {
    let network = EngineNetwork()
    network.loses = { $0.kind == FrameKind.hello }
    var frames: [UInt8] = []
    var paths: Set<Int> = []
    network.watch = { flight in
      guard flight.isTransport, flight.toServer else { return }
      paths.insert(flight.path)
      if FrameKind.isFrame(flight.kind) { frames.append(flight.kind) }
    }
    let isKnown = network.run(until: { network.client.kind == .stock }, atMost: .seconds(5))
    #expect(isKnown && frames == [FrameKind.hello, FrameKind.hello, FrameKind.hello])
    _ = network.exchange(for: .seconds(1), every: .milliseconds(10))
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.server, of: 100) == nil && network.complaint(at: network.client, of: 100) == nil)
    #expect(frames.count == 3 && paths == [0])
    #expect(network.client.link.paths.count == 1)
    network.expectNothingKept()
  }

  @Test("towards such a peer a rate that was set is kept, and what is beyond it waits and is lost here")
  func stockRate() {
    let network = EngineNetwork()
    network.reload { $0[0].rateUp = 1_000_000 }
    network.loses = { $0.kind == FrameKind.hello }
    let isKnown = network.run(until: { network.client.kind == .stock }, atMost: .seconds(5))
    #expect(isKnown)
    var byteCount = 0
    network.watch = { if $0.isTransport, $0.toServer { byteCount += $0.bytes.count + 28 } }
    // About 1400 bytes in two milliseconds are 5.6 Mbit/s.
    _ = network.exchange(for: .seconds(10), every: .milliseconds(2), byteCount: 1300)
    #expect((1_150_000...1_300_000).contains(byteCount), "\(byteCount)")
    #expect(network.client.link.queue.counters.overflowed > 0)
    network.run(for: .seconds(6))
    network.expectNothingKept()
  }

  // MARK: Moves

  @Test("a new address is followed after its own challenge, and no data go there before")
  func roaming() {
    let network = EngineNetwork()
    network.open()
    var number = network.exchange(for: .milliseconds(500), every: .milliseconds(5))
    let moved = DatagramAddress.ipv4(0xCB00_71C8, port: 41000)
    network.links[0].clientAddress = moved
    var hasProved = false
    var early = 0
    network.arrived = { if $0.toServer, $0.kind == FrameKind.echo, $0.clientAddress == moved { hasProved = true } }
    network.watch = { if !$0.toServer, $0.link == 0, $0.isData, !hasProved { early += 1 } }
    number = network.exchange(for: .seconds(2), every: .milliseconds(5), from: number)
    network.run(for: .seconds(1))
    #expect(hasProved && early == 0)
    #expect(network.server.link.paths.contains { $0.route?.remote == moved && $0.isUsable })
    #expect(network.complaint(at: network.server, of: number) == nil)
    #expect(network.complaint(at: network.client, of: number, isOrdered: false) == nil, "what went to the old address was sent again")
    network.expectNothingKept()
  }

  @Test("an authentic packet from an address that answers no challenge moves nothing")
  func stolenPacket() {
    let network = EngineNetwork()
    network.open()
    // Somebody on the way keeps a packet and sends it from where he is.
    var stolen: Flight?
    network.loses = { flight in
      guard stolen == nil, flight.toServer, flight.path != 0, flight.isData else { return false }
      stolen = flight
      return true
    }
    var number = network.exchange(for: .milliseconds(200), every: .milliseconds(5))
    let thief = DatagramAddress.ipv4(0xC633_6401, port: 666)
    let before = network.server.link.paths.map(\.route)
    let flight = stolen!
    network.inject(
      Flight(
        bytes: flight.bytes, link: flight.link, toServer: true, clientAddress: thief, trafficClass: 0, sentAt: network.now), after: .zero)
    number = network.exchange(for: .seconds(3), every: .milliseconds(5), from: number)
    #expect(network.server.link.paths.map(\.route) == before)
    #expect(network.server.link.paths.allSatisfy { $0.candidate == nil })
    network.run(for: .seconds(1))
    #expect(network.complaint(at: network.client, of: number, isOrdered: false) == nil)
    network.expectNothingKept()
  }

  // MARK: Loss of a path

  @Test("a path that swallows everything is set aside and told of; what was under way goes elsewhere", arguments: [0, 1])
  func blackhole(link: Int) {
    let network = EngineNetwork(.init(scheduler: .cfs))
    network.open()
    var number = network.exchange(for: .seconds(1), every: .milliseconds(5))
    let start = network.now
    network.links[link].isUp = false
    var suspicions = 0
    network.watch = { if $0.kind == FrameKind.suspect { suspicions += 1 } }
    number = network.exchange(for: .seconds(2), every: .milliseconds(5), from: number)
    #expect(network.client.usablePathCount == 1 && network.server.usablePathCount == 1)
    #expect(suspicions >= 1)
    for end in [network.client, network.server] {
      #expect(network.longestGap(at: end, since: start) <= .milliseconds(200))
      // Small packets of a quiet flow all go by the path where they arrive first: nothing of theirs is under way on the other.
      if link == 0 { #expect(end.statistics.resentPackets > 0) }
    }
    network.links[link].isUp = true
    number = network.exchange(for: .seconds(3), every: .milliseconds(5), from: number)
    #expect(network.client.usablePathCount == 2 && network.server.usablePathCount == 2)
    network.run(for: .seconds(1))
    for end in [network.client, network.server] {
      #expect(network.complaint(at: end, of: number, isOrdered: false) == nil, "nothing lost or twice")
    }
    network.expectNothingKept()
  }

  @Test("a connection is asked before its path is suspected, and given up once the path was lost for a second")
  func deadStream() throws {
    let network = EngineNetwork(.init(scheduler: .cfs))
    network.open()
    network.streams = [1]
    let number = network.exchange(for: .seconds(1), every: .milliseconds(5))
    let path = try #require(network.client.link.paths.first { $0.route?.isStream == true })
    #expect(path.sender.isReliable)
    network.links[1].isUp = false
    _ = network.exchange(for: .seconds(1), every: .milliseconds(5), from: number)
    func index(_ matches: (BondEvent) -> Bool) -> Int? { network.client.events.lastIndex(where: matches) }
    let asked = index { if case .askStream(1) = $0 { true } else { false } }
    let suspected = index { if case .pathChanged(_, path.id, let change) = $0 { change.to == .unstable } else { false } }
    #expect(try #require(asked) < #require(suspected))
    #expect(path.sender.state == .lost)
    let isGivenUp = { index { if case .closeStream(1) = $0 { true } else { false } } != nil }
    let lostSince = path.sender.health.stateSince
    #expect(network.run(until: isGivenUp, atMost: .seconds(2)))
    #expect(network.now - lostSince >= .seconds(1) && network.now - lostSince < .milliseconds(1020))
  }

  @Test("one-way loss of a path is found by the side that sends into it")
  func oneWay() {
    let network = EngineNetwork()
    network.open()
    var number = network.exchange(for: .seconds(1), every: .milliseconds(5))
    network.loses = { $0.link == 0 && $0.toServer }
    number = network.exchange(for: .seconds(2), every: .milliseconds(5), from: number)
    #expect(network.client.usablePathCount == 1)
    network.loses = { _ in false }
    network.run(for: .seconds(2))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number, isOrdered: false) == nil) }
    network.expectNothingKept()
  }

  @Test("a path too small for the inner MTU carries fragments", arguments: [1280, 1400])
  func fragments(byteLimit: Int) {
    let network = EngineNetwork(.init(links: 1))
    network.links[0].byteLimit = byteLimit
    var fragments = 0
    network.watch = { if $0.isFragment { fragments += 1 } }
    network.open()
    network.run(for: .seconds(5))
    for number in 0..<200 {
      for end in [network.client, network.server] { network.offer(to: end, number: number, byteCount: 1400) }
      network.run(for: .milliseconds(10))
    }
    network.run(for: .seconds(1))
    #expect(fragments >= 800)
    for end in [network.client, network.server] {
      #expect(network.complaint(at: end, of: 200) == nil)
      #expect(end.delivered.allSatisfy { $0.packet.count == 1400 && $0.packet[32...].allSatisfy { $0 == 0x55 } })
      #expect(end.engine.snapshot()[0].paths[0].isFragmenting && end.engine.snapshot()[0].paths[0].mtu <= byteLimit)
    }
    network.expectNothingKept()
  }

  // MARK: Reload

  @Test("a path taken from the list closes on both sides; put back it opens again", arguments: [false, true])
  func reload(showsPayloads: Bool) {
    let network = EngineNetwork(.init(showsPayloads: showsPayloads))
    network.open()
    let ids = network.client.pathIDs
    var number = network.exchange(for: .milliseconds(500), every: .milliseconds(5))
    for _ in 0..<3 {
      network.reload { $0[0].isRemoved = true }
      number = network.exchange(for: .seconds(1), every: .milliseconds(5), from: number)
      #expect(network.client.pathIDs == [ids[1]] && network.server.pathIDs == [ids[1]])
      network.reload { $0[0].isRemoved = false }
      number = network.exchange(for: .seconds(1), every: .milliseconds(5), from: number)
      #expect(network.client.pathIDs == ids && network.server.pathIDs == ids)
      #expect(network.client.usablePathCount == 2 && network.server.usablePathCount == 2)
    }
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number, isOrdered: false) == nil) }
    network.expectNothingKept()
  }

  @Test("a removed peer leaves nothing behind, whatever was under way")
  func removal() {
    let network = EngineNetwork(.init(scheduler: .redundant))
    network.open()
    for number in 0..<300 { network.offer(to: network.client, number: number) }
    network.run(for: .milliseconds(5))
    for end in [network.client, network.server] {
      end.engine.removePeer(EngineEnd.peer)
      #expect(end.engine.pool.lentCount == 0 && end.engine.sessions.count == 0 && end.engine.nextDeadline == .distantFuture)
    }
  }
}
