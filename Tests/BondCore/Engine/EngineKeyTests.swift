import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite("Engine: keys") struct EngineKeyTests {
  @Test("a rekey with data under way loses nothing, repeats nothing, and changes no path", arguments: [false, true])
  func rekey(showsPayloads: Bool) {
    let network = EngineNetwork(.init(showsPayloads: showsPayloads))
    network.open()
    let ids = network.client.pathIDs
    let number = network.exchange(for: .seconds(380), every: .milliseconds(40), byteCount: 200)
    network.run(for: .seconds(1))
    #expect(network.client.handshakeCount == 4 && network.server.handshakeCount == 4)
    for end in [network.client, network.server] {
      #expect(network.complaint(at: end, of: number) == nil)
      #expect(end.pathIDs == ids && end.usablePathCount == 2)
      #expect(end.engine.sessions.count <= 3)
      let opened = end.events.filter { if case .pathOpened = $0 { true } else { false } }
      #expect(opened.count == 3, "the handshake's path and two more, once each")
    }
    network.expectNothingKept()
  }

  /// Each end answers the other's while data flow under the keys before, and each then has keys that it began and keys that it answered.
  @Test("handshakes that cross under traffic lose nothing", arguments: [0, 1, 5, 9, 15])
  func crossing(_ offset: Int) {
    let network = EngineNetwork()
    network.open()
    var number = network.exchange(for: .seconds(1), every: .milliseconds(2))
    let before = network.client.handshakeCount
    network.client.engine.needHandshake(EngineEnd.peer, promptly: true, at: network.now)
    number = network.exchange(for: .milliseconds(offset), every: .milliseconds(1), from: number)
    network.server.engine.needHandshake(EngineEnd.peer, promptly: true, at: network.now)
    number = network.exchange(for: .seconds(2), every: .milliseconds(2), from: number)
    network.run(for: .seconds(4))
    #expect(network.client.handshakeCount >= before + 2, "they crossed")
    for end in [network.client, network.server] {
      #expect(network.complaint(at: end, of: number) == nil)
      #expect(end.kind == .bond && end.usablePathCount == 2 && end.engine.sessions.count <= 3)
    }
    network.expectNothingKept()
  }

  @Test("while packets are lost and reordered, rekeys lose nothing for good", arguments: [UInt64(1), 2, 3])
  func rekeyWithLoss(seed: UInt64) {
    let network = EngineNetwork(.init(seed: seed))
    network.links[1].delay = .milliseconds(35)
    network.open()
    network.loses = { _ in network.random.next() % 100 < 2 }
    let number = network.exchange(for: .seconds(130), every: .milliseconds(20), byteCount: 300, flows: [1, 2])
    network.loses = { _ in false }
    network.run(for: .seconds(2))
    #expect(network.client.handshakeCount >= 2)
    for end in [network.client, network.server] {
      for flow: UInt16 in [1, 2] {
        let numbers = network.numbers(at: end, flow: flow)
        #expect(Set(numbers).count == numbers.count, "none twice")
        #expect(numbers.count >= number - number / 500, "resends mend what was lost")
      }
    }
    network.expectNothingKept()
  }

  @Test("a peer that was started again counts as new, and the bond comes back by itself")
  func restart() {
    let network = EngineNetwork()
    network.open()
    var number = network.exchange(for: .seconds(6), every: .milliseconds(10))
    network.restartServer()
    let back = network.run(
      until: { network.server.kind == .bond && network.server.usablePathCount == 2 && network.client.usablePathCount == 2 },
      atMost: .seconds(30))
    #expect(back)
    let first = number
    number = network.exchange(for: .seconds(1), every: .milliseconds(10), from: number)
    network.run(for: .seconds(1))
    #expect(network.numbers(at: network.server).suffix(number - first) == Array(first..<number)[...])
    #expect(network.numbers(at: network.client).suffix(number - first) == Array(first..<number)[...])
    network.expectNothingKept()
  }

  @Test(
    "after a restart under load packets go on in order, however many were sent before", arguments: [1, 100_000, 3_000_000_000] as [UInt32])
  func restartUnderLoad(sequence: UInt32) {
    let network = EngineNetwork(.init(scheduler: .cfs))
    network.links[1].delay = .milliseconds(30)
    network.open()
    var number = 0
    // Half of the number space at most from step to step.
    for start in [min(sequence, 2_000_000_000), sequence] {
      if start > network.client.link.stamper.lastSequence { network.client.link.stamper = OrderStamper(startingAt: start) }
      number = network.exchange(for: .milliseconds(500), every: .milliseconds(2), from: number)
      network.run(for: .seconds(1))
    }
    #expect(network.numbers(at: network.server).suffix(200) == Array(0..<number).suffix(200)[...])
    network.restartServer()
    // The first answer to HELLO is lost: paths are proved and packets leave before the client knows.
    var isLost = false
    network.loses = { flight in
      guard !isLost, flight.kind == FrameKind.helloAcknowledgement else { return false }
      isLost = true
      return true
    }
    var firstBack = number
    for _ in 0..<3000
    where
      !(isLost && network.client.link.remoteBootID == network.server.link.localBootID && network.server.kind == .bond
      && network.client.usablePathCount == 2 && network.server.usablePathCount == 2)
    {
      number = network.exchange(for: .milliseconds(10), every: .milliseconds(2), from: number)
      firstBack = number
    }
    number = network.exchange(for: .seconds(1), every: .milliseconds(2), from: number)
    network.run(for: .seconds(1))
    for end in [network.client, network.server] {
      let numbers = network.numbers(at: end).filter { $0 >= firstBack }
      #expect(numbers == Array(firstBack..<number), "\(end.isServer ? "to the server" : "to the client")")
    }
    network.expectNothingKept()
  }

  @Test("all paths dead for so long that the keys are gone: back within seconds, without anybody asking")
  func silence() {
    let network = EngineNetwork()
    network.open()
    network.links[0].isUp = false
    network.links[1].isUp = false
    network.run(for: .seconds(700))
    #expect(network.client.engine.sessions.count == 0 && network.server.engine.sessions.count == 0)
    network.links[0].isUp = true
    network.links[1].isUp = true
    let back = network.run(until: { network.client.usablePathCount == 2 && network.server.usablePathCount == 2 }, atMost: .seconds(6))
    #expect(back, "within the 5 s between two handshake attempts, and some round trips")
    let number = network.exchange(for: .seconds(1), every: .milliseconds(10))
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number) == nil) }
    network.expectNothingKept()
  }
}
