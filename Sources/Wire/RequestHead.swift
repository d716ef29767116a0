/// A request's head, parsed in one pass from the start of a span: offsets into that span and what they mean.
///
/// Reusable: a warm object parses without an allocation. All ranges are valid for the span of the call that returned a count,
/// and until the next `parse` or `reset`. Not `Sendable`: one for each connection or each loop. The rules are RFC 9112 and RFC
/// 9110, taken strictly: what two implementations might read in two ways is refused.
public final class RequestHead {
  private var parser = RequestParser()

  public init() {}

  /// Forgets the head and any progress; keeps the memory. Needed after an error, and to give up a partial head.
  public func reset() { parser.reset() }

  /// Parses the head at the start of `bytes`. While it is incomplete call again with the same bytes and more behind them; the
  /// work done is remembered. After a complete head the next call starts a new one.
  /// - Returns: the head's length with its empty line (and up to two empty lines before it), or nil when more bytes are needed.
  public func parse(_ bytes: Span<UInt8>, limits: HeadLimits = .standard) throws(HTTPHeadError) -> Int? {
    try parser.parse(bytes, limits)
  }

  public var method: HTTPMethod { parser.method }
  public var methodRange: ByteRange { parser.methodRange }
  public var target: ByteRange { parser.targetRange }
  public var targetForm: TargetForm { parser.target.form }
  /// Host and port in the target (absolute and authority form), else empty.
  public var authority: ByteRange { parser.target.authority }
  /// Path and query; see `appendOriginTarget`.
  public var path: ByteRange { parser.target.path }
  /// 0 or 1 (a higher minor version counts as 1, RFC 9110 §6.2).
  public var minorVersion: UInt8 { parser.minorVersion }
  /// In the order they came, repetitions included.
  public var fields: [FieldLine] { parser.section.lines }

  public var framing: BodyFraming { parser.framing }
  public var keepAlive: Bool { parser.keepAlive }
  /// The client waits for 100 before it sends the body that it announced. False for HTTP/1.0 and without a body.
  public var expectsContinue: Bool { parser.expectsContinue }
  /// `TE` lists `trailers`.
  public var acceptsTrailers: Bool { parser.section.facts.acceptsTrailers }
  public var upgrade: UpgradeProtocol { parser.upgrade }
  /// The bytes of the protocol in `Upgrade`; empty when `upgrade` is `none`.
  public var upgradeToken: ByteRange { parser.upgrade == .none ? .empty : parser.section.facts.upgradeToken }
  /// The value of `Sec-WebSocket-Key`, checked; empty unless `upgrade` is `webSocket`.
  public var webSocketKey: ByteRange { parser.upgrade == .webSocket ? parser.section.facts.webSocketKey : .empty }

  /// Whom the request is for: the target's authority if it has one, else `Host`. Nil only in HTTP/1.0.
  public var host: HostField? { parser.host }
  /// The bytes of `host` with its port; empty when there is none.
  public var hostRange: ByteRange { parser.hostRange }

  /// Whether `Connection` names this field (never true for guarded names).
  public func connectionNames(_ field: FieldLine) -> Bool { field.isNamedByConnection }
  /// Whether this field must not be forwarded.
  public func isHopByHop(_ field: FieldLine) -> Bool { field.isHopByHop }

  /// The first field of that kind.
  public func first(_ known: KnownField) -> FieldLine? { parser.section.lines.first { $0.known == known } }
}

/// The state behind a `RequestHead`: a struct, so that a parse is one exclusive access.
struct RequestParser {
  var progress = HeadProgress()
  var section = FieldSection()
  var method = HTTPMethod.other
  var methodRange = ByteRange.empty
  var targetRange = ByteRange.empty
  var target = RequestTarget()
  var minorVersion: UInt8 = 1
  var framing = BodyFraming.none
  var keepAlive = false
  var expectsContinue = false
  var upgrade = UpgradeProtocol.none
  var host: HostField?
  var hostRange = ByteRange.empty

