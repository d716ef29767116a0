import CausewayBase
import CausewayCrypto
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTelemetry
import CausewayTunnelCore
import Testing

@testable import CausewayRelay

@Suite("sessions at the relay")
struct RegistryTests {
  static func standing(_ body: @escaping @Sendable (RelayStand) async throws -> Void) async throws {
    try await onLoop { loop in
      let stand = try RelayStand(on: loop)
      do { try await body(stand) } catch {
        stand.close()
        throw error
      }
      stand.close()
    }
  }

  @Test("one of several tunnels that is lost is told with its request; the last one ends the session")
  func lostTunnels() async throws {
    try await Self.standing { stand in
      let client = try await stand.client()
      for (request, name) in [(4, "one"), (5, "two")] {
        guard case .created(let grant)? = try await client.create(request, name) else { throw StandError(text: "no tunnel") }
        #expect(grant.request == request)
      }
      let session = try #require(stand.registry.holder(of: "one"))
      #expect(stand.registry.holder(of: "two") === session && stand.registry.namesInUse.sorted() == ["one", "two"])
      session.lose("one")
      guard case .error(let lost)? = try await client.hear() else { throw StandError(text: "nothing told") }
      #expect(lost.code == .nameLost && lost.request == 4 && !lost.isFinal)
      #expect(stand.registry.holder(of: "one") == nil && stand.routes.route(named: "one") == nil)
      session.lose("two")
      guard case .error(let over)? = try await client.hear() else { throw StandError(text: "nothing told") }
      #expect(over.code == .sessionEnded && stand.registry.sessions.isEmpty && stand.registry.holders.isEmpty)
    }
  }

  @Test("a password for a TCP tunnel is refused, and the session goes on")
  func passwordForTCP() async throws {
    try await Self.standing { stand in
      let client = try await stand.client()
      let auth = TunnelRequest.BasicAuth(salt: .init(repeating: 1, count: 16), iterations: 1000, hash: .init(repeating: 2, count: 32))
      guard case .error(let error)? = try await client.ask(.create(TunnelRequest(request: 3, isHTTP: false, basicAuth: auth))) else {
        throw StandError(text: "not refused")
      }
      #expect(error.request == 3 && error.code == .protocolError)
      guard case .created? = try await client.create(4, isHTTP: false) else { throw StandError(text: "no tunnel") }
    }
  }
}

@Suite("lanes that are not taken")
struct RefusedLaneTests {
  @Test("too many logins get 503 with Retry-After instead of a 101")
  func tooManyLogins() async throws {
    try await RegistryTests.standing { stand in
      stand.registry.loginLimit = 1
      let first = SpokenClient(try await stand.connect(), stand.loop)
      try await first.open()
      #expect(first.head.hasPrefix("HTTP/1.1 101 "))
      let second = SpokenClient(try await stand.connect(), stand.loop)
      try await second.open()
      #expect(second.head.hasPrefix("HTTP/1.1 503 ") && second.head.contains("\r\nRetry-After: 2\r\n"), "\(second.head)")
      let isClosed = await stand.loop.until { second.peer.sawEnd }
      #expect(isClosed && stand.metrics.turnedAway.value == 1)
    }
  }

  @Test("a refused login is one warning with the peer's address in 10 s, without the token")
  func refusedLogins() async throws {
    try await RegistryTests.standing { stand in
      let wrong = Token.make().text
      for _ in 0..<3 {
        let client = SpokenClient(try await stand.connect(), stand.loop)
        try await client.open()
        guard case .error(let error)? = try await client.ask(.authenticate(token: wrong, version: 3)) else {
          throw StandError(text: "let in")
        }
        #expect(error.code == .unauthorized)
      }
      _ = try await stand.client()
      let warnings = stand.log.all(.warning)
      #expect(warnings.count == 1 && warnings[0].fields.fields.contains { $0.name == "peer" && $0.value == .string("127.0.0.1") })
      #expect(stand.log.all(.debug).contains { $0.message == "login accepted" })
      #expect(stand.metrics.refusedLogins.value == 3)
      for level in [LogLevel.debug, .info, .warning] {
        let texts = stand.log.all(level).map { "\($0)" }
        #expect(!texts.contains { $0.contains(wrong) || $0.contains(stand.token.text) })
      }
    }
  }
}

@Suite("an orderly end")
struct RelayDrainTests {
  @Test("clients are told, new lanes are sent away, and nobody is waited for when nothing runs")
  func idle() async throws {
    try await RegistryTests.standing { stand in
      let client = try await stand.client()
      guard case .created? = try await client.create(0, "kept") else { throw StandError(text: "no tunnel") }
      var isOver = false
      let start = stand.loop.now
      let drain = RelayDrain(stand.ingress, stand.registry) { isOver = true }
      #expect(stand.registry.isDraining && stand.ingress.isDraining)
      guard case .error(let error)? = try await client.hear() else { throw StandError(text: "nothing told") }
      #expect(error.code == .relayStopping && error.retryAfter != nil && !error.isFinal && error.request == nil)
      let isDone = await stand.loop.until { isOver }
      #expect(isDone && stand.loop.now - start < RelayDrain.requestLimit && stand.registry.sessions.isEmpty)
      withExtendedLifetime(drain) {}
    }
  }
}

@Suite("visitors of TCP tunnels")
struct WaitingTCPVisitorTests {
  /// A TCP tunnel whose session has lost its lane, and a visitor of it.
  static func detached(
    routeWait: Duration, _ body: @escaping @Sendable (RelayStand, RelaySession, PlainPeer) async throws -> Void
  ) async throws {
    try await onLoop { loop in
      var limits = IngressLimits()
      limits.routeWait = routeWait
      let stand = try RelayStand(on: loop, limits: limits)
      defer { stand.close() }
      let client = try await stand.client()
      guard case .created(let grant)? = try await client.create(0, isHTTP: false), let port = grant.remotePort else {
        throw StandError(text: "no tunnel")
      }
      let session = try #require(stand.registry.holder(of: grant.subdomain))
      session.driver.detach()
      let stream = try await Connector(on: loop).connect(to: [.loopback4(port: port)], timeout: .seconds(10))
      let visitor = PlainPeer(try TCPStream(adopting: stream, on: loop))
      visitor.send("early")
      let isHere = await loop.until { stand.ingress.connectionCount == 1 }
      #expect(isHere && session.driver.session.streamCount == 0)
      try await body(stand, session, visitor)
    }
  }

  @Test("one waits for a session that is away, and is served when it comes back")
  func served() async throws {
    try await Self.detached(routeWait: .seconds(30)) { stand, session, visitor in
      let (a, b) = try socketPair(on: stand.loop)
      let client = PlainPeer(b)
      let nothing: [UInt8] = []
      session.driver.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
      for name in stand.registry.namesInUse { stand.routes.wake(name) }
      let isServed = await stand.loop.until { client.text.contains("early") }
      #expect(isServed && session.driver.session.streamCount == 1 && !visitor.sawReset)
    }
  }

  @Test("one whose session stays away sees a reset after routeWait")
  func givenUp() async throws {
    try await Self.detached(routeWait: .milliseconds(50)) { stand, session, visitor in
      let isReset = await stand.loop.until { visitor.sawReset || visitor.sawEnd }
      #expect(isReset && visitor.sawReset && stand.ingress.connectionCount == 0 && session.driver.session.streamCount == 0)
    }
  }
}
