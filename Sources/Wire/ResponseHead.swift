/// A response's head, parsed like a `RequestHead` and just as reusable. Its errors mean 502 to the visitor and the end of the
/// origin's connection.
public final class ResponseHead {
  private var parser = ResponseParser()

  public init() {}

  /// Forgets the head and any progress; keeps the memory.
  public func reset() { parser.reset() }

  /// Parses the head at the start of `bytes`; see `RequestHead.parse`.
  /// - Parameter method: of the request that this answers; it decides about the body.
  public func parse(_ bytes: Span<UInt8>, to method: HTTPMethod, limits: HeadLimits = .standard) throws(HTTPHeadError) -> Int? {
    try parser.parse(bytes, method, limits)
  }

  /// 100...999.
  public var status: UInt16 { parser.status }
  /// May be empty.
  public var reason: ByteRange { parser.reason }
  /// 0 or 1.
  public var minorVersion: UInt8 { parser.minorVersion }
  public var fields: [FieldLine] { parser.section.lines }

  /// After 2xx to CONNECT and after 101 it is `none`: what follows belongs to another protocol.
  public var framing: BodyFraming { parser.framing }
  /// `Content-Length` as sent, when it may be forwarded: also for answers to HEAD and for 304, where no body follows; never for
  /// 1xx, 204 and 2xx to CONNECT (RFC 9110 §8.6).
  public var contentLength: UInt64? { parser.contentLength }
  /// Whether the connection may carry another request after the body. False when the body ends with the connection.
  public var keepAlive: Bool { parser.keepAlive }
  public var isInterim: Bool { parser.status < 200 }
  /// What the origin switches to; `none` unless the status is 101.
  public var upgrade: UpgradeProtocol { parser.upgrade }
  public var upgradeToken: ByteRange { parser.upgrade == .none ? .empty : parser.section.facts.upgradeToken }

  /// Whether `Connection` names this field (never true for guarded names).
  public func connectionNames(_ field: FieldLine) -> Bool { field.isNamedByConnection }
  /// Whether this field must not be forwarded.
  public func isHopByHop(_ field: FieldLine) -> Bool { field.isHopByHop }

  /// The first field of that kind.
  public func first(_ known: KnownField) -> FieldLine? { parser.section.lines.first { $0.known == known } }
}

/// The state behind a `ResponseHead`.
struct ResponseParser {
  var progress = HeadProgress()
  var section = FieldSection()
  var status: UInt16 = 0
  var reason = ByteRange.empty
  var minorVersion: UInt8 = 1
  var framing = BodyFraming.none
  var contentLength: UInt64?
  var keepAlive = false
  var upgrade = UpgradeProtocol.none

  mutating func reset() {
    progress = HeadProgress()
    section.reset()
    framing = .none
    contentLength = nil
    keepAlive = false
    upgrade = .none
  }

  mutating func parse(_ bytes: Span<UInt8>, _ method: HTTPMethod, _ limits: HeadLimits) throws(HTTPHeadError) -> Int? {
    if progress.stage == .complete { reset() }
    let limit = limits.headByteCount
    let end = min(bytes.count, limit)
    guard progress.canAdvance(bytes, upTo: end, limit: limit) else {
      progress.wait(end)
      return nil
    }
    if progress.stage == .start {
      guard let next = try parseStatusLine(bytes, end) else {
        if end == limit { throw .headTooLarge }
        progress.wait(end)
        return nil
      }
      progress.lineStart = next
      progress.stage = .fields
    }
    guard try section.parse(bytes, from: &progress.lineStart, upTo: end, limit: limits.fieldCount, strictness: .response) else {
      if end == limit { throw .headTooLarge }
      progress.wait(end)
      return nil
    }
    progress.stage = .complete
    try finish(bytes, method)
    return progress.lineStart
  }

  /// `HTTP/1.x SP 3DIGIT SP [reason] CRLF`; the space before a missing reason may be missing too.
  private mutating func parseStatusLine(_ bytes: Span<UInt8>, _ end: Int) throws(HTTPHeadError) -> Int? {
    guard let version = try HTTPVersion(bytes, 0, end) else { return nil }
    guard version.major == 1 else { throw .versionUnsupported }
    minorVersion = min(version.minor, 1)
    var i = HTTPVersion.byteCount
    guard i < end else { return nil }
    guard bytes[i] == ASCII.space else { throw .statusInvalid }
    status = 0
    for _ in 0..<3 {
      i &+= 1
      guard i < end else { return nil }
      guard ASCII.isDigit(bytes[i]) else { throw .statusInvalid }
      status = status &* 10 &+ UInt16(bytes[i] &- 0x30)
    }
    guard status >= 100 else { throw .statusInvalid }
    i &+= 1
    guard i < end else { return nil }
    guard bytes[i] == ASCII.space || bytes[i] == ASCII.carriageReturn else {
      throw bytes[i] == ASCII.lineFeed ? .bareLineFeed : .statusInvalid
    }
    if bytes[i] == ASCII.space { i &+= 1 }
    let start = i
    while i < end, ASCII.isFieldValue(bytes[i]) { i &+= 1 }
    guard i < end else { return nil }
    guard bytes[i] == ASCII.carriageReturn else { throw bytes[i] == ASCII.lineFeed ? .bareLineFeed : .statusInvalid }
    guard i &+ 1 < end else { return nil }
    guard bytes[i &+ 1] == ASCII.lineFeed else { throw .bareCarriageReturn }
    reason = ByteRange(start, i)
    return i &+ 2
  }

  private mutating func finish(_ bytes: Span<UInt8>, _ method: HTTPMethod) throws(HTTPHeadError) {
    let facts = section.facts
    let isTunnel = method == .connect && (200..<300).contains(status)
    let hasNoBody = method == .head || status < 200 || status == 204 || status == 304 || isTunnel
    if hasNoBody {
      framing = .none
      if !isTunnel, status >= 200, status != 204, facts.transferEncodingCount == 0 { contentLength = facts.contentLength }
    } else if facts.transferEncodingCount == 1, facts.isIdentity, facts.contentLength == nil, minorVersion >= 1 {
      // `identity` was a coding once (RFC 2616 §3.6) and changes nothing. Any other coding would reach the visitor undeclared,
      // because this field is hop by hop, so it is refused.
      framing = .untilClose
    } else {
      framing = try section.framing(minorVersion: minorVersion) ?? .untilClose
      contentLength = facts.contentLength
    }
    keepAlive = section.keepsAlive(minorVersion: minorVersion) && framing != .untilClose && !isTunnel && status != 101
    if status == 101, facts.optionUpgrade { upgrade = facts.upgrade }
    if !section.connectionNames.isEmpty { section.markConnectionNames(bytes) }
  }
}