  mutating func reset() {
    progress = HeadProgress()
    section.reset()
    framing = .none
    keepAlive = false
    expectsContinue = false
    upgrade = .none
    host = nil
    hostRange = .empty
  }

  mutating func parse(_ bytes: Span<UInt8>, _ limits: HeadLimits) throws(HTTPHeadError) -> Int? {
    if progress.stage == .complete { reset() }
    let limit = limits.headByteCount
    let end = min(bytes.count, limit)
    guard progress.canAdvance(bytes, upTo: end, limit: limit) else {
      progress.wait(end)
      return nil
    }
    if progress.stage == .start {
      guard let next = try parseRequestLine(bytes, end, limits) else {
        if end == limit { throw targetRange.isEmpty ? .headTooLarge : .targetTooLong }
        progress.wait(end)
        return nil
      }
      progress.lineStart = next
      progress.stage = .fields
    }
    guard try section.parse(bytes, from: &progress.lineStart, upTo: end, limit: limits.fieldCount, strictness: .request) else {
      if end == limit { throw .headTooLarge }
      progress.wait(end)
      return nil
    }
    progress.stage = .complete
    try finish(bytes)
    return progress.lineStart
  }

  /// `method SP target SP HTTP/1.x CRLF`, one space each.
  private mutating func parseRequestLine(_ bytes: Span<UInt8>, _ end: Int, _ limits: HeadLimits) throws(HTTPHeadError) -> Int? {
    targetRange = .empty
    guard let start = try skipEmptyLines(bytes, end) else { return nil }
    var i = start
    while i < end, ASCII.isToken(bytes[i]) { i &+= 1 }
    guard i &- start <= HTTPMethod.byteCountLimit else { throw .methodTooLong }
    guard i < end else { return nil }
    guard bytes[i] == ASCII.space, i > start else { throw i == start && bytes[i] == 0x16 ? .tlsOnPlainPort : .methodInvalid }
    methodRange = ByteRange(start, i)
    method = HTTPMethod(bytes.extracting(start..<i))
    i &+= 1
    let targetStart = i
    try RequestTarget.scan(bytes, &i, end)
    targetRange = ByteRange(targetStart, i)
    guard targetRange.count <= limits.targetByteCount else { throw .targetTooLong }
    guard i < end else { return nil }
    guard i > targetStart else { throw .targetInvalid }
    guard bytes[i] == ASCII.space else {
      throw bytes[i] == ASCII.carriageReturn || bytes[i] == ASCII.lineFeed ? .versionInvalid : .targetInvalid
    }
    i &+= 1
    guard let version = try HTTPVersion(bytes, i, end) else { return nil }
    i &+= HTTPVersion.byteCount
    guard i < end else { return nil }
    guard bytes[i] == ASCII.carriageReturn else { throw bytes[i] == ASCII.lineFeed ? .bareLineFeed : .versionInvalid }
    guard i &+ 1 < end else { return nil }
    guard bytes[i &+ 1] == ASCII.lineFeed else { throw .bareCarriageReturn }
    guard version.major == 1 else {
      throw version.major == 2 && bytes.extracting(methodRange).isExactly("PRI") ? .http2Preface : .versionUnsupported
    }
    target = try RequestTarget(bytes, targetStart, Int(targetRange.end), method: method)
    minorVersion = min(version.minor, 1)
    return i &+ 2
  }

  /// At most two empty lines may come before a request (RFC 9112 §2.2).
  private func skipEmptyLines(_ bytes: Span<UInt8>, _ end: Int) throws(HTTPHeadError) -> Int? {
    var i = 0
    while i < end, bytes[i] == ASCII.carriageReturn || bytes[i] == ASCII.lineFeed {
      guard bytes[i] == ASCII.carriageReturn else { throw .bareLineFeed }
      guard i < 4 else { throw .emptyLinesBeforeRequest }
      guard i &+ 1 < end else { return nil }
      guard bytes[i &+ 1] == ASCII.lineFeed else { throw .bareCarriageReturn }
      i &+= 2
    }
    return i < end ? i : nil
  }

