/// Fields that this program gives a meaning to. Found while parsing, so that later code compares one byte.
public enum KnownField: UInt8, Sendable, CaseIterable {
  case other
  // Framing and the connection
  case host, connection, contentLength, transferEncoding, expect, upgrade, keepAlive, te, trailer
  case proxyConnection, proxyAuthorization, proxyAuthenticate, http2Settings
  // Who asks, and by which way
  case xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort
  /// Any other `X-Forwarded-…`.
  case xForwardedOther
  case xRealIP, forwarded, via, maxForwards
  // Access
  case authorization, wwwAuthenticate, cookie, setCookie, origin
  // WebSocket
  case secWebSocketKey, secWebSocketAccept, secWebSocketVersion, secWebSocketProtocol, secWebSocketExtensions
  // The rest that we read or write
  case accept, acceptEncoding, date, server, location, retryAfter
  case contentType, contentEncoding, contentRange
  /// Any other `Content-…`.
  case contentOther

  /// Never forwarded as it came (RFC 9110 §7.6.1 and what proxies in use add).
  public var isHopByHop: Bool {
    switch self {
    case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .proxyAuthenticate, .proxyAuthorization,
      .http2Settings:
      true
    default: false
    }
  }

  /// Fields that `Connection` must not be able to strip: doing so has been a way around authentication in other proxies.
  public var isGuarded: Bool {
    switch self {
    case .host, .contentLength, .cookie, .setCookie, .authorization, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort,
      .xForwardedOther, .xRealIP, .forwarded, .via, .origin:
      true
    default: false
    }
  }

  /// Fields that mean nothing or something dangerous behind a body (RFC 9110 §6.5.1): framing, routing, access, `Content-*`.
  public var isForbiddenInTrailers: Bool {
    switch self {
    case .host, .connection, .contentLength, .transferEncoding, .expect, .upgrade, .keepAlive, .te, .trailer, .proxyConnection,
      .proxyAuthorization, .proxyAuthenticate, .http2Settings, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort,
      .xForwardedOther, .xRealIP, .forwarded, .via, .maxForwards, .authorization, .wwwAuthenticate, .cookie, .setCookie, .origin,
      .secWebSocketKey, .secWebSocketAccept, .secWebSocketVersion, .secWebSocketProtocol, .secWebSocketExtensions, .location, .retryAfter,
      .contentType, .contentEncoding, .contentRange, .contentOther, .date:
      true
    case .other, .accept, .acceptEncoding, .server: false
    }
  }
}

extension KnownField {
  /// Classifies the field name at `start..<end`, in any case. At most three comparisons of words for each candidate.
  @inline(__always) init(_ name: FoldedName) {
    self = name.count < 8 ? Self.short(name) : Self.long(name)
  }

  /// Classifies a whole name.
  public init(name bytes: Span<UInt8>) { self.init(FoldedName(bytes, 0, bytes.count)) }

  private static func short(_ name: FoldedName) -> KnownField {
    switch name.count {
    case 2: name.isExactly("te") ? .te : .other
    case 3: name.isExactly("via") ? .via : .other
    case 4: name.isExactly("host") ? .host : name.isExactly("date") ? .date : .other
    case 6:
      name.isExactly("accept")
        ? .accept
        : name.isExactly("cookie")
          ? .cookie : name.isExactly("expect") ? .expect : name.isExactly("origin") ? .origin : name.isExactly("server") ? .server : .other
    case 7: name.isExactly("upgrade") ? .upgrade : name.isExactly("trailer") ? .trailer : .other
    default: .other
    }
  }

  private static func long(_ name: FoldedName) -> KnownField {
    switch name.count {
    case 8: if name.isExactly("location") { return .location }
    case 9:
      if name.isExactly("forwarded") { return .forwarded }
      if name.isExactly("x-real-ip") { return .xRealIP }
    case 10:
      if name.isExactly("connection") { return .connection }
      if name.isExactly("keep-alive") { return .keepAlive }
      if name.isExactly("set-cookie") { return .setCookie }
    case 11: if name.isExactly("retry-after") { return .retryAfter }
    case 12:
      if name.isExactly("content-type") { return .contentType }
      if name.isExactly("max-forwards") { return .maxForwards }
    case 13:
      if name.isExactly("authorization") { return .authorization }
      if name.isExactly("content-range") { return .contentRange }
    case 14:
      if name.isExactly("content-length") { return .contentLength }
      if name.isExactly("http2-settings") { return .http2Settings }
    case 15:
      if name.isExactly("accept-encoding") { return .acceptEncoding }
      if name.isExactly("x-forwarded-for") { return .xForwardedFor }
    case 16:
      if name.isExactly("content-encoding") { return .contentEncoding }
      if name.isExactly("x-forwarded-host") { return .xForwardedHost }
      if name.isExactly("x-forwarded-port") { return .xForwardedPort }
      if name.isExactly("www-authenticate") { return .wwwAuthenticate }
      if name.isExactly("proxy-connection") { return .proxyConnection }
    case 17:
      if name.isExactly("transfer-encoding") { return .transferEncoding }
      if name.isExactly("x-forwarded-proto") { return .xForwardedProto }
      if name.isExactly("sec-websocket-key") { return .secWebSocketKey }
    case 18: if name.isExactly("proxy-authenticate") { return .proxyAuthenticate }
    case 19: if name.isExactly("proxy-authorization") { return .proxyAuthorization }
    case 20: if name.isExactly("sec-websocket-accept") { return .secWebSocketAccept }
    case 21: if name.isExactly("sec-websocket-version") { return .secWebSocketVersion }
    case 22: if name.isExactly("sec-websocket-protocol") { return .secWebSocketProtocol }
    case 24: if name.isExactly("sec-websocket-extensions") { return .secWebSocketExtensions }
    default: break
    }
    if name.first == FoldedName.word("content-", 0) { return .contentOther }
    if name.first == FoldedName.word("x-forwar", 0), name.hasForwardedPrefix { return .xForwardedOther }
    return .other
  }
}

