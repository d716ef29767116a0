import CausewayBase
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

/// Replays, cuts, extensions and flipped bits. The strongest sign of silence: with all of them thrown in, both ends send the very same
/// bytes at the very same times as without.
@Suite("Engine: tampering") struct TamperingTests {
  private struct Record {
    var sent: [(at: Instant, bytes: [UInt8])] = []
    /// First payload byte of each datagram that arrived, where ciphers are simulated.
    var kinds: [UInt8] = []
    var delivered: [[[UInt8]]] = []
    var tampered = 0
    var dropped: UInt64 = 0
    var kindsTampered: Set<UInt8> = []
  }

  /// Every kind of frame but REPAIR: paths opened, too small a path, loss, a dead path, all paths dead, a rekey.
  private func everyKind(_ network: EngineNetwork) {
    network.links[0].byteLimit = 1300
    network.open()
    network.run(for: .seconds(2))
    var number = 0
    func exchange(_ duration: Duration) {
      number = network.exchange(for: duration, every: .milliseconds(10), byteCount: 1400, flows: [1, 2], from: number)
    }
    network.loses = { $0.isTransport && network.random.next() % 100 < 3 }
    exchange(.milliseconds(400))
    network.links[1].isUp = false
    exchange(.milliseconds(600))
    network.links[0].isUp = false
    exchange(.milliseconds(600))
    (network.links[0].isUp, network.links[1].isUp) = (true, true)
    exchange(.milliseconds(600))
    network.loses = { _ in false }
    network.run(for: .seconds(125))
    exchange(.milliseconds(200))
    network.run(for: .seconds(2))
  }

  private func parity(_ network: EngineNetwork) {
    network.links[0].delay = .milliseconds(300)
    network.open()
    network.loses = { $0.isTransport && network.random.next() % 100 < 2 }
    _ = network.exchange(for: .seconds(8), every: .milliseconds(5), byteCount: 300)
    network.run(for: .seconds(2))
  }

  private func run(
    _ setting: EngineNetwork.Setting, showsPayloads: Bool, kinds: [UInt8] = [], wanted: Set<UInt8>? = nil, _ story: (EngineNetwork) -> Void
  ) -> Record {
    var setting = setting
    setting.showsPayloads = showsPayloads
    let network = EngineNetwork(setting)
    var record = Record()
    var counts: [Int: Int] = [:]
    var old: [Flight] = []
    network.watch = { record.sent.append((network.now, $0.bytes)) }
    network.arrived = { flight in
      let place = record.kinds.count
      record.kinds.append(flight.isTransport ? flight.kind & (isData(flight.kind) ? 0xF8 : 0xFF) : 1)
      guard !kinds.isEmpty, flight.isTransport, place < kinds.count else { return }
      let end = flight.toServer ? network.server : network.client
      func feed(_ bytes: [UInt8], from route: Route) {
        network.feed(bytes, to: end, from: route)
        record.tampered += 1
      }
      let route = flight.toServer ? Route(socket: 0, remote: flight.clientAddress) : network.clientRoute(flight.link)
      let elsewhere = Route(socket: route.socket, remote: .ipv4(0xC633_6401, port: 666))
      let kind = kinds[place]
      let count = counts[Int(kind) << 1 | (flight.toServer ? 1 : 0), default: 0]
      if count < 2, wanted?.contains(kind) ?? true {
        counts[Int(kind) << 1 | (flight.toServer ? 1 : 0)] = count + 1
        record.kindsTampered.insert(kind)
        for (index, bytes) in Tampering.variants(of: flight.bytes).enumerated() { feed(bytes, from: index % 7 == 0 ? elsewhere : route) }
        // Replays of what came before, from where it came and from elsewhere.
        for past in old where past.toServer == flight.toServer {
          feed(past.bytes, from: route)
          feed(past.bytes, from: elsewhere)
        }
      }
      old.append(flight)
      if old.count > 40 { old.removeFirst() }
    }
    story(network)
    record.delivered = [network.client, network.server].map { $0.delivered.map(\.packet) }
    for end in [network.client, network.server] { for reason in DropReason.allCases { record.dropped += end.engine.drops[reason] } }
    return record
  }

  /// DATA has flags in its kind.
  private func isData(_ kind: UInt8) -> Bool { kind & 0xF8 == 0xC0 }

  private func expectInert(
    _ setting: EngineNetwork.Setting, wanted: Set<UInt8>? = nil, expecting: Set<UInt8>, atLeast least: Int = 10_000,
    _ story: (EngineNetwork) -> Void
  ) {
    let plain = run(setting, showsPayloads: true, story)
    let calm = run(setting, showsPayloads: false, story)
    let disturbed = run(setting, showsPayloads: false, kinds: plain.kinds, wanted: wanted, story)
    #expect(plain.kinds.count == calm.kinds.count && plain.sent.map(\.at) == calm.sent.map(\.at), "ciphers change nothing")
    #expect(expecting.isSubset(of: disturbed.kindsTampered), "kinds without: \(expecting.subtracting(disturbed.kindsTampered))")
    let same = zip(calm.sent, disturbed.sent).allSatisfy { $0.at == $1.at && $0.bytes == $1.bytes }
    #expect(same && calm.sent.count == disturbed.sent.count, "not one byte more or other is sent")
    #expect(calm.delivered == disturbed.delivered)
    #expect(disturbed.tampered > least)
    #expect(disturbed.dropped == calm.dropped + UInt64(disturbed.tampered), "each is counted, once")
  }

  @Test("transport messages with every kind of frame")
  func transport() {
    expectInert(
      .init(),
      expecting: [
        FrameKind.data, FrameKind.fragment, FrameKind.acknowledgement, FrameKind.probe, FrameKind.echo, FrameKind.paths,
        FrameKind.parameters, FrameKind.suspect, FrameKind.hello, FrameKind.helloAcknowledgement,
      ], everyKind)
  }

  @Test("transport messages with parity")
  func repair() {
    expectInert(.init(links: 1, parity: true), wanted: [FrameKind.repair], expecting: [FrameKind.repair], atLeast: 1000, parity)
  }

  @Test("transport messages that tell of what is given up")
  func skip() {
    expectInert(.init(links: 1, repairs: false), wanted: [FrameKind.skip], expecting: [FrameKind.skip], atLeast: 1000) { network in
      network.open()
      network.loses = { $0.isTransport && network.random.next() % 100 < 3 }
      _ = network.exchange(for: .seconds(2), every: .milliseconds(5), byteCount: 300)
      network.run(for: .seconds(2))
    }
  }

  @Test("transport messages of plain WireGuard")
  func stock() {
    expectInert(.init(), expecting: [0, 0x45], atLeast: 2000) { network in
      var isDeaf = false
      network.loses = { flight in
        // HELLO is lost; seen by its length and place where nobody can look inside.
        if flight.isTransport, flight.bytes.count == 64, !isDeaf { return true }
        return false
      }
      network.run(until: { network.client.kind == .stock }, atMost: .seconds(6))
      isDeaf = true
      _ = network.exchange(for: .milliseconds(300), every: .milliseconds(10), byteCount: 300)
      for number in 1000..<1004 {
        network.offer(to: network.client, number: number)
        network.run(for: .seconds(15))
      }
    }
  }
}
