import CausewayBase
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

/// The messages of the handshake, spoiled in every way before the true one comes, and replayed after it.
@Suite("Engine: handshakes tampered with") struct HandshakeTamperingTests {
  private static let mac2ByteCount = 16

  private func total(_ end: EngineEnd) -> UInt64 { DropReason.allCases.reduce(0) { $0 + end.engine.drops[$1] } }

  /// Holds back the first message of a type and everything after it, spoils it, lets it through, and sees that all goes on.
  private func tamper(_ type: UInt8, isStream: Bool = false, setUp: (EngineNetwork) -> Void = { _ in }) {
    let network = EngineNetwork(.init(showsPayloads: false))
    setUp(network)
    var held: Flight?
    network.loses = { flight in
      if held == nil, flight.bytes[0] == type { held = flight }
      return held != nil
    }
    network.run(until: { held != nil }, atMost: .seconds(6))
    let genuine = held!
    let end = genuine.toServer ? network.server : network.client
    let route = genuine.toServer ? Route(socket: 0, remote: genuine.clientAddress) : network.clientRoute(genuine.link)
    var variants = Tampering.variants(of: genuine.bytes)
    // mac2 is for those under load; who is not must not look at it (whitepaper §5.4.4).
    if type != 3 {
      variants.removeAll {
        $0.count == genuine.bytes.count && $0.dropLast(Self.mac2ByteCount) == genuine.bytes.dropLast(Self.mac2ByteCount)
      }
    }
    var loud: Set<Int> = []
    for (number, bytes) in variants.enumerated() {
      if number % 90 == 0 { network.run(for: .milliseconds(110)) }  // fewer than would be load
      let (dropped, sessions, events) = (total(end), end.engine.sessions.count, end.events.count)
      network.feed(bytes, to: end, from: route)
      if total(end) != dropped + 1 || end.engine.sessions.count != sessions || end.events.count != events || !end.engine.replies.isEmpty {
        loud.insert(number)
      }
    }
    #expect(variants.count > 600 && loud.isEmpty, "\(loud.count) of \(variants.count) were not just dropped")
    #expect(end.handshakeCount == 0)
    network.run(for: .milliseconds(1200))
    network.loses = { _ in false }
    network.feed(genuine.bytes, to: end, from: route)
    network.open()
    // Once more, from where it came and from elsewhere.
    let handshakes = end.handshakeCount
    let routes = end.link.paths.map(\.route)
    for origin in [route, Route(socket: 0, remote: .ipv4(0xC633_6401, port: 666))] {
      let dropped = total(end)
      network.feed(genuine.bytes, to: end, from: origin)
      #expect(total(end) == dropped + 1 && end.engine.replies.isEmpty)
    }
    #expect(end.handshakeCount == handshakes && end.link.paths.map(\.route) == routes)
    let number = network.exchange(for: .milliseconds(300), every: .milliseconds(5))
    network.run(for: .seconds(1))
    for end in [network.client, network.server] { #expect(network.complaint(at: end, of: number) == nil) }
    network.expectNothingKept()
  }

  @Test("an initiation") func initiation() { tamper(1) }

  @Test("a response") func response() { tamper(2) }

  @Test("a cookie reply") func cookieReply() {
    tamper(3) { network in
      for number in 0..<150 {
        network.feed(
          [1, 0, 0, 0] + [UInt8](repeating: UInt8(number), count: 144), to: network.server,
          from: Route(socket: 0, remote: .ipv4(1, port: 1)))
      }
    }
  }

  // MARK: Streams

  /// Feeds a connection's bytes as a shell would: what framing finds goes to the engine; a stranger's first mistake ends it.
  private func outcome(of stream: [UInt8], _ role: TCPFraming.Role, _ end: EngineEnd, _ network: EngineNetwork) -> MessageVerdict? {
    var framing = TCPFraming(role)
    var offset = 0
    var verdict: MessageVerdict?
    while true {
      switch framing.next(stream.span, at: &offset) {
      case .incomplete, .violation: return verdict
      case .message(let range):
        end.engine.verdict = .dropped
        let route = Route(socket: 9, remote: .ipv4(0xCB00_7101, port: 5), isStream: true)
        network.feed(Array(stream[range]), to: end, from: route)
        verdict = end.engine.verdict
        if verdict == .authentic { framing.authenticate() }
        if verdict == .dropped, !framing.isAuthenticated { return verdict }
      }
    }
  }

  @Test("a stream's first message, from its magic on: spoiled it authenticates nothing", arguments: [UInt8(1), 2])
  func firstOfStream(type: UInt8) {
    let network = EngineNetwork(.init(showsPayloads: false))
    var held: Flight?
    network.loses = { flight in
      if held == nil, flight.bytes[0] == type { held = flight }
      return held != nil
    }
    network.run(until: { held != nil }, atMost: .seconds(6))
    let message = held!.bytes
    let end = type == 1 ? network.server : network.client
    let role: TCPFraming.Role = type == 1 ? .accepting : .connecting
    let stream = Array("CwB1".utf8) + [0, UInt8(message.count)] + message
    let variants = (Tampering.flips(stream) + Tampering.cuts(stream) + [stream + stream, [0] + stream])
      .filter { $0.count < stream.count || $0.dropLast(Self.mac2ByteCount) != stream.dropLast(Self.mac2ByteCount) }
    for (number, bytes) in variants.enumerated() where bytes.prefix(stream.count) != stream[...] {
      if number % 90 == 0 { network.run(for: .milliseconds(110)) }
      #expect(outcome(of: bytes, role, end, network) != .authentic, "\(number)")
    }
    #expect(end.engine.sessions.count == 0 && end.handshakeCount == 0)
    network.run(for: .milliseconds(1200))
    #expect(outcome(of: stream, role, end, network) == .authentic)
  }

  // MARK: Floods

  @Test("a flood of initiations from spoofed addresses: cookies go back, data flow, and a handshake gets through")
  func flood() {
    let network = EngineNetwork(.init(showsPayloads: false))
    network.open()
    let attacker = HandshakeDevice(seed: 99)
    attacker.wallClock = network.server.engine.unixOffset
    try! attacker.handshaker.addPeer(PeerID(1), publicKey: network.server.engine.configuration.identity.publicKey, presharedKey: nil)
    var initiations: [[UInt8]] = []
    for number in 0..<40 {
      attacker.initiate(promptly: true, at: .seconds(Double(number) * 10))
      initiations += attacker.takeMessages()
    }
    var answers: [Int: Int] = [:]
    network.elsewhere = { bytes, run in
      guard run.route.remote.low & 0xFF00_0000 == 0x0A00_0000 else { return false }
      answers[Int(bytes[0]) << 16 | bytes.count, default: 0] += 1
      return true
    }
    var number = 0
    var fed = 0
    let start = network.now
    func storm(_ duration: Duration) {
      let end = network.now + duration
      while network.now < end {
        for _ in 0..<10 {
          let address = DatagramAddress.ipv4(0x0A00_0000 | UInt32(truncatingIfNeeded: network.random.next() & 0xFF_FFFF), port: 1000)
          network.feed(initiations[fed % initiations.count], to: network.server, from: Route(socket: 0, remote: address))
          fed += 1
        }
        for end in [network.client, network.server] { network.offer(to: end, number: number, byteCount: 300) }
        number += 1
        network.run(for: .milliseconds(2))
      }
    }
    storm(.seconds(1))
    let handshakes = network.client.handshakeCount
    network.client.link.wantHandshake(promptly: true, at: network.now)
    storm(.seconds(7))
    #expect(network.client.handshakeCount == handshakes + 1, "with the cookie of the first attempt")
    for end in [network.client, network.server] { #expect(network.longestGap(at: end, since: start) < .milliseconds(50)) }
    network.run(for: .seconds(1))
    #expect(initiations.count == 40 && Set(answers.keys) == [3 << 16 | 64], "cookies only, shorter than what asked for them: \(answers)")
    #expect(answers.values.reduce(0, +) > fed / 2)
    #expect(network.server.engine.sessions.count <= 3)
    for end in [network.client, network.server] {
      #expect(network.complaint(at: end, of: number) == nil)
    }
    network.expectNothingKept()
  }
}
