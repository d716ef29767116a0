import CausewayBase
import CausewayCrypto
import CausewayLanes
import CausewayLinuxIO
import CausewayRelayCore
import CausewayTunnelCore
import Testing

@testable import CausewayRelay

private func get(_ path: String, _ fields: String = "", host: String = "demo.tunnels.test", version: String = "1.1") -> String {
  "GET \(path) HTTP/\(version)\r\nHost: \(host)\r\n\(fields)\r\n"
}

@Suite struct VisitorConnectionTests {
  @Test("a connection carries one request after another")
  func keepAlive() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    for _ in 0..<3 {
      visitor.send(get("/hello"))
      let answer = visitor.receive(until: "hello")
      #expect(answer.hasPrefix("HTTP/1.1 200 Fine\r\nX-Origin: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\n"))
      #expect(!answer.contains("Connection"))
    }
    #expect(fixture.on { $0.ingress.connectionCount } == 1)
    #expect(fixture.eventually { $0.relay.session.streamCount == 0 && $0.client.session.streamCount == 0 })
  }

  @Test("pipelined requests are answered in order, also after pages of our own")
  func pipelining() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(
      get("/hello") + get("/x", host: "nobody.tunnels.test") + get("/echo") + get("/healthz", host: "127.0.0.1")
        + get("/hello", "Connection: close\r\n"))
    let (text, end) = visitor.receiveAll()
    let statuses = text.split(separator: "\r\n").filter { $0.contains("HTTP/1.1 ") }.map {
      $0.suffix(from: $0.firstRange(of: "HTTP/1.1")!.lowerBound)
    }
    #expect(
      statuses.map(String.init) == [
        "HTTP/1.1 200 Fine", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 Fine", "HTTP/1.1 200 OK", "HTTP/1.1 200 Fine",
      ])
    #expect(text.hasSuffix("Connection: close\r\n\r\nhello"))
    #expect(end == .finished)
  }

  @Test("many pages of our own in a row need no further event, and others get their turn")
  func pipelinedPages() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    let page = get("/x", host: "nobody.tunnels.test")
    visitor.send(String(repeating: page, count: 99) + get("/healthz", "Connection: close\r\n", host: "localhost"))
    let (text, end) = visitor.receiveAll()
    #expect(text.ranges(of: "HTTP/1.1 404 ").count == 99)
    #expect(text.hasSuffix("ok\n") && end == .finished)
  }

  @Test("a head may come byte by byte")
  func drip() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    for byte in get("/hello", "Connection: close\r\n").utf8 { visitor.send([byte]) }
    #expect(visitor.receiveAll().text.hasSuffix("hello"))
  }

  @Test("bodies travel with a length or in chunks, trailers behind them")
  func bodies() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 3\r\n\r\nabc")
    #expect(visitor.receive(until: "0\r\n\r\n").hasSuffix("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
    visitor.send("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    visitor.send("2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\nContent-Length: 9\r\n\r\n")
    #expect(visitor.receive(until: "5\r\n\r\n").hasSuffix("\r\n\r\n5\r\nabcde\r\n0\r\nX-Sum: 5\r\n\r\n"))
    let large = [UInt8](repeating: 0x62, count: 300_000)
    visitor.send("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: \(large.count)\r\nConnection: close\r\n\r\n")
    visitor.send(large)
    let (bytes, _) = visitor.receiveAllBytes()
    #expect(bytes.count { $0 == 0x62 } == large.count)
    #expect(String(decoding: bytes.suffix(7), as: UTF8.self) == "\r\n0\r\n\r\n")
  }

  @Test("an early answer reaches a visitor that is still sending")
  func earlyAnswer() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send("POST /early HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 10000000\r\n\r\n")
    visitor.send([UInt8](repeating: 0, count: 1_000_000))
    visitor.finish()
    let (text, end) = visitor.receiveAll()
    #expect(text.hasPrefix("HTTP/1.1 413 "))
    #expect(text.hasSuffix("Connection: close\r\n\r\nlarge"))
    #expect(end == .finished)
    #expect(fixture.eventually { $0.ingress.connectionCount == 0 && $0.relay.session.streamCount == 0 })
  }

  @Test("a small unwanted body does not cost the connection")
  func smallUnwantedBody() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send("POST /early HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 1000\r\n\r\n")
    #expect(!visitor.receive(until: "large").contains("Connection: close"))
    visitor.send([UInt8](repeating: 0x47, count: 1000))
    visitor.send(get("/hello"))
    #expect(visitor.receive(until: "hello").hasPrefix("HTTP/1.1 200 "))
  }

  @Test("100 and 103 pass, but not to HTTP/1.0")
  func interim() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(
      "POST /continue HTTP/1.1\r\nHost: demo.tunnels.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
    #expect(visitor.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Fine\r\n\r\n")
    visitor.send("abc")
    #expect(visitor.receiveAll().text.hasSuffix("3\r\nabc\r\n0\r\n\r\n"))
    #expect(
      fixture.exchange(get("/hints", "Connection: close\r\n")).hasPrefix("HTTP/1.1 103 Fine\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 Fine\r\n")
    )
    #expect(fixture.exchange(get("/hints", version: "1.0")).hasPrefix("HTTP/1.1 200 Fine\r\n"))
  }

  @Test("HEAD, 204 and 304 have no body, and the connection goes on")
  func bodiless() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send("HEAD /head HTTP/1.1\r\nHost: demo.tunnels.test\r\n\r\n")
    #expect(visitor.receive(until: "\r\n\r\n") == "HTTP/1.1 200 Fine\r\nContent-Length: 1234\r\n\r\n")
    visitor.send(get("/204"))
    #expect(visitor.receive(until: "\r\n\r\n") == "HTTP/1.1 204 Fine\r\n\r\n")
    visitor.send(get("/304"))
    #expect(visitor.receive(until: "\r\n\r\n") == "HTTP/1.1 304 Fine\r\nContent-Length: 99\r\nETag: x\r\n\r\n")
    visitor.send("HEAD / HTTP/1.1\r\nHost: nobody.tunnels.test\r\nConnection: close\r\n\r\n")
    #expect(visitor.receiveAll().text.hasSuffix("\r\n\r\n"))
  }

  @Test("HTTP/1.0 gets no chunks; keep-alive only when asked")
  func http10() throws {
    let fixture = try IngressFixture()
    let text = fixture.exchange("POST /echo HTTP/1.0\r\nHost: demo.tunnels.test\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc")
    #expect(text == "HTTP/1.1 200 Fine\r\nConnection: close\r\n\r\nabc")
    let visitor = fixture.connect()
    visitor.send(get("/hello", "Connection: keep-alive\r\n", version: "1.0"))
    #expect(visitor.receive(until: "hello").contains("\r\nConnection: keep-alive\r\n"))
    visitor.send(get("/hello", version: "1.0"))
    let (last, end) = visitor.receiveAll()
    #expect(last.contains("\r\nConnection: close\r\n") && end == .finished)
  }

  @Test("a cut answer never looks complete")
  func truncation() throws {
    let fixture = try IngressFixture()
    // The reset overtakes what is still queued: nothing has begun, so a page tells.
    #expect(fixture.exchange(get("/cut-length", "Connection: close\r\n")).hasPrefix("HTTP/1.1 502 "))
    for path in ["/cut-unknown", "/short"] {
      let visitor = fixture.connect()
      visitor.send(get(path))
      let (text, _) = visitor.receiveAll()
      #expect(text.contains("short"))
      #expect(!text.hasSuffix("0\r\n\r\n"))
    }
    let old = fixture.connect()
    old.send(get("/cut-unknown", version: "1.0"))
    let (text, end) = old.receiveAll()
    #expect(text.hasSuffix("short"))
    #expect(end == .reset)
  }

  @Test(
    "what goes wrong before an answer becomes a page",
    arguments: [
      ("/refused", "502", "service_refused"), ("/timeout", "504", "service_timeout"), ("/overloaded", "503", "overloaded"),
      ("/gone", "502", "tunnel_offline"), ("/endless-end", "502", "service_aborted"), ("/forged", "502", "service_malformed"),
      ("/bad-switch", "502", "service_malformed"),
    ])
  func pages(_ path: String, _ status: String, _ code: String) throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get(path, "Accept: application/json\r\n"))
    let answer = visitor.receive(until: "}}\n")
    #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
    #expect(answer.contains("\"code\":\"\(code)\""), "\(answer)")
    #expect(answer.contains("Retry-After") == (status == "503"))
    visitor.send(get("/hello"))
    #expect(visitor.receive(until: "hello").hasPrefix("HTTP/1.1 200 "), "the connection goes on")
  }

  @Test("names lead to their tunnel, the relay itself, or a page")
  func routing() throws {
    let fixture = try IngressFixture()
    func status(_ request: String) -> String { String(fixture.exchange(request).dropFirst(9).prefix(3)) }
    let close = "Connection: close\r\n"
    #expect(status(get("/hello", close, host: "DEMO.Tunnels.Test:8080")) == "200")
    #expect(status(get("/hello", close, host: "nobody.tunnels.test")) == "404")
    #expect(status(get("/hello", close, host: "elsewhere.example")) == "404")
    #expect(status(get("/healthz", close, host: "tunnels.test")) == "200")
    #expect(status(get("/api/v1/x", close, host: "[::1]:80")) == "404")
    #expect(status(get("/api/v1/ws/tunnel", close, host: "localhost")) == "426")
    #expect(status("TRACE / HTTP/1.1\r\nHost: demo.tunnels.test\r\nConnection: close\r\n\r\n") == "405")
    #expect(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == "400")
    #expect(status("GET / HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n") == "400")
    #expect(status("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n") == "400")
    #expect(status(get("/", close + "Via: 1.1 relay-1, 1.1 b\r\nVia: 1.1 relay-1\r\n")) == "508")
  }

  @Test("the service sees the visitor's address and no hop-by-hop field")
  func forwardedFields() throws {
    let fixture = try IngressFixture()
    let text = fixture.exchange(
      get(
        "/fields",
        "X-Forwarded-For: 9.9.9.9\r\nX_Forwarded_For: 8.8.8.8\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nUpgrade: h2c\r\nCookie: a\r\n"
      ))
    let body = text[text.firstRange(of: "\r\n\r\n")!.upperBound...]
    #expect(
      body == """
        GET demo.tunnels.test 7
        Cookie: a
        X-Forwarded-For: 127.0.0.1
        X-Real-IP: 127.0.0.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: demo.tunnels.test
        Via: 1.1 relay-1

        """)
  }

  @Test("clients' lanes are handed on with what came behind the head")
  func lanes() throws {
    let fixture = try IngressFixture()
    let raw = fixture.connect()
    raw.send("GET //api/v1//ws/tunnel HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: causeway/3\r\n\r\nframes")
    #expect(fixture.eventually { $0.control.lanes.count == 1 })
    #expect(fixture.on { $0.control.lanes[0].isRaw && $0.control.lanes[0].received == "frames" && $0.control.lanes[0].stream.isOpen })
    #expect(fixture.on { $0.ingress.connectionCount } == 0)
    let webSocket = fixture.connect()
    webSocket.send(
      get(
        "/api/v1/ws/tunnel",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        host: "localhost"))
    #expect(fixture.eventually { $0.control.lanes.count == 2 && !$0.control.lanes[1].isRaw })
    let old = fixture.exchange(
      get("/api/v1/ws/tunnel", "Connection: Upgrade\r\nUpgrade: causeway/9\r\n", host: "localhost")
        + get("/", "Connection: close\r\n", host: "localhost"))
    #expect(old.hasPrefix("HTTP/1.1 426 "))
  }

  static let webSocketFields =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

  @Test("after a 101 bytes pass both ways, those behind the heads first")
  func webSocket() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get("/ws", Self.webSocketFields) + "first")
    let answer = visitor.receive(until: "first")
    #expect(answer == "HTTP/1.1 101 Fine\r\nSec-WebSocket-Accept: abc\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhifirst")
    visitor.send("second")
    #expect(visitor.receive(until: "second") == "second")
    visitor.finish()
    #expect(visitor.receiveAll().end == .finished)
    #expect(fixture.eventually { $0.ingress.connectionCount == 0 && $0.relay.session.streamCount == 0 })
  }

  @Test("a half-closed WebSocket still brings what the service says")
  func halfClose() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get("/ws-half", Self.webSocketFields))
    #expect(visitor.receive(until: "hi").hasSuffix("hi"))
    visitor.finish()
    let (text, end) = visitor.receiveAll()
    #expect(text == "after" && end == .finished)
  }

  @Test("a refused upgrade is an ordinary answer")
  func deniedUpgrade() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get("/ws-denied", Self.webSocketFields))
    #expect(visitor.receive(until: "no").hasPrefix("HTTP/1.1 403 "))
    visitor.send(get("/hello"))
    #expect(visitor.receive(until: "hello").hasPrefix("HTTP/1.1 200 "))
  }

  @Test("a visitor that reads nothing holds its window and no more")
  func stalledVisitor() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get("/bulk", "Connection: close\r\n"))
    _ = visitor.receiveSome(10)
    let other = fixture.connect()
    for _ in 0..<20 {
      other.send(get("/hello"))
      #expect(other.receive(until: "hello").hasSuffix("hello"))
    }
    let sent = fixture.on { parts in 64 * 1024 * 1024 - parts.origin.streams[0].bulk }
    #expect(sent < 24 * 1024 * 1024, "sent \(sent)")
    let (bytes, end) = visitor.receiveAllBytes()
    #expect(bytes.count > 64 * 1024 * 1024 - 10 && end == .finished, "\(bytes.count) bytes, then \(end)")
  }

  @Test("a visitor that is gone ends its stream")
  func visitorGone() throws {
    let fixture = try IngressFixture()
    do {
      let visitor = fixture.connect()
      visitor.send(get("/bulk"))
      _ = visitor.receiveSome()
    }
    #expect(fixture.eventually { $0.origin.resets == [.cancelled] })
    do {
      let visitor = fixture.connect()
      visitor.send("POST /never HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 9\r\n\r\nabc")
      #expect(fixture.eventually { $0.relay.session.streamCount == 1 })
    }
    #expect(fixture.eventually { $0.origin.resets.count == 2 })
    do {
      let visitor = fixture.connect()
      visitor.send(get("/never"))
      #expect(fixture.eventually { $0.relay.session.streamCount == 1 })
    }
    #expect(fixture.eventually { $0.origin.resets.count == 3 && $0.ingress.connectionCount == 0 })
  }

  @Test("a visitor that only finished its direction gets its answer")
  func finishedVisitor() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect()
    visitor.send(get("/hello"))
    visitor.finish()
    #expect(visitor.receiveAll().text.hasSuffix("hello"))
  }

  @Test("a request waits for a session that is away")
  func waiting() throws {
    let fixture = try IngressFixture(attached: false)
    let visitor = fixture.connect()
    visitor.send("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
    #expect(fixture.eventually { $0.ingress.connectionCount == 1 })
    #expect(fixture.on { $0.relay.session.streamCount } == 0)
    fixture.on { parts in
      try? parts.attach(parts.ingress.loop, resumed: false)
      parts.routes.wake("demo")
    }
    #expect(visitor.receiveAll().text.hasSuffix("3\r\nabc\r\n0\r\n\r\n"))
  }

  @Test("a session that stays away means 503 with Retry-After")
  func waitingTooLong() throws {
    var limits = IngressLimits()
    limits.routeWait = .milliseconds(50)
    let fixture = try IngressFixture(limits: limits, attached: false)
    let text = fixture.exchange(get("/hello", "Connection: close\r\n"))
    #expect(text.hasPrefix("HTTP/1.1 503 "))
    #expect(text.contains("\r\nRetry-After: 2\r\n"))
  }

  @Test("slow heads, silent connections and idle ones end in time")
  func timeouts() throws {
    var limits = IngressLimits()
    limits.firstByte = .milliseconds(50)
    limits.head = .milliseconds(50)
    limits.keepAliveIdle = .milliseconds(50)
    let fixture = try IngressFixture(limits: limits)
    #expect(fixture.connect().receiveAll().text == "")
    let slow = fixture.connect()
    slow.send("GET / HT")
    #expect(slow.receive(until: ".\n").hasPrefix("HTTP/1.1 408 "))
    let idle = fixture.connect()
    idle.send(get("/hello"))
    let (text, end) = idle.receiveAll()
    #expect(text.hasSuffix("hello") && end == .finished)
  }

  @Test("a visitor that takes nothing is cut off")
  func sendTimeout() throws {
    var limits = IngressLimits()
    limits.sendProgress = .milliseconds(100)
    let fixture = try IngressFixture(limits: limits)
    let visitor = fixture.connect()
    visitor.send(get("/bulk"))
    #expect(fixture.eventually { $0.origin.resets == [.cancelled] && $0.ingress.connectionCount == 0 })
    #expect(visitor.receiveAll().end == .reset)
  }

  @Test("a protected tunnel asks for the password and keeps it from the service")
  func basicAuth() throws {
    let salt = [UInt8](repeating: 7, count: 16)
    let verifier = PasswordVerifier(credential: Array("u:p".utf8).span, salt: InlineArray<16, UInt8>(repeating: 7), iterations: 1)
    let hash = verifier.hash.indices.map { verifier.hash[$0] }
    let fixture = try IngressFixture(basicAuth: BasicAuthVerifier(TunnelRequest.BasicAuth(salt: salt, iterations: 1, hash: hash)))
    let visitor = fixture.connect()
    for wrong in ["", "Authorization: Basic dTp4\r\n", "Authorization: Bearer dTpw\r\n"] {
      visitor.send(get("/fields", wrong))
      let answer = visitor.receive(until: ".\n")
      #expect(answer.hasPrefix("HTTP/1.1 401 ") && answer.contains("WWW-Authenticate: Basic "))
    }
    visitor.send(get("/fields", "Authorization: Basic dTpw\r\nConnection: close\r\n"))
    let answer = visitor.receiveAll().text
    #expect(answer.hasPrefix("HTTP/1.1 200 ") && !answer.contains("Authorization"))
    #expect(fixture.on { $0.origin.streams.count } == 1)
  }

  @Test("guessing a password ends in 429, and does not lock out who has it")
  func guessing() throws {
    let salt = [UInt8](repeating: 7, count: 16)
    let verifier = PasswordVerifier(credential: Array("u:p".utf8).span, salt: InlineArray<16, UInt8>(repeating: 7), iterations: 1)
    let hash = verifier.hash.indices.map { verifier.hash[$0] }
    let fixture = try IngressFixture(basicAuth: BasicAuthVerifier(TunnelRequest.BasicAuth(salt: salt, iterations: 1, hash: hash)))
    let right = "Authorization: Basic dTpw\r\nConnection: close\r\n"
    #expect(fixture.exchange(get("/hello", right)).hasPrefix("HTTP/1.1 200 "))
    let visitor = fixture.connect()
    for _ in 0..<GuessLimiter.burst {
      visitor.send(get("/hello", "Authorization: Basic dTp4\r\n"))
      #expect(visitor.receive(until: ".\n").hasPrefix("HTTP/1.1 401 "))
    }
    visitor.send(get("/hello", "Authorization: Basic dTp4\r\n"))
    let refused = visitor.receive(until: ".\n")
    #expect(refused.hasPrefix("HTTP/1.1 429 ") && refused.contains("\r\nRetry-After: "))
    #expect(fixture.exchange(get("/hello", right)).hasPrefix("HTTP/1.1 200 "))
    #expect(fixture.exchange(get("/hello", "Connection: close\r\n")).hasPrefix("HTTP/1.1 401 "), "no password is no guess")
  }

  @Test("a name whose session ended is offline at once; only names from before the start are waited for")
  func endedSession() throws {
    var limits = IngressLimits()
    limits.routeWait = .milliseconds(50)
    let fixture = try IngressFixture(limits: limits)
    fixture.on { $0.routes.remove($0.route) }
    #expect(fixture.exchange(get("/hello", "Connection: close\r\n")).hasPrefix("HTTP/1.1 502 "))
    #expect(fixture.exchange(get("/hello", "Connection: close\r\n", host: "offline.tunnels.test")).hasPrefix("HTTP/1.1 503 "))
  }

  @Test("TCP ports pass bytes and half-closes; a reset stays a reset")
  func tcp() throws {
    let fixture = try IngressFixture()
    let visitor = fixture.connect(tcp: true)
    visitor.send("ping")
    #expect(visitor.receive(until: "ping") == "ping")
    #expect(fixture.on { $0.origin.streams[0].visitor.hasPrefix("127.0.0.1:") && $0.origin.streams[0].tunnel == 7 })
    visitor.finish()
    #expect(visitor.receiveAll().end == .finished)
    let other = fixture.connect(tcp: true)
    other.send("x")
    #expect(other.receive(until: "x") == "x")
    fixture.on { $0.client.reset($0.origin.streams[1].id, .originAborted) }
    #expect(other.receiveAll().end == .reset)
    #expect(fixture.eventually { $0.ingress.connectionCount == 0 })
  }

  @Test("draining closes idle connections at once and others after their answer")
  func draining() throws {
    let fixture = try IngressFixture()
    let idle = fixture.connect()
    idle.send(get("/hello"))
    #expect(idle.receive(until: "hello").hasSuffix("hello"))
    let busy = fixture.connect()
    busy.send("POST /echo HTTP/1.1\r\nHost: demo.tunnels.test\r\nContent-Length: 3\r\n\r\nab")
    #expect(fixture.eventually { $0.relay.session.streamCount == 1 })
    fixture.on { $0.ingress.beginDraining() }
    #expect(idle.receiveAll().end == .finished)
    busy.send("c")
    busy.finish()
    let text = busy.receiveAll().text
    #expect(text.contains("Connection: close") && text.hasSuffix("abc\r\n0\r\n\r\n"))
  }
}
