import CausewayBase
import CausewayTunnelCore
import CausewayWire
import Testing

@testable import CausewayRelayCore

private let policy = IngressPolicy(
  domain: "Tunnels.Test", publicHost: "relay.example", pseudonym: "relay-1",
  trustedProxies: [IPNetwork(IPAddress(ipv4: 0x0A00_0000), prefixLength: 8)!])

/// An `open` record as text: `METHOD target host body`, then a line for each field.
private func open(_ text: String, trusted: Bool = false, secure: Bool = false, strips: Bool = false) throws -> String {
  let head = RequestHead()
  let bytes = Array(text.utf8)
  let count = try head.parse(bytes.span)
  #expect(count == bytes.count)
  let out = ByteBuffer()
  let scratch = ByteBuffer()
  OpenRecord.append(
    head, bytes.span, visitor: Visitor(address: "10.0.0.1", isTrustedProxy: trusted, isSecure: secure), policy: policy, tunnel: 3,
    stripsAuthorization: strips, scratch: scratch, to: out)
  #expect(scratch.isEmpty)
  let record = out.bytes.array(in: 4..<out.count)
  var reader = HeadRecordReader(payload: 0..<record.count)
  let open = try reader.open(record.span)
  let span = record.span
  var lines = [
    "\(open.kind) \(open.tunnel) \(span.string(in: open.method)) \(span.string(in: open.target)) \(span.string(in: open.host)) \(open.body)"
  ]
  for _ in 0..<open.fieldCount {
    let (name, value) = try reader.field(record.span)
    lines.append(span.string(in: name) + ": " + span.string(in: value))
  }
  return lines.joined(separator: "\n")
}

private let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

private func respond(
  _ status: UInt16, _ body: BodyLength, _ fields: [(String, String)] = [], to facts: RequestFacts = RequestFacts(), mayPersist: Bool = true
) throws -> (VisitorResponse, String) {
  let record = ByteBuffer()
  var writer = HeadRecordWriter(response: status, reason: Array("R".utf8).span, body: body, to: record)
  for (name, value) in fields { writer.field(Array(name.utf8).span, Array(value.utf8).span) }
  writer.finish()
  let out = ByteBuffer()
  let response = try VisitorResponse.append(
    record.bytes, 4..<record.count, to: facts, mayPersist: mayPersist, at: { 784_111_777 }, into: out)
  let text = out.bytes.string(in: 0..<out.count)
  #expect(text.contains(date) == (status >= 200) || fields.contains { $0.0 == "Date" })
  return (response, text.replacing(date, with: ""))
}

@Suite struct IngressCoreTests {
  @Test(
    "a host names the relay, a tunnel, or something else",
    arguments: [
      ("tunnels.test", "relay"), ("TUNNELS.test", "relay"), ("relay.example", "relay"), ("localhost", "relay"), ("127.0.0.1", "relay"),
      ("[::1]", "relay"), ("Demo.tunnels.test", "Demo"), ("a.b.tunnels.test", "a.b"), ("demotunnels.test", "foreign"),
      ("example.com", "foreign"), ("x.relay.example", "foreign"), ("tunnels.test.evil", "foreign"),
    ])
  func hosts(_ host: String, _ expected: String) {
    let bytes = Array(host.utf8)
    let found: String =
      switch policy.classify(bytes.span, ByteRange(0, bytes.count)) {
      case .relay: "relay"
      case .foreign: "foreign"
      case .tunnel(let range): bytes.span.string(in: range)
      }
    #expect(found == expected)
  }