  /// What can only be judged when all fields are known.
  private mutating func finish(_ bytes: Span<UInt8>) throws(HTTPHeadError) {
    let facts = section.facts
    framing = try section.framing(minorVersion: minorVersion) ?? .none
    try finishHost(bytes, facts)
    keepAlive = section.keepsAlive(minorVersion: minorVersion)
    if facts.hasOddExpectation { throw .expectationUnsupported }
    expectsContinue = facts.expectsContinue && minorVersion >= 1 && framing != .none && framing != .length(0)
    if facts.optionUpgrade, minorVersion >= 1, method == .get { upgrade = facts.upgrade }
    if upgrade == .webSocket { try checkWebSocket(bytes, facts) }
    if !section.connectionNames.isEmpty { section.markConnectionNames(bytes) }
  }

  private mutating func finishHost(_ bytes: Span<UInt8>, _ facts: FieldSection.Facts) throws(HTTPHeadError) {
    if facts.hostCount > 1 { throw .hostRepeated }
    if facts.hostCount == 0, minorVersion >= 1 { throw .hostMissing }
    if facts.hostCount == 1 {
      hostRange = facts.host
      host = HostField(bytes, facts.host)
      if host == nil { throw .hostInvalid }
    }
    guard target.form == .absolute || target.form == .authority else { return }
    guard let named = HostField(bytes, target.authority) else { throw .targetInvalid }
    if target.form == .authority, named.port == nil { throw .targetInvalid }
    // The target wins over Host (RFC 9112 §3.2.2), but a client must send both alike, so a difference is somebody's trick.
    if target.form == .absolute, let host {
      let standard: UInt16 = target.isSecure ? 443 : 80
      guard bytes.matchesIgnoringCase(named.name, host.name), named.port ?? standard == host.port ?? standard else { throw .hostMismatch }
    }
    host = named
    hostRange = target.authority
  }

  /// RFC 6455 §4.2.1.
  private func checkWebSocket(_ bytes: Span<UInt8>, _ facts: FieldSection.Facts) throws(HTTPHeadError) {
    guard facts.webSocketVersionCount == 1, bytes.extracting(facts.webSocketVersion).isExactly("13") else {
      throw .webSocketVersionUnsupported
    }
    guard facts.webSocketKeyCount == 1, WebSocketHandshake.isValidKey(bytes.extracting(facts.webSocketKey)) else {
      throw .webSocketKeyInvalid
    }
  }
}

/// `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3).
struct HTTPVersion {
  static let byteCount = 8
  let major: UInt8
  let minor: UInt8

  /// Throws at the first byte that cannot be part of a version; nil when `end` comes too soon.
  @inline(__always) init?(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) throws(HTTPHeadError) {
    if start &+ Self.byteCount <= end {
      let word: UInt64 = bytes.littleEndian(at: start)
      if word & 0xFF_FFFF_FFFF_FFFF == 0x2E31_2F50_5454_48, ASCII.isDigit(bytes[start &+ 7]) {  // "HTTP/1."
        major = 1
        minor = bytes[start &+ 7] &- 0x30
        return
      }
    }
    let pattern: StaticString = "HTTP/0.0"
    for i in 0..<Self.byteCount {
      guard start &+ i < end else { return nil }
      // SAFETY: a static string's storage lives for ever; `i` stays below its eight bytes.
      let expected = unsafe pattern.utf8Start[i]
      guard expected == 0x30 ? ASCII.isDigit(bytes[start &+ i]) : bytes[start &+ i] == expected else { throw .versionInvalid }
    }
    major = bytes[start &+ 5] &- 0x30
    minor = bytes[start &+ 7] &- 0x30
  }
}
