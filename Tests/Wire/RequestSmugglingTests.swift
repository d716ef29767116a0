import CausewayWire
import Testing

/// A request whose rest is fine: what is refused is what the row adds.
private func request(_ fields: String, line: String = "POST / HTTP/1.1", host: String = "Host: a.example\r\n") -> String {
  "\(line)\r\n\(host)\(fields)\r\n\r\n"
}

/// Section 3.5 of the contract for requests: what is ambiguous is refused with 400 or the status of its own.
let refusedRequests: [(name: String, text: String, error: HTTPHeadError)] = [
  // CL.TE, TE.CL
  ("CL then TE", request("Content-Length: 5\r\nTransfer-Encoding: chunked"), .transferEncodingWithContentLength),
  ("TE then CL", request("Transfer-Encoding: chunked\r\nContent-Length: 5"), .transferEncodingWithContentLength),
  ("odd case of both", request("tRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: 5"), .transferEncodingWithContentLength),
  ("CL 0 and TE", request("Content-Length: 0\r\nTransfer-Encoding: chunked"), .transferEncodingWithContentLength),
  // TE.TE
  ("xchunked", request("Transfer-Encoding: xchunked"), .transferEncodingUnsupported),
  ("chunked, identity", request("Transfer-Encoding: chunked, identity"), .transferEncodingUnsupported),
  ("identity, chunked", request("Transfer-Encoding: identity, chunked"), .transferEncodingUnsupported),
  ("chunked, chunked", request("Transfer-Encoding: chunked, chunked"), .transferEncodingUnsupported),
  ("identity", request("Transfer-Encoding: identity"), .transferEncodingUnsupported),
  ("empty", request("Transfer-Encoding:"), .transferEncodingUnsupported),
  ("two TE lines", request("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), .transferEncodingRepeated),
  ("two TE lines, one odd", request("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"), .transferEncodingRepeated),
  ("VT before", request("Transfer-Encoding: \u{0B}chunked"), .fieldValueInvalid),
  ("VT behind", request("Transfer-Encoding: chunked\u{0B}"), .fieldValueInvalid),
  ("quotes", request("Transfer-Encoding: \"chunked\""), .transferEncodingUnsupported),
  ("space before the colon", request("Transfer-Encoding : chunked"), .spaceInFieldName),
  ("tab before the colon", request("Transfer-Encoding\t: chunked"), .spaceInFieldName),
  ("folded", request("Transfer-Encoding:\r\n chunked"), .obsoleteFold),
  ("parameter", request("Transfer-Encoding: chunked;q=1"), .transferEncodingUnsupported),
  // CL forms
  ("+5", request("Content-Length: +5"), .contentLengthInvalid),
  ("-0", request("Content-Length: -0"), .contentLengthInvalid),
  ("0x5", request("Content-Length: 0x5"), .contentLengthInvalid),
  ("5 5", request("Content-Length: 5 5"), .contentLengthInvalid),
  ("5,5", request("Content-Length: 5,5"), .contentLengthInvalid),
  ("5,6", request("Content-Length: 5,6"), .contentLengthInvalid),
  ("1e2", request("Content-Length: 1e2"), .contentLengthInvalid),
  ("5_0", request("Content-Length: 5_0"), .contentLengthInvalid),
  ("empty length", request("Content-Length:"), .contentLengthInvalid),
  ("2^63", request("Content-Length: 9223372036854775808"), .contentLengthInvalid),
  ("2^64+5", request("Content-Length: 18446744073709551621"), .contentLengthInvalid),
  ("two equal lines", request("Content-Length: 5\r\nContent-Length: 5"), .contentLengthRepeated),
  ("two different lines", request("Content-Length: 5\r\nContent-Length: 6"), .contentLengthRepeated),
  // Lines
  ("bare CR in a value", request("X: a\rb"), .bareCarriageReturn),
  ("bare CR in a name", request("X\r: a"), .colonMissing),
  ("bare CR line", request("\rX: a"), .bareCarriageReturn),
  ("bare LF", request("X: a\nY: b"), .bareLineFeed),
  ("bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLineFeed),
  ("bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", .bareLineFeed),
  ("bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareLineFeed),
  ("NUL in a value", request("X: a\0b"), .fieldValueInvalid),
  ("DEL in a value", request("X: a\u{7F}b"), .fieldValueInvalid),
  ("NUL in a name", request("X\0: a"), .fieldNameInvalid),
  ("first field folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", .obsoleteFold),
  ("first field folded by a tab", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", .obsoleteFold),
  ("fold in the middle", request("X: a\r\n b"), .obsoleteFold),
  ("no colon", request("Xyz"), .colonMissing),
  ("name with a space", request("X Y: a"), .spaceInFieldName),
  ("empty name", request(": a"), .fieldNameInvalid),
  ("name with a parenthesis", request("X(: a"), .fieldNameInvalid),
  ("content name with a parenthesis", request("Content-(: a"), .fieldNameInvalid),
  ("forwarded name with a bracket", request("X-Forwarded-[: a"), .fieldNameInvalid),
  ("long name with a slash", request("X-Aaaaaaaaaaaaaaaaaaaaaaaaaaa/b: a"), .fieldNameInvalid),
  ("name beyond ASCII", request("X\u{E9}: a"), .fieldNameInvalid),
  ("CR folding onto a hyphen", request("Content\rLength: 5"), .colonMissing),
  ("third empty line before the request", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .emptyLinesBeforeRequest),
  // Target and request line
  ("absolute form with another Host", request("", line: "GET http://b.example/ HTTP/1.1"), .hostMismatch),
  ("absolute form with another port", request("", line: "GET http://a.example:81/ HTTP/1.1"), .hostMismatch),
  ("absolute form with user information", request("", line: "GET http://u@a.example/ HTTP/1.1"), .targetInvalid),
  ("absolute form without a host", request("", line: "GET http:/// HTTP/1.1"), .targetInvalid),
  ("another scheme", request("", line: "GET ftp://a.example/ HTTP/1.1"), .targetInvalid),
  ("two spaces", request("", line: "GET  / HTTP/1.1"), .targetInvalid),
  ("two spaces behind", request("", line: "GET /  HTTP/1.1"), .versionInvalid),
  ("tab", request("", line: "GET\t/ HTTP/1.1"), .methodInvalid),
  ("tab behind the target", request("", line: "GET /\tHTTP/1.1"), .targetInvalid),
  ("space behind the version", request("", line: "GET / HTTP/1.1 "), .versionInvalid),
  ("backslash", request("", line: "GET /a\\..\\b HTTP/1.1"), .targetInvalid),
  ("backslash first", request("", line: "GET \\a HTTP/1.1"), .targetInvalid),
  ("encoded NUL", request("", line: "GET /a%00b HTTP/1.1"), .targetInvalid),
  ("fragment", request("", line: "GET /a#b HTTP/1.1"), .fragmentInTarget),
  ("NUL", request("", line: "GET /a\0 HTTP/1.1"), .targetInvalid),
  ("no slash", request("", line: "GET a HTTP/1.1"), .targetInvalid),
  ("asterisk with GET", request("", line: "GET * HTTP/1.1"), .targetInvalid),
  ("authority with GET", request("", line: "GET a.example:80 HTTP/1.1"), .targetInvalid),
  ("CONNECT without a port", request("", line: "CONNECT a.example HTTP/1.1"), .targetInvalid),
  ("17 KiB of target", request("", line: "GET /" + String(repeating: "a", count: 17 * 1024) + " HTTP/1.1"), .targetTooLong),
  ("50 KiB of target", request("", line: "GET /" + String(repeating: "a", count: 50 * 1024) + " HTTP/1.1"), .targetTooLong),
  ("huge method", request("", line: String(repeating: "A", count: 40) + " / HTTP/1.1"), .methodTooLong),
  ("method with a colon", request("", line: "GE:T / HTTP/1.1"), .methodInvalid),
  ("empty method", request("", line: " / HTTP/1.1"), .methodInvalid),
  // Host
  ("no Host", request("", host: ""), .hostMissing),
  ("two Hosts", request("Host: a.example"), .hostRepeated),
  ("empty Host", request("", host: "Host:\r\n"), .hostInvalid),
  ("list", request("", host: "Host: a.example, b.example\r\n"), .hostInvalid),
  ("list without space", request("", host: "Host: a.example,b.example\r\n"), .hostInvalid),
  ("user information", request("", host: "Host: a@b.example\r\n"), .hostInvalid),
  ("port 99999", request("", host: "Host: a.example:99999\r\n"), .hostInvalid),
  ("port 0", request("", host: "Host: a.example:0\r\n"), .hostInvalid),
  ("empty port", request("", host: "Host: a.example:\r\n"), .hostInvalid),
  ("port of letters", request("", host: "Host: a.example:http\r\n"), .hostInvalid),
  ("only a port", request("", host: "Host: :80\r\n"), .hostInvalid),
  ("only a dot", request("", host: "Host: .\r\n"), .hostInvalid),
  ("two dots at the end", request("", host: "Host: a.example..\r\n"), .hostInvalid),
  ("empty label", request("", host: "Host: a..example\r\n"), .hostInvalid),
  ("IPv6 with zone", request("", host: "Host: [fe80::1%25eth0]\r\n"), .hostInvalid),
  ("IPv6 without brackets", request("", host: "Host: ::1\r\n"), .hostInvalid),
  ("bracket left open", request("", host: "Host: [::1\r\n"), .hostInvalid),
  ("a path", request("", host: "Host: a.example/b\r\n"), .hostInvalid),
  ("percent", request("", host: "Host: a%2eexample\r\n"), .hostInvalid),
  ("256 characters", request("", host: "Host: \(String(repeating: "a", count: 256))\r\n"), .hostInvalid),
  // Versions
  ("TE in 1.0", request("Transfer-Encoding: chunked", line: "POST / HTTP/1.0"), .transferEncodingInHTTP10),
  ("0.9 line", "GET /\r\n\r\n", .versionInvalid),
  ("HTTP/2.0 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2Preface),
  ("HTTP/2.0", request("", line: "GET / HTTP/2.0"), .versionUnsupported),
  ("HTTP/0.9", request("", line: "GET / HTTP/0.9"), .versionUnsupported),
  ("HTTP/1.10", request("", line: "GET / HTTP/1.10"), .versionInvalid),
  ("HTTP/1", request("", line: "GET / HTTP/1"), .versionInvalid),
  ("lower case", request("", line: "GET / http/1.1"), .versionInvalid),
  ("TLS hello", "\u{16}\u{03}\u{01}\u{02}\0\u{01}\0", .tlsOnPlainPort),
  // Expect
  ("Expect with a list", request("Content-Length: 5\r\nExpect: y 100-continue"), .expectationUnsupported),
  ("Expect in odd case", request("Content-Length: 5\r\nExpect: 100-Continue"), .expectationUnsupported),
  ("two Expect lines", request("Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue"), .expectationUnsupported),
  // Upgrade
  (
    "WebSocket version 12",
    request(
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      line: "GET / HTTP/1.1"), .webSocketVersionUnsupported
  ),
  (
    "no WebSocket version",
    request("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", line: "GET / HTTP/1.1"),
    .webSocketVersionUnsupported
  ),
  (
    "short WebSocket key",
    request(
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25j",
      line: "GET / HTTP/1.1"),
    .webSocketKeyInvalid
  ),
  // Limits
  ("101 fields", request(String(repeating: "X: a\r\n", count: 100) + "X: a"), .tooManyFields),
  ("40 KiB of fields", request("X: " + String(repeating: "a", count: 40 * 1024)), .headTooLarge),
  ("17 names in Connection", request("Connection: " + (0..<17).map { "x\($0)" }.joined(separator: ",")), .tooManyConnectionOptions),
]

@Test("what is ambiguous is refused (RFC 9112, smuggling checklist)", arguments: refusedRequests.indices)
func refusesAmbiguousRequests(_ row: Int) {
  let (name, text, error) = refusedRequests[row]
  let outcome = parseRequest(text)
  #expect(outcome == .refused(error), "\(name)")
}

@Test("each error of a request has a status, and the text is one line", arguments: HTTPHeadError.allCases)
func errorsHaveStatuses(_ error: HTTPHeadError) {
  let expected: [HTTPHeadError: UInt16] = [
    .targetTooLong: 414, .expectationUnsupported: 417, .webSocketVersionUnsupported: 426, .headTooLarge: 431, .tooManyFields: 431,
    .methodTooLong: 501, .versionUnsupported: 505,
  ]
  #expect(error.requestStatus == expected[error] ?? 400)
  #expect(error.responseStatus == 502)
  #expect(!error.description.isEmpty && !error.description.contains("\n"))
}
