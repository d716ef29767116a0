import CausewayWire
import Testing

let fieldNames: [(String, KnownField)] = [
  ("Host", .host), ("Connection", .connection), ("Content-Length", .contentLength), ("Transfer-Encoding", .transferEncoding),
  ("Expect", .expect), ("Upgrade", .upgrade), ("Keep-Alive", .keepAlive), ("TE", .te), ("Trailer", .trailer),
  ("Proxy-Connection", .proxyConnection), ("Proxy-Authorization", .proxyAuthorization), ("Proxy-Authenticate", .proxyAuthenticate),
  ("HTTP2-Settings", .http2Settings), ("X-Forwarded-For", .xForwardedFor), ("X-Forwarded-Proto", .xForwardedProto),
  ("X-Forwarded-Host", .xForwardedHost), ("X-Forwarded-Port", .xForwardedPort), ("X-Forwarded-S", .xForwardedOther),
  ("X-Forwarded-Server", .xForwardedOther), ("X-Forwarded-", .xForwardedOther), ("X-Real-IP", .xRealIP), ("Forwarded", .forwarded),
  ("Via", .via), ("Max-Forwards", .maxForwards), ("Authorization", .authorization), ("WWW-Authenticate", .wwwAuthenticate),
  ("Cookie", .cookie), ("Set-Cookie", .setCookie), ("Origin", .origin), ("Sec-WebSocket-Key", .secWebSocketKey),
  ("Sec-WebSocket-Accept", .secWebSocketAccept), ("Sec-WebSocket-Version", .secWebSocketVersion),
  ("Sec-WebSocket-Protocol", .secWebSocketProtocol), ("Sec-WebSocket-Extensions", .secWebSocketExtensions), ("Accept", .accept),
  ("Accept-Encoding", .acceptEncoding), ("Date", .date), ("Server", .server), ("Location", .location), ("Retry-After", .retryAfter),
  ("Content-Type", .contentType), ("Content-Encoding", .contentEncoding), ("Content-Range", .contentRange),
  ("Content-Disposition", .contentOther),
]

@Test("each known field is found in any case, and no neighbour of it", arguments: fieldNames.indices)
func classifiesNames(_ row: Int) {
  let (name, known) = fieldNames[row]
  for spelling in [name, name.lowercased(), name.uppercased()] {
    let found = KnownField(name: Array(spelling.utf8).span)
    #expect(found == known, "\(spelling)")
  }
  // Any single other letter makes it another field.
  guard known != .xForwardedOther, known != .contentOther else { return }
  for i in name.utf8.indices {
    var bytes = Array(name.utf8)
    bytes[name.utf8.distance(from: name.utf8.startIndex, to: i)] = UInt8(ascii: "q")
    let found = KnownField(name: bytes.span)
    #expect(found != known, "\(String(decoding: bytes, as: UTF8.self))")
  }
  let longer = KnownField(name: Array((name + "q").utf8).span)
  #expect(longer != known)
}

@Test("every case has a name in the table")
func coversEveryField() {
  let covered = Set(fieldNames.map(\.1))
  #expect(KnownField.allCases.filter { $0 != .other && !covered.contains($0) } == [])
}
