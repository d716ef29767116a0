import CausewayWire
import Testing

private let crlf = "\r\n\r\n"

private typealias Row = (text: String, method: HTTPMethod, framing: BodyFraming, length: UInt64?, keepAlive: Bool)

/// Section 3.2 of the contract (RFC 9112 §6.3), row by row.
private let framed: [Row] = [
  ("HTTP/1.1 200 OK\r\nContent-Length: 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 OK\r\nContent-Length: 0" + crlf, .get, .length(0), 0, true),
  ("HTTP/1.1 200 OK\r\nContent-Length: 5" + crlf, .head, .none, 5, true),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked" + crlf, .head, .none, nil, true),
  ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5" + crlf, .get, .none, 5, true),
  ("HTTP/1.1 204 No Content\r\nContent-Length: 5" + crlf, .get, .none, nil, true),
  ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: chunked" + crlf, .get, .none, nil, true),
  ("HTTP/1.1 100 Continue" + crlf, .post, .none, nil, true),
  ("HTTP/1.1 103 Early Hints\r\nContent-Length: 5" + crlf, .get, .none, nil, true),
  ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade" + crlf, .get, .none, nil, false),
  ("HTTP/1.1 200 OK" + crlf, .connect, .none, nil, false),
  ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2" + crlf, .connect, .length(2), 2, true),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked" + crlf, .get, .chunked, nil, true),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity" + crlf, .get, .untilClose, nil, false),
  ("HTTP/1.1 200 OK" + crlf, .get, .untilClose, nil, false),
  ("HTTP/1.0 200 OK\r\nContent-Length: 5" + crlf, .get, .length(5), 5, false),
  ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close" + crlf, .get, .length(5), 5, false),
  // Lenient where it is safe
  ("HTTP/1.1 200\r\nContent-Length: 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 \r\nContent-Length: 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 OK\r\nContent-Length : 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 OK\r\nContent-Length \t: 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 999 Odd \u{E9}\r\nContent-Length: 5" + crlf, .get, .length(5), 5, true),
  ("HTTP/1.1 200 OK\r\nExpect: nonsense\r\nContent-Length: 5" + crlf, .get, .length(5), 5, true),
]

@Test("a response's body is where RFC 9112 §6.3 says", arguments: framed.indices)
func framesResponses(_ row: Int) throws {
  let (text, method, framing, length, keepAlive) = framed[row]
  let outcome = parseResponse(text, to: method)
  let head = try #require(outcome.value, "\(outcome)")
  #expect(head.framing == framing)
  #expect(head.contentLength == length)
  #expect(head.keepAlive == keepAlive)
  #expect(head.byteCount == text.utf8.count)
  #expect(parseResponseInPieces(text, to: method) == outcome)
}

/// The smuggling checklist from a hostile origin: all of these are 502.
private let refused: [(text: String, error: HTTPHeadError)] = [
  ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked" + crlf, .transferEncodingWithContentLength),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5" + crlf, .transferEncodingWithContentLength),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5" + crlf, .transferEncodingWithContentLength),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked" + crlf, .transferEncodingUnsupported),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked" + crlf, .transferEncodingUnsupported),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity" + crlf, .transferEncodingUnsupported),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip" + crlf, .transferEncodingUnsupported),
  ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + crlf, .transferEncodingRepeated),
  ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked" + crlf, .transferEncodingInHTTP10),
  ("HTTP/1.1 200 OK\r\nContent-Length: +5" + crlf, .contentLengthInvalid),
  ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5" + crlf, .contentLengthInvalid),
  ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5" + crlf, .contentLengthRepeated),
  ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6" + crlf, .contentLengthRepeated),
  ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621" + crlf, .contentLengthInvalid),
  ("HTTP/1.1 200 OK\r\nX: a\r\n b" + crlf, .obsoleteFold),
  ("HTTP/1.1 200 OK\r\n X: a" + crlf, .obsoleteFold),
  ("HTTP/1.1 200 OK\r\nX: a\nY: b" + crlf, .bareLineFeed),
  ("HTTP/1.1 200 OK\nX: a" + crlf, .bareLineFeed),
  ("HTTP/1.1 200\nX: a" + crlf, .bareLineFeed),
  ("HTTP/1.1 200 OK\r\nX: a\rb" + crlf, .bareCarriageReturn),
  ("HTTP/1.1 200 O\rK\r\nX: a" + crlf, .bareCarriageReturn),
  ("HTTP/1.1 200 OK\r\nX: a\0" + crlf, .fieldValueInvalid),
  ("HTTP/1.1 200 OK\r\nX y: a" + crlf, .spaceInFieldName),
  ("HTTP/1.1 200 OK\r\nX" + crlf, .colonMissing),
  ("HTTP/1.1 200 OK\r\n: a" + crlf, .fieldNameInvalid),
  ("HTTP/1.1 20 OK" + crlf, .statusInvalid),
  ("HTTP/1.1 099 OK" + crlf, .statusInvalid),
  ("HTTP/1.1 2000 OK" + crlf, .statusInvalid),
  ("HTTP/1.1  200 OK" + crlf, .statusInvalid),
  ("HTTP/1.1 200 O\0K" + crlf, .statusInvalid),
  ("HTTP/2.0 200 OK" + crlf, .versionUnsupported),
  ("HTTP/1.10 200 OK" + crlf, .statusInvalid),
  ("http/1.1 200 OK" + crlf, .versionInvalid),
  ("ICY 200 OK" + crlf, .versionInvalid),
  ("SSH-2.0-OpenSSH\r\n", .versionInvalid),
  ("HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 1 << 20) + crlf, .headTooLarge),
  ("HTTP/1.1 200 OK\r\n" + String(repeating: "X: a\r\n", count: 101) + "\r\n", .tooManyFields),
]

@Test("what an origin must not send is refused", arguments: refused.indices)
func refusesResponses(_ row: Int) {
  let (text, error) = refused[row]
  #expect(parseResponse(text) == .refused(error))
  if text.utf8.count < 4096 { #expect(parseResponseInPieces(text) == .refused(error)) }
}

@Test("101 names what the origin switches to")
func switchesProtocols() throws {
  let head = try #require(parseResponse("HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade" + crlf).value)
  #expect(head.upgrade == .webSocket)
  let without = try #require(parseResponse("HTTP/1.1 101 \r\nUpgrade: websocket" + crlf).value)
  #expect(without.upgrade == .none)
  let ok = try #require(parseResponse("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0" + crlf).value)
  #expect(ok.upgrade == .none)
}

@Test("two heads in one span are two heads")
func separatesHeads() throws {
  let head = ResponseHead()
  let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n"
  let bytes = Array(text.utf8)
  let first = try #require(try head.parse(bytes.span, to: .post))
  #expect(head.isInterim && first == 25)
  let rest = bytes.span.extracting(first..<bytes.count)
  let second = try head.parse(rest, to: .post)
  #expect(second == bytes.count - first && head.status == 200)
  #expect(rest.string(in: head.reason) == "Fine")
}
