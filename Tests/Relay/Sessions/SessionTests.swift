import CausewayBase
import CausewayCrypto
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnel
import CausewayTunnelCore
import Testing

@testable import CausewayRelay

@Suite struct SessionTests {
  @Test("a login brings the URL, and a goodbye ends the session at once")
  func login() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let client = try ClientBench(loop, server: relay.address, token: token.text)
      #expect(await loop.until { client.ready != nil || client.failure != nil })
      #expect(client.ready == "http://shop.localhost:8080" && relay.upgrades == ["raw"])
      #expect(relay.registry.sessions.count == 1)
      var said = false
      client.client.stop { said = true }
      #expect(await loop.until { said && relay.registry.sessions.isEmpty })
      relay.close()
    }
  }

  @Test("a wrong token is final")
  func wrongToken() async throws {
    try await onLoop { loop in
      let relay = try RelayBench(loop)
      let client = try ClientBench(loop, server: relay.address, token: "wrong")
      #expect(await loop.until { client.failure != nil })
      #expect(client.failure?.kind == .refused && client.events == ["failed"])
      #expect(relay.registry.sessions.isEmpty)
      relay.close()
    }
  }

  @Test(
    "anything but a 101 for causeway/3 leads to a WebSocket at once, and is remembered",
    arguments: [
      "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", "",
      "garbage\r\n\r\n",
    ])
  func fallback(_ answer: String) async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      relay.rawAnswer = answer
      let proxy = try CuttableProxy(loop, to: relay.address)
      let client = try ClientBench(loop, server: proxy.address, token: token.text)
      #expect(await loop.until { client.ready != nil || client.failure != nil })
      #expect(relay.upgrades == ["raw", "webSocket"] && client.events == ["ready"])
      proxy.cut()
      #expect(await loop.until { client.events.last == "resumed" })
      #expect(relay.upgrades == ["raw", "webSocket", "webSocket"])
      client.stop()
      proxy.close()
      relay.close()
    }
  }

  @Test("a download goes on at the right byte through cut connections", arguments: [false, true])
  func resume(webSocket: Bool) async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      if webSocket { relay.rawAnswer = "" }
      let proxy = try CuttableProxy(loop, to: relay.address)
      let body = (0..<8_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
      let origin = try PlainServer(on: loop) { peer in
        peer.onData = { peer in
          peer.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n")
          peer.send(body)
        }
      }
      await loop.pause(.milliseconds(1))
      let client = try ClientBench(loop, server: proxy.address, token: token.text, origin: origin.port)
      #expect(await loop.until { client.ready != nil })
      let route = try #require(relay.routes.route(named: "shop"))
      let download = try #require(Download(route.driver, tunnel: route.tunnel))
      for cut in 1...3 {
        #expect(await loop.until { download.body.count >= cut * 1_500_000 })
        proxy.cut()
        #expect(await loop.until { client.events.filter { $0 == "resumed" }.count == cut })
      }
      #expect(await loop.until { download.ended || download.reset != nil })
      let isExact = download.body == body
      #expect(isExact && download.reset == nil)
      #expect(origin.peers.count == 1 && relay.registry.sessions.count == 1)
      client.stop()
      proxy.close()
      origin.close()
      relay.close()
    }
  }

  @Test("silence is noticed on both sides, and the session goes on over another connection")
  func frozen() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let proxy = try CuttableProxy(loop, to: relay.address)
      let client = try ClientBench(loop, server: proxy.address, token: token.text)
      #expect(await loop.until { client.ready != nil })
      proxy.freeze()
      #expect(await loop.until { client.events.last == "resumed" })
      #expect(client.events == ["ready", "reconnecting", "resumed"] && relay.registry.sessions.count == 1)
      client.stop()
      proxy.close()
      relay.close()
    }
  }

  @Test("a session that stays away ends on both sides; its streams are reset; the client comes back with a new one, and keeps it")
  func tooLate() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let proxy = try CuttableProxy(loop, to: relay.address)
      let client = try ClientBench(loop, server: proxy.address, token: token.text)
      #expect(await loop.until { client.ready != nil })
      let route = try #require(relay.routes.route(named: "shop"))
      proxy.isOpen = false
      proxy.cut()
      #expect(await loop.until { !route.driver.isAttached })
      let download = try #require(Download(route.driver, tunnel: route.tunnel))
      #expect(await loop.until { relay.registry.sessions.isEmpty })
      #expect(download.reset == .sessionEnded && !route.isLive)
      proxy.isOpen = true
      #expect(await loop.until { client.events.last == "restarted" })
      #expect(relay.routes.route(named: "shop")?.isLive == true)
      // The old session's timer must not end the new one.
      await loop.pause(.milliseconds(2500))
      #expect(client.events.last == "restarted" && relay.registry.sessions.count == 1 && client.client.statistics.isOnline)
      #expect(relay.routes.route(named: "shop")?.driver.isAttached == true)
      client.stop()
      proxy.close()
      relay.close()
    }
  }

  @Test("a relay that has forgotten everything gives the same name again, and the session lasts")
  func relayRestart() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let proxy = try CuttableProxy(loop, to: relay.address)
      let client = try ClientBench(loop, server: proxy.address, token: token.text, subdomain: nil)
      #expect(await loop.until { client.ready != nil })
      relay.close()
      let second = try RelayBench(loop, folder)
      proxy.target = second.address
      proxy.cut()
      #expect(await loop.until { client.events.last == "restarted" })
      #expect(!client.events.contains("url changed"))
      await loop.pause(.milliseconds(2500))
      #expect(client.events.last == "restarted" && second.registry.sessions.values.first?.isAttached == true)
      client.stop()
      proxy.close()
      second.close()
    }
  }

  @Test("a name is taken at once from a detached session, and left to one that answers")
  func takeover() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let proxy = try CuttableProxy(loop, to: relay.address)
      let first = try ClientBench(loop, server: proxy.address, token: token.text)
      #expect(await loop.until { first.ready != nil })
      let second = try ClientBench(loop, server: relay.address, token: token.text)
      #expect(await loop.until { second.failure != nil })
      #expect(second.failure?.kind == .refused && first.events == ["ready"])
      proxy.isOpen = false
      proxy.cut()
      let third = try ClientBench(loop, server: relay.address, token: token.text)
      let begin = SystemClock.now
      #expect(await loop.until { third.ready != nil })
      #expect(SystemClock.now - begin < .seconds(1))
      first.stop()
      third.stop()
      proxy.close()
      relay.close()
    }
  }

  @Test("a revoked token ends its session for good")
  func revoked() async throws {
    let folder = TemporaryFolder()
    let (account, token) = try RelayBench.makeAccount(folder)
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      for effect in [AdminEffect.tokenRevoked(token.hash), .endSessions(account: account.id)] {
        let client = try ClientBench(loop, server: relay.address, token: token.text)
        #expect(await loop.until { client.ready != nil })
        relay.registry.apply([effect])
        #expect(await loop.until { client.failure != nil })
        #expect(client.failure?.kind == .refused && relay.registry.sessions.isEmpty)
      }
      relay.close()
    }
  }

  @Test("a stranger cannot resume, whatever is wrong, and the session is unharmed; a lost answer costs nothing")
  func strangers() async throws {
    let folder = TemporaryFolder()
    let (_, token) = try RelayBench.makeAccount(folder)
    let (_, other) = try RelayBench.makeAccount(folder, "b@example.org")
    try await onLoop { loop in
      let relay = try RelayBench(loop, folder)
      let client = try ClientBench(loop, server: relay.address, token: token.text)
      #expect(await loop.until { client.ready != nil })
      let session = try #require(relay.registry.sessions.values.first)
      let key = [UInt8](repeating: 9, count: 32)
      let forged = try #require(SessionSecret(id: session.secret.id, key: SecretKey(copying: key.span)))
      let unknown = try #require(SessionSecret(id: [UInt8](repeating: 1, count: 16), key: SecretKey(copying: key.span)))
      for (secret, generation, account) in [
        (forged, UInt32(0), token), (session.secret, 1, token), (session.secret, 0, other), (unknown, 0, token),
      ] {
        let answer = try await Self.attemptResume(loop, relay, account.text, secret, generation)
        #expect(answer == .error(ControlError(.resumeRefused, "the session cannot be resumed: start a new one")))
      }
      #expect(client.events == ["ready"] && session.isAttached && session.generation == 0)
      // The true owner, on a connection that is lost before the client hears of it: the client still knows the older generation.
      let answer = try await Self.attemptResume(loop, relay, token.text, session.secret, 0)
      #expect(answer == .resumed(generation: 1))
      #expect(await loop.until { client.events.last == "resumed" && session.generation == 1 && !session.accepts(generation: 0) })
      // Confirmed: the one before the last proves nothing any more.
      let stale = try await Self.attemptResume(loop, relay, token.text, session.secret, 0)
      #expect(stale == .error(ControlError(.resumeRefused, "the session cannot be resumed: start a new one")))
      client.stop()
      relay.close()
    }
  }

  /// Logs in by hand and asks for a resume; the relay's answer.
  static func attemptResume(
    _ loop: EventLoop, _ relay: RelayBench, _ token: String, _ secret: SessionSecret, _ generation: UInt32
  ) async throws -> ControlMessage? {
    final class Talk: ControlExchangeOwner {
      var acceptsMessages: Bool { true }
      var messages: [ControlMessage] = []
      func exchangeReceived(_ message: ControlMessage) { messages.append(message) }
      func exchangeFailed(_ reason: String) {}
    }
    let (a, b) = try socketPair(on: loop)
    let nothing: [UInt8] = []
    let peer = PlainPeer(a)
    relay.registry.acceptLane(b, from: "test", upgrade: .raw, received: nothing.span)
    guard await loop.until(.seconds(10), { peer.text.hasSuffix("\r\n\r\n") }) else { return nil }
    let talk = Talk()
    let exchange = ControlExchange(Lane(a, received: nothing.span, framing: nil), talk)
    exchange.send(.authenticate(token: token, version: 3))
    guard await loop.until(.seconds(10), { talk.messages.count == 1 }), case .accepted(_, let nonce) = talk.messages[0] else { return nil }
    let own = [UInt8](repeating: 7, count: 32)
    exchange.send(
      .resume(
        id: secret.id, generation: generation, nonce: own, proof: secret.proof(relayNonce: nonce, clientNonce: own, generation: generation))
    )
    guard await loop.until(.seconds(10), { talk.messages.count == 2 }) else { return nil }
    exchange.end()
    exchange.lane.close()
    return talk.messages[1]
  }
}