/// Up to 24 bytes of a field name in three words, folded by `| 0x20`. Folding is exact for comparing with letters, digits and
/// hyphens, because the only other bytes that fold onto one of them are control bytes, at which the parser has stopped.
struct FoldedName {
  let count: Int
  private(set) var first: UInt64
  private(set) var second: UInt64
  /// The last eight bytes, when there are at least eight.
  private(set) var last: UInt64

  @inline(__always) init(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) {
    let fold: UInt64 = 0x2020_2020_2020_2020
    count = end &- start
    if count >= 8 {
      first = bytes.littleEndian(at: start) | fold
      last = bytes.littleEndian(at: end &- 8) | fold
      second = count >= 16 ? bytes.littleEndian(at: start &+ 8) | fold : last
    } else {
      var word: UInt64 = 0
      if start &+ 8 <= bytes.count {
        word = (bytes.littleEndian(at: start) | fold) & ((1 &<< UInt64(8 &* count)) &- 1)
      } else {
        for i in 0..<count { word |= UInt64(bytes[start &+ i] | 0x20) &<< UInt64(8 &* i) }
      }
      first = word
      second = 0
      last = 0
    }
  }

  var hasForwardedPrefix: Bool {
    // "x-forwarded-" is 12 bytes; `second` holds bytes 8... only from 16 on, before that `last` overlaps.
    guard count >= 12 else { return false }
    if count >= 16 { return second & 0xFFFF_FFFF == Self.word("ded-", 0) }
    return last &>> UInt64(8 &* (16 &- count)) & 0xFFFF_FFFF == Self.word("ded-", 0)
  }

  /// Only letters, digits and hyphens. False says nothing about other tokens or names longer than 24 bytes.
  @inline(__always) var isPlain: Bool {
    if count > 24 { return false }
    if count >= 8 { return Word.isPlainName(first) && Word.isPlainName(second) && Word.isPlainName(last) }
    return Word.isPlainName(first | (0x2D2D_2D2D_2D2D_2D2D &<< UInt64(8 &* count)))
  }

  /// An underscore folds to 0x7F and nothing else in a token does.
  var hasUnderscore: Bool {
    let pattern: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
    return Word.zeroBytes(first ^ pattern) | Word.zeroBytes(second ^ pattern) | Word.zeroBytes(last ^ pattern) != 0
  }

  /// The name as CGI variables see it: hyphens for underscores.
  var withHyphens: FoldedName {
    var copy = self
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      if copy.first &>> shift & 0xFF == 0x7F { copy.first ^= 0x52 &<< shift }  // 0x7F ^ 0x52 is the hyphen
      if copy.second &>> shift & 0xFF == 0x7F { copy.second ^= 0x52 &<< shift }
      if copy.last &>> shift & 0xFF == 0x7F { copy.last ^= 0x52 &<< shift }
    }
    return copy
  }

  /// `text` must have `count` bytes: the caller has switched over the count.
  @inline(__always) func isExactly(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard length == count else { return false }
    guard first == Self.word(text, 0) else { return false }
    if length <= 8 { return true }
    guard last == Self.word(text, length &- 8) else { return false }
    return length <= 16 || second == Self.word(text, 8)
  }

  /// Folds to a constant when optimised.
  @inline(__always) static func word(_ text: StaticString, _ offset: Int) -> UInt64 {
    // SAFETY: a static string's storage lives for ever; the loop stays below its count.
    let start = unsafe text.utf8Start
    var word: UInt64 = 0
    for i in 0..<min(8, text.utf8CodeUnitCount &- offset) {
      word |= unsafe UInt64(start[offset &+ i]) &<< UInt64(8 &* i)
    }
    return word
  }
}
