import CausewayBase
import CausewayCrypto
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBondCore

/// A server with many peers, each of two paths.
@Suite("Engine: a crowd") struct CrowdTests {
  /// Engines with 5 ms between each client and the server, in virtual time.
  private final class Crowd {
    struct Datagram {
      var at: Instant
      /// The client it comes from or goes to.
      var client: Int
      var toServer: Bool
      var uplink: Int
      var bytes: [UInt8]
    }

    let server: BondEngine
    var clients: [BondEngine] = []
    var now = Instant.seconds(1)
    var delivered: [[Int]]
    var atServer: [[Int]]
    private var wire: [Datagram] = []
    private var wireHead = 0
    private var buffer = [UInt8](repeating: 0, count: BondEngine.runByteCapacity)

    init(_ count: Int) {
      delivered = Array(repeating: [], count: count)
      atServer = Array(repeating: [], count: count)
      server = Self.engine(0, at: now)
      for client in 0..<count {
        let engine = Self.engine(client + 1, at: now)
        var settings = PeerSettings(publicKey: PublicKey(of: seededKey(500)))
        settings.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: 0x0A00_0000), prefixLength: 32)]
        settings.uplinks = [UplinkSettings(name: "a"), UplinkSettings(name: "b")]
        try! engine.setPeer(PeerID(1), settings, at: now)
        for uplink in 0..<2 {
          engine.setUplink(uplink, of: PeerID(1), route: Route(socket: UInt32(uplink), remote: .ipv4(9, port: 9)), at: now)
        }
        engine.connect(PeerID(1), at: now)
        clients.append(engine)
        var other = PeerSettings(publicKey: PublicKey(of: seededKey(UInt64(501 + client))))
        other.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: 0x0A00_0001 + UInt32(client)), prefixLength: 32)]
        try! server.setPeer(PeerID(UInt32(client + 1)), other, at: now)
      }
    }

    private static func engine(_ number: Int, at now: Instant) -> BondEngine {
      var configuration = EngineConfiguration(
        identity: StaticIdentity(privateKey: seededKey(UInt64(500 + number))), bootID: UInt64(number) + 1)
      configuration.simulatesCiphers = true
      let engine = BondEngine(configuration, entropy: seededEntropy(UInt64(number) &+ 9000), at: now)
      engine.unixOffset = 1_750_000_000_000_000_000
      return engine
    }

    func offer(client: Int, toServer: Bool, number: Int) {
      var packet = EngineNetwork.packet(fromServer: false, flow: 1, number: number, byteCount: 200, port: 7000)
      let host = UInt8(client + 1)
      packet.replaceSubrange(12..<20, with: toServer ? [10, 0, 0, host, 10, 0, 0, 0] : [10, 0, 0, 0, 10, 0, 0, host])
      var span = packet.mutableSpan
      (toServer ? clients[client] : server).offer(&span, VirtioHeader(), at: now)
    }

    func run(for duration: Duration) {
      let end = now + duration
      while true {
        turn(server, client: nil)
        for (client, engine) in clients.enumerated() { turn(engine, client: client) }
        var next = wireHead < wire.count ? wire[wireHead].at : .distantFuture
        next = min(next, server.nextDeadline)
        for engine in clients { next = min(next, engine.nextDeadline) }
        guard next <= end else { break }
        now = max(now, next)
        while wireHead < wire.count, wire[wireHead].at <= now {
          arrive(wire[wireHead])
          wireHead += 1
        }
        if wireHead > 1000 {
          wire.removeFirst(wireHead)
          wireHead = 0
        }
      }
      now = end
    }

    private func turn(_ engine: BondEngine, client: Int?) {
      if engine.nextDeadline <= now { engine.advance(to: now) }
      take(engine, client: client)
      while let run = unsafe buffer.withUnsafeMutableBufferPointer({
        unsafe engine.nextRun(into: $0.baseAddress!, capacity: $0.count, at: now)
      }) {
        var offset = 0
        while offset < run.byteCount {
          let count = min(run.segmentByteCount, run.byteCount - offset)
          let bytes = Array(buffer[offset..<offset + count])
          let remote = Int(run.route.remote.port)
          wire.append(
            Datagram(
              at: now + .milliseconds(5), client: client ?? remote / 2, toServer: client != nil,
              uplink: client == nil ? remote % 2 : Int(run.route.socket), bytes: bytes))
          offset += count
        }
      }
      engine.drainEvents { _ in }
    }

    private func arrive(_ datagram: Datagram) {
      var bytes = datagram.bytes
      let port = UInt16(datagram.client * 2 + datagram.uplink)
      let route =
        datagram.toServer
        ? Route(socket: 0, remote: .ipv4(7, port: port)) : Route(socket: UInt32(datagram.uplink), remote: .ipv4(9, port: 9))
      let engine = datagram.toServer ? server : clients[datagram.client]
      let now = now
      unsafe bytes.withUnsafeMutableBufferPointer { buffer in
        unsafe engine.receive(
          buffer.baseAddress!, count: buffer.count, segmentByteCount: 0, from: route, trafficClass: 0, at: now)
        take(engine, client: datagram.toServer ? nil : datagram.client)
      }
    }

    private func take(_ engine: BondEngine, client: Int?) {
      for index in 0..<engine.deliveryCount {
        let delivery = unsafe engine[delivery: index]
        let bytes = unsafe Array(UnsafeBufferPointer(start: delivery.start, count: delivery.count))
        let number = bytes[28..<32].reduce(0) { $0 << 8 | Int($1) }
        if let client { delivered[client].append(number) } else { atServer[Int(bytes[15]) - 1].append(number) }
      }
      engine.releaseDeliveries()
    }
  }

  @Test("a hundred peers at once: all handshakes succeed, every packet comes once and in order, none takes another's turn")
  func hundred() {
    let crowd = Crowd(100)
    crowd.run(for: .seconds(8))
    for client in crowd.clients {
      #expect(client.peers[PeerID(1)]!.paths.count { $0.isUsable && $0.id != .handshake } == 2)
    }
    for number in 0..<50 {
      for client in 0..<100 {
        crowd.offer(client: client, toServer: true, number: number)
        crowd.offer(client: client, toServer: false, number: number)
      }
      crowd.run(for: .milliseconds(10))
    }
    crowd.run(for: .seconds(3))
    let expected = Array(0..<50)
    #expect(crowd.delivered.allSatisfy { $0 == expected } && crowd.atServer.allSatisfy { $0 == expected })
    #expect(crowd.server.sessions.count == 100)
    for engine in [crowd.server] + crowd.clients { #expect(engine.pool.lentCount == 0) }
  }
}
