import CausewayBase
import CausewayWire
import Testing

private let crlf = "\r\n\r\n"

/// Rows that must be accepted: text, method, path, framing, keep-alive, host.
private let accepted: [(text: String, method: HTTPMethod, path: String, framing: BodyFraming, keepAlive: Bool, host: String?)] = [
  ("GET / HTTP/1.1\r\nHost: a.example" + crlf, .get, "/", .none, true, "a.example"),
  ("GET /where?q=now HTTP/1.1\r\nHost: www.example.org" + crlf, .get, "/where?q=now", .none, true, "www.example.org"),
  ("GET http://www.example.org/pub/WWW/ HTTP/1.1\r\nHost: www.example.org" + crlf, .get, "/pub/WWW/", .none, true, "www.example.org"),
  ("GET HTTP://A.example:80?x HTTP/1.1\r\nHost: a.EXAMPLE" + crlf, .get, "?x", .none, true, "a.example"),
  ("GET https://a.example HTTP/1.1\r\nHost: a.example:443" + crlf, .get, "", .none, true, "a.example"),
  ("CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com" + crlf, .connect, "", .none, true, "www.example.com"),
  ("OPTIONS * HTTP/1.1\r\nHost: a" + crlf, .options, "", .none, true, "a"),
  ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5" + crlf + "hello", .post, "/", .length(5), true, "a"),
  ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005" + crlf, .post, "/", .length(5), true, "a"),
  ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0" + crlf, .post, "/", .length(0), true, "a"),
  ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t9223372036854775807 \t" + crlf, .post, "/", .length(1 << 63 - 1), true, "a"),
  ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunked\t" + crlf, .put, "/", .chunked, true, "a"),
  ("GET / HTTP/1.1\r\nhOST: A.Example.:8080\r\nConnection: foo, CLOSE" + crlf, .get, "/", .none, false, "a.example"),
  ("GET / HTTP/1.1\r\nHost: [2001:DB8::1]:443" + crlf, .get, "/", .none, true, "[2001:db8::1]"),
  ("GET / HTTP/1.0" + crlf, .get, "/", .none, false, nil),
  ("GET / HTTP/1.0\r\nConnection: keep-alive" + crlf, .get, "/", .none, true, nil),
  ("GET / HTTP/1.0\r\nConnection: keep-alive, close" + crlf, .get, "/", .none, false, nil),
  ("\r\n\r\nDELETE /x HTTP/1.1\r\nHost: a" + crlf, .delete, "/x", .none, true, "a"),
  ("PROPFIND / HTTP/1.1\r\nHost: a" + crlf, .other, "/", .none, true, "a"),
  ("get / HTTP/1.1\r\nHost: a" + crlf, .other, "/", .none, true, "a"),
  ("GET / HTTP/1.7\r\nHost: a" + crlf, .get, "/", .none, true, "a"),
  // Opaque to us, and in use: passed on unaltered
  ("GET //a//b HTTP/1.1\r\nHost: a" + crlf, .get, "//a//b", .none, true, "a"),
  ("GET /%2e%2e/b HTTP/1.1\r\nHost: a" + crlf, .get, "/%2e%2e/b", .none, true, "a"),
  ("GET /?a\\b%00{|} HTTP/1.1\r\nHost: a" + crlf, .get, "/?a\\b%00{|}", .none, true, "a"),
  ("GET /100%/é HTTP/1.1\r\nHost: a" + crlf, .get, "/100%/é", .none, true, "a"),
  ("GET /000%20 HTTP/1.1\r\nHost: a" + crlf, .get, "/000%20", .none, true, "a"),
  (
    "GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: a" + crlf, .get, "/" + String(repeating: "a", count: 9000), .none,
    true,
    "a"
  ),
]

@Test("legal requests are understood (RFC 9110, 9112)", arguments: accepted.indices)
func acceptsLegalRequests(_ row: Int) throws {
  let (text, method, path, framing, keepAlive, host) = accepted[row]
  let outcome = parseRequest(text)
  let head = try #require(outcome.value, "\(outcome)")
  #expect(head.method == method)
  #expect(head.path == path)
  #expect(head.framing == framing)
  #expect(head.keepAlive == keepAlive)
  #expect(head.host == host)
  #expect(head.byteCount == text.utf8.count - (text.hasSuffix("hello") ? 5 : 0))
}