  @Test("hop-by-hop fields go before ours come; order and repetition stay")
  func openRecord() throws {
    let record = try open(
      "POST /a?b HTTP/1.1\r\nCookie: 1\r\nHost: demo.tunnels.test:81\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: X-Hop, X-Forwarded-For\r\nX-Hop: 1\r\n"
        + "Keep-Alive: 5\r\nProxy-Authorization: x\r\nX_Real_IP: 7.7.7.7\r\nForwarded: for=5.5.5.5\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
        + "Cookie: 2\r\nAuthorization: y\r\n\r\n")
    #expect(
      record == """
        http 3 POST /a?b demo.tunnels.test:81 unknown
        Cookie: 1
        Cookie: 2
        Authorization: y
        X-Forwarded-For: 10.0.0.1
        X-Real-IP: 10.0.0.1
        X-Forwarded-Proto: http
        X-Forwarded-Host: demo.tunnels.test:81
        Via: 1.1 relay-1
        TE: trailers
        """)
  }

  @Test("a trusted proxy's words are kept and continued")
  func trustedProxy() throws {
    let record = try open(
      "GET http://demo.tunnels.test HTTP/1.1\r\nHost: demo.tunnels.test\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n"
        + "X-Forwarded-Proto: https\r\nX-Forwarded-Host: public\r\nAuthorization: ours\r\n\r\n",
      trusted: true, strips: true)
    #expect(
      record == """
        http 3 GET / demo.tunnels.test none
        X-Forwarded-Proto: https
        X-Forwarded-Host: public
        X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.1
        X-Real-IP: 3.3.3.3
        Via: 1.1 relay-1
        """)
  }

  @Test(
    "X-Real-IP is the last address reported that is no trusted proxy's",
    arguments: [
      ("X-Forwarded-For: 1.1.1.1, 10.0.0.7, 10.0.0.8", "1.1.1.1"), ("X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.0.0.7", "1.1.1.1"),
      ("X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nX-Forwarded-For: 10.0.0.7", "1.1.1.1"), ("X-Forwarded-For: 10.0.0.9, 10.0.0.7", "10.0.0.9"),
      ("X-Forwarded-For: 1.1.1.1:4711,\t10.0.0.7:1", "1.1.1.1"), ("X-Forwarded-For: [2001:db8::1]:443, 10.0.0.7", "2001:db8::1"),
      ("X-Forwarded-For: 2001:db8::2", "2001:db8::2"), ("X-Forwarded-For: unknown, 10.0.0.7", "10.0.0.7"),
      ("X-Forwarded-For: unknown", "10.0.0.1"), ("X-Forwarded-For: ", "10.0.0.1"), ("X-Real-IP: 1.1.1.1", "1.1.1.1"),
      ("X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1", "1.1.1.1"),
    ])
  func realAddress(_ fields: String, _ expected: String) throws {
    let record = try open("GET / HTTP/1.1\r\nHost: demo.tunnels.test\r\n\(fields)\r\n\r\n", trusted: true)
    #expect(record.components(of: "X-Real-IP: ") == [expected])
  }

  @Test("Expect, Max-Forwards and WebSocket fields pass as they should")
  func specialFields() throws {
    #expect(
      try open("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").contains(
        "known(5)\nExpect: 100-continue\n"))
    #expect(
      try open("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 4\r\n\r\n", secure: true).contains("OPTIONS * a none\nMax-Forwards: 3\n"))
    let webSocket = try open(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    #expect(webSocket.hasPrefix("webSocket 3 GET / a none\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nX-"))
  }

  @Test(
    "the relay's own name twice in Via is a loop, once is not",
    arguments: [("1.1 relay-1", false), ("1.1 relay-1, 1.0 x, 1.1 relay-1", true), ("1.1 other", false)])
  func loops(_ via: String, _ isLoop: Bool) throws {
    let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nVia: \(via)\r\n\r\n".utf8)
    let head = RequestHead()
    _ = try head.parse(bytes.span)
    let found = policy.isLoop(head, bytes.span)
    #expect(found == isLoop)
  }

  @Test(
    "one framing for each visitor",
    arguments: [
      (200, .none, 1, false, "Content-Length: 0\r\n\r\n", .none, true),
      (200, .known(7), 1, false, "Content-Length: 7\r\n\r\n", .length(7), true),
      (200, .unknown, 1, false, "Transfer-Encoding: chunked\r\n\r\n", .chunked, true),
      (200, .unknown, 0, false, "Connection: close\r\n\r\n", .untilClose, false),
      (200, .known(7), 0, false, "Content-Length: 7\r\nConnection: keep-alive\r\n\r\n", .length(7), true),
      (204, .known(7), 1, false, "R\r\n\r\n", .none, true), (304, .known(7), 1, false, "Content-Length: 7\r\n\r\n", .none, true),
      (200, .known(7), 1, true, "Content-Length: 7\r\n\r\n", .none, true), (200, .unknown, 1, true, "R\r\n\r\n", .none, true),
    ] as [(UInt16, BodyLength, UInt8, Bool, String, VisitorBody, Bool)])
  func framing(_ status: UInt16, _ body: BodyLength, _ minor: UInt8, _ isHead: Bool, _ tail: String, _ expected: VisitorBody, _ keeps: Bool)
    throws
  {
    var facts = RequestFacts()
    facts.minorVersion = minor
    facts.isHead = isHead
    let (response, text) = try respond(status, body, to: facts)
    #expect(text.hasSuffix(tail), "\(text)")
    #expect(response.body == expected && response.keepsAlive == keeps && response.kind == .final)
    let (closing, closed) = try respond(status, body, to: facts, mayPersist: false)
    #expect(!closing.keepsAlive && closed.contains("Connection: close\r\n"))
  }

  @Test("framing and hop-by-hop fields of a client are not believed")
  func responseFields() throws {
    let (_, text) = try respond(
      200, .known(1),
      [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Connection", "x"), ("A", "1"), ("Keep-Alive", "1"), ("A", "2")])
    #expect(text == "HTTP/1.1 200 R\r\nA: 1\r\nA: 2\r\nContent-Length: 1\r\n\r\n")
  }

  @Test(
    "a field that could end the head is refused", arguments: [("A", "1\r\n2"), ("A", "12345678901234\n7"), ("A b", "1"), ("A", "\u{7F}")])
  func forgedFields(_ name: String, _ value: String) {
    #expect(throws: RecordError.self) { try respond(200, .none, [(name, value)]) }
  }

  @Test("1xx pass to HTTP/1.1 only, 101 only to those who asked")
  func interim() throws {
    var old = RequestFacts()
    old.minorVersion = 0
    var webSocket = RequestFacts()
    webSocket.isWebSocket = true
    let (early, text) = try respond(103, .none, [("Link", "x")])
    #expect(early.kind == .informational && text == "HTTP/1.1 103 R\r\nLink: x\r\n\r\n")
    let (withheld, nothing) = try respond(103, .none, to: old)
    #expect(withheld.kind == .withheld && nothing.isEmpty)
    let (switching, head) = try respond(101, .none, to: webSocket)
    #expect(switching.kind == .switching && head == "HTTP/1.1 101 R\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    #expect(throws: RecordError.self) { try respond(101, .none) }
  }

  @Test("trailers drop what must not come behind a body")
  func trailers() throws {
    let record = ByteBuffer()
    var writer = HeadRecordWriter(trailersTo: record)
    for (name, value) in [("X-Sum", "1"), ("Content-Length", "2"), ("Set-Cookie", "3"), ("Transfer-Encoding", "chunked")] {
      writer.field(Array(name.utf8).span, Array(value.utf8).span)
    }
    writer.finish()
    let out = ByteBuffer()
    try VisitorResponse.appendTrailers(record.bytes, 4..<record.count, into: out)
    let text = out.bytes.string(in: 0..<out.count)
    #expect(text == "0\r\nX-Sum: 1\r\n\r\n")
  }

  @Test(
    "pages come in the form that was asked for",
    arguments: [
      ("text/html,application/xhtml+xml,*/*;q=0.8", PageFormat.html), ("application/json", .json),
      ("application/problem+JSON, text/html", .json),
      ("*/*", .plain), ("", .plain),
    ])
  func formats(_ accept: String, _ expected: PageFormat) {
    let bytes = Array(accept.utf8)
    #expect(PageFormat(accept: bytes.span) == expected)
  }

  @Test("every refusal is a whole answer that says where it failed, in all forms")
  func pages() throws {
    let refusals: [Refusal] =
      HTTPHeadError.allCases.map { .head($0) } + (1...12).map { .stream(ResetCode(rawValue: $0)) } + [
        .malformedBody, .hostMissing, .upgradeWithBody, .methodNotAllowed, .unauthorized, .noSuchTunnel, .tunnelOffline,
        .tunnelReconnecting,
        .noAnswer, .loop, .headTooSlow, .bodyTooSlow, .tooManyFromAddress, .tooManyGuesses, .overloaded, .upgradeRequired, .notFoundHere,
      ]
    let scratch = ByteBuffer()
    for refusal in refusals {
      for format in [PageFormat.plain, .html, .json] {
        let out = ByteBuffer()
        RefusalPage.append(refusal, format, to: RequestFacts(), keepsAlive: false, at: 784_111_777, scratch: scratch, into: out)
        let text = out.bytes.string(in: 0..<out.count)
        let parts = text.split(separator: "\r\n\r\n", maxSplits: 1)
        #expect(parts.count == 2 && scratch.isEmpty)
        #expect(parts[0].hasPrefix("HTTP/1.1 \(refusal.status) "))
        #expect(parts[0].contains("Content-Length: \(parts[1].utf8.count)\r\n"))
        #expect(parts[0].hasSuffix("close") && parts[0].contains(date))
        #expect(parts[1].contains("\(refusal.explanation)") && parts[1].contains(refusal.side.rawValue))
        #expect(parts[0].contains("Retry-After: ") == ([429, 503].contains(refusal.status)))
        let head = ByteBuffer()
        var facts = RequestFacts()
        facts.isHead = true
        RefusalPage.append(refusal, format, to: facts, keepsAlive: false, at: 784_111_777, scratch: scratch, into: head)
        #expect(head.count == parts[0].utf8.count + 4)
      }
    }
  }

  @Test(
    "slashes may repeat on the control path",
    arguments: [
      ("/api/v1/ws/tunnel", ControlTarget.tunnel), ("//api/v1//ws/tunnel?x=1", .tunnel), ("/api/v1/ws/tunnel/", .other), ("/", .root),
      ("//", .root),
      ("/?q", .root), ("/healthz", .health), ("/healthzz", .other), ("/api", .other),
    ])
  func controlTargets(_ path: String, _ expected: ControlTarget) {
    let bytes = Array(path.utf8)
    #expect(ControlTarget(bytes.span, path: ByteRange(0, bytes.count)) == expected)
  }

  @Test(
    "Basic credentials are read strictly",
    arguments: [("Basic dTpw", "u:p"), ("bAsIc   dTpw", "u:p"), ("Basic dTp", nil), ("Bearer dTpw", nil), ("Basic", nil)])
  func credentials(_ value: String, _ expected: String?) {
    let bytes = Array(value.utf8)
    #expect(BasicCredentials.decode(bytes.span).map { String(decoding: $0, as: UTF8.self) } == expected)
  }

  @Test("a body must bring 1 KiB/s over 30 s after 10 s; our own pauses do not count")
  func bodyRate() {
    func at(_ seconds: Int) -> Instant { .zero + .seconds(seconds) }
    var rate = BodyRate(at: .zero)
    #expect(rate.deadline == at(40))
    rate.received(30 * 1024)
    var isTooSlow = rate.isTooSlow(at: at(40))
    #expect(!isTooSlow && rate.deadline == at(70))
    rate.pause(at: at(50))
    #expect(rate.deadline == .distantFuture)
    rate.resume(at: at(150))
    #expect(rate.deadline == at(170))
    rate.received(30 * 1024 - 1)
    isTooSlow = rate.isTooSlow(at: at(169))
    #expect(!isTooSlow)
    isTooSlow = rate.isTooSlow(at: at(170))
    #expect(isTooSlow)
  }

  @Test("connections are bounded in all and for each address")
  func gate() {
    var gate = ConnectionGate(limit: 4, limitPerAddress: 2)
    let a = IPAddress(ipv4: 1)
    let b = IPAddress(ipv6High: 5, low: 1)
    let sameNetwork = IPAddress(ipv6High: 5, low: 99)
    let first = [gate.enter(a, isExempt: false), gate.enter(a, isExempt: false), gate.enter(a, isExempt: false)]
    #expect(first == [.admitted, .admitted, .tooManyFromAddress])
    gate.leave(a)
    let again = gate.enter(a, isExempt: false)
    #expect(again == .admitted)
    let exempt = gate.enter(a, isExempt: true)
    #expect(exempt == .admitted)
    let last = [gate.enter(b, isExempt: false), gate.enter(sameNetwork, isExempt: false), gate.enter(nil, isExempt: true)]
    #expect(last == [.admitted, .tooManyInAll, .tooManyInAll])
    #expect(gate.count == 4)
  }
}

extension String {
  /// What follows `prefix` on each line that begins so.
  fileprivate func components(of prefix: String) -> [String] {
    split(separator: "\n").filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }
}
