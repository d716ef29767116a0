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