@Test("values lose the white space around them, and order and repetition stay")
func keepsFieldsInOrder() throws {
  let text = "GET / HTTP/1.1\r\nHost:a\r\nX-A: \t one two\t \r\nEmpty:\r\nx-a:3\r\nTab: a\tb\r\nLatin: \u{E9}" + crlf
  let bytes = Array(text.utf8)
  let head = RequestHead()
  let count = try head.parse(bytes.span)
  #expect(count == bytes.count)
  let pairs = head.fields.map { "\(bytes.span.string(in: $0.name))=\(bytes.span.string(in: $0.value))" }
  #expect(pairs == ["Host=a", "X-A=one two", "Empty=", "x-a=3", "Tab=a\tb", "Latin=\u{E9}"])
}

@Test(
  "a head that arrives byte by byte gives what it gives whole",
  arguments: refusedRequests.map(\.text) + accepted.map(\.text))
func piecesEqualWhole(_ text: String) {
  let bytes = Array(text.utf8)
  let whole = parseRequest(bytes)
  let pieces = parseRequestInPieces(bytes)
  #expect(pieces == whole)
}

@Test("no prefix of a head is a head")
func prefixesAreIncomplete() {
  let bytes = Array("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\n".utf8)
  for end in 0..<bytes.count {
    let outcome = parseRequest(Array(bytes[..<end]))
    #expect(outcome == .incomplete, "first \(end) bytes")
  }
}

@Test("limits are exact", arguments: [0, 1])
func limitsAreExact(_ excess: Int) {
  let base = "GET / HTTP/1.1\r\nHost: a\r\nX: "
  let fill = String(repeating: "b", count: 256 - base.utf8.count - 4 + excess)
  let head = parseRequest(base + fill + crlf, limits: HeadLimits(headByteCount: 256))
  #expect((head.value != nil) == (excess == 0))
  let fields = parseRequest(
    "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 4 + excess) + "\r\n", limits: HeadLimits(fieldCount: 5))
  #expect(fields.error == (excess == 0 ? nil : .tooManyFields))
  let target = parseRequest(
    "GET /" + String(repeating: "a", count: 9 + excess) + " HTTP/1.1\r\nHost: a" + crlf, limits: HeadLimits(targetByteCount: 10))
  #expect(target.error == (excess == 0 ? nil : .targetTooLong))
}

@Test("the next head on the same object knows nothing of the one before")
func headsAreIndependent() throws {
  let head = RequestHead()
  let first = Array(("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close, x\r\nX: 1\r\nExpect: 100-continue" + crlf).utf8)
  let second = Array(("GET /b HTTP/1.1\r\nHost: b\r\nX: 2" + crlf).utf8)
  _ = try head.parse(first.span)
  #expect(head.expectsContinue && !head.keepAlive)
  let count = try #require(try head.parse(second.span))
  let reused = ParsedRequest(head, second.span, count)
  #expect(parseRequest(second) == .head(reused))
  head.reset()
  #expect(head.fields.isEmpty)
}

/// `Connection` value, field, is it stripped?
@Test(
  "Connection strips what it names, never what guards",
  arguments: [
    ("x-custom", "X-Custom", true, true), ("close, X-CUSTOM ,te", "x-custom", true, true), ("close", "X-Custom", false, false),
    ("X-Custo", "X-Custom", false, false), ("host", "Host", false, false), ("Content-Length", "Content-Length", false, false),
    ("cookie", "Cookie", false, false), ("authorization", "Authorization", false, false),
    ("X-Forwarded-For", "X-Forwarded-For", false, false),
    ("x-forwarded-anything", "X-Forwarded-Anything", false, false), ("forwarded", "Forwarded", false, false),
    ("x-real-ip", "X-Real-IP", false, false), ("close", "Keep-Alive", false, true), ("close", "TE", false, true),
    ("close", "Proxy-Authorization", false, true), ("close", "HTTP2-Settings", false, true), ("upgrade", "Upgrade", false, true),
    ("keep-alive", "Proxy-Connection", false, true), ("close", "Trailer", false, false),
  ] as [(String, String, Bool, Bool)])
func connectionNamesFields(_ connection: String, _ field: String, _ named: Bool, _ hopByHop: Bool) throws {
  let value = field == "Content-Length" ? "5" : "a"
  let host = field == "Host" ? "" : "Host: a\r\n"
  let bytes = Array(("GET / HTTP/1.1\r\n\(host)\(field): \(value)\r\nConnection: \(connection)" + crlf).utf8)
  let head = RequestHead()
  _ = try head.parse(bytes.span)
  let line = try #require(head.fields.first { bytes.span.string(in: $0.name) == field })
  #expect(head.connectionNames(line) == named)
  #expect(head.isHopByHop(line) == hopByHop)
}

@Test(
  "a name with underscores that shadows a known one is marked",
  arguments: [
    ("X_Forwarded_For", true), ("x-forwarded_for", true), ("Content_Length", true), ("X_Forwarded_Foo", true), ("Transfer_Encoding", true),
    ("sec_websocket_extensions", true), ("x_real_ip", true), ("hos_t", false), ("my_header", false), ("X-Forwarded-For", false),
  ])
func marksShadows(_ name: String, _ shadows: Bool) throws {
  let bytes = Array(("GET / HTTP/1.1\r\nHost: a\r\n\(name): 5" + crlf).utf8)
  let head = RequestHead()
  _ = try head.parse(bytes.span)
  #expect(head.fields[1].shadowsKnown == shadows)
  #expect(head.framing == .none)
}

private let handshake = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

@Test(
  "an upgrade needs Connection, 1.1 and GET",
  arguments: [
    ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: WebSocket\r\n" + handshake, .webSocket),
    ("GET / HTTP/1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n" + handshake, .webSocket),
    ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n" + handshake, .webSocket),
    ("GET / HTTP/1.1", "Upgrade: websocket\r\n" + handshake, .none),
    ("GET / HTTP/1.1", "Connection: keep-alive\r\nUpgrade: websocket\r\n" + handshake, .none),
    ("GET / HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n" + handshake, .none),
    ("POST / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n" + handshake, .none),
    ("GET / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", .h2c),
    ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: causeway/3", .other),
    ("GET / HTTP/1.1", "Connection: Upgrade", .none),
  ] as [(String, String, UpgradeProtocol)])
func upgrades(_ line: String, _ fields: String, _ expected: UpgradeProtocol) throws {
  let head = try #require(parseRequest("\(line)\r\nHost: a\r\n\(fields)" + crlf).value)
  #expect(head.upgrade == expected)
}

@Test(
  "100-continue is for a body that waits",
  arguments: [
    ("POST / HTTP/1.1", "Content-Length: 5", true), ("POST / HTTP/1.1", "Transfer-Encoding: chunked", true),
    ("POST / HTTP/1.1", "Content-Length: 0", false), ("GET / HTTP/1.1", "X: y", false), ("POST / HTTP/1.0", "Content-Length: 5", false),
  ])
func expectations(_ line: String, _ field: String, _ expected: Bool) throws {
  let head = try #require(parseRequest("\(line)\r\nHost: a\r\n\(field)\r\nExpect: 100-continue" + crlf).value)
  #expect(head.expectsContinue == expected)
}

@Test(
  "targets become origin form (RFC 9112 §3.2)",
  arguments: [
    ("GET /a?b HTTP/1.1", "/a?b"), ("GET http://a/b HTTP/1.1", "/b"), ("GET http://a HTTP/1.1", "/"), ("GET http://a?b HTTP/1.1", "/?b"),
    ("OPTIONS http://a HTTP/1.1", "*"), ("OPTIONS * HTTP/1.1", "*"), ("CONNECT a:80 HTTP/1.1", "a:80"),
  ])
func originTargets(_ line: String, _ expected: String) throws {
  let bytes = Array("\(line)\r\nHost: a\(crlf)".utf8)
  let head = RequestHead()
  _ = try head.parse(bytes.span)
  let buffer = ByteBuffer()
  head.appendOriginTarget(of: bytes.span, to: buffer)
  #expect(String(decoding: buffer.array, as: UTF8.self) == expected)
}

/// Mutations of good heads: no trap, pieces equal whole, and what is accepted says the same when it is written anew.
@Test("random heads: pieces equal whole, and a canonical copy means the same", arguments: UInt64(1)...8)
func randomHeads(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let alphabet = Array("\r\n\r\n\r\n :\t,aZ0/?#%_-\0\u{7F}\u{0B}[]@.*HTTP/1.1".utf8)
  for _ in 0..<300 {
    var bytes = Array(accepted.randomElement(using: &random)!.text.utf8)
    if bytes.count > 500 { continue }
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      let at = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0...2, using: &random) {
      case 0: bytes[at] = alphabet.randomElement(using: &random)!
      case 1: bytes.insert(alphabet.randomElement(using: &random)!, at: at)
      default: bytes.remove(at: at)
      }
    }
    let whole = parseRequest(bytes)
    let pieces = parseRequestInPieces(bytes)
    if pieces != .incomplete || whole.error == nil {
      #expect(pieces == whole, "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
    }
  }
}
