public import CausewayBase
public import CausewayTunnelCore
internal import CausewayWire

/// What a visitor's request says about the shape of its answer.
public struct RequestFacts: Equatable, Sendable {
  public var isHead = false
  /// 0 or 1.
  public var minorVersion: UInt8 = 1
  /// The visitor would like to keep the connection.
  public var keepsAlive = true
  /// It asked for a WebSocket: 101 is a possible answer.
  public var isWebSocket = false

  public init() {}
}

/// How an answer's body is delimited toward the visitor.
public enum VisitorBody: Equatable, Sendable {
  case none
  case length(UInt64)
  case chunked
  /// HTTP/1.0 without a length: until we close.
  case untilClose
}

/// A `response` record as the head that a visitor gets.
public struct VisitorResponse: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// 1xx, passed on; the answer is still to come.
    case informational
    /// 1xx that an HTTP/1.0 visitor would not understand: nothing was written.
    case withheld
    /// 101: raw bytes from here on, both ways.
    case switching
    case final
  }
  public var kind: Kind
  public var status: UInt16
  public var body: VisitorBody
  public var keepsAlive: Bool

  /// Writes the head of the record in `payload` to `out`.
  /// - Parameters:
  ///   - mayPersist: nothing else speaks against keeping the connection.
  ///   - unixSeconds: asked for when the answer has no Date (RFC 9110 §6.6.1).
  /// - Throws: when the record is damaged or holds what must not be in a head; `out` is then as it was.
  public static func append(
    _ bytes: Span<UInt8>, _ payload: Range<Int>, to request: RequestFacts, mayPersist: Bool, at unixSeconds: () -> Int64,
    into out: ByteBuffer
  ) throws(RecordError) -> VisitorResponse {
    let before = out.count
    do throws(RecordError) {
      return try write(bytes, payload, request, mayPersist, unixSeconds, out)
    } catch {
      out.truncate(to: before)
      throw error
    }
  }

  private static func write(
    _ bytes: Span<UInt8>, _ payload: Range<Int>, _ request: RequestFacts, _ mayPersist: Bool, _ unixSeconds: () -> Int64, _ out: ByteBuffer
  ) throws(RecordError) -> VisitorResponse {
    var reader = HeadRecordReader(payload: payload)
    let head = try reader.response(bytes)
    let kind = try kind(of: head.status, request)
    if kind == .withheld { return VisitorResponse(kind: kind, status: head.status, body: .none, keepsAlive: true) }
    appendStatusLine(head, bytes, out)
    // Where no body follows, a length only describes what GET would have brought, and travels as a field.
    let keepsLength = kind == .final && head.body == .none && (request.isHead || head.status == 304)
    var hasDate = false
    for _ in 0..<head.fieldCount {
      let (name, value) = try reader.field(bytes)
      let known = KnownField(name: bytes.extracting(name))
      guard isToken(bytes, name), isFieldValue(bytes, value) else { throw .malformed("control byte in a field of the response") }
      switch known {
      case .contentLength:
        guard keepsLength, bytes.decimal(in: ByteRange(value.lowerBound, value.upperBound)) != nil else { continue }
      case .trailer where request.minorVersion == 0: continue
      case .date: hasDate = true
      default: if known.isHopByHop { continue }
      }
      out.append(bytes.extracting(name))
      out.append(": ")
      out.append(bytes.extracting(value))
      out.append("\r\n")
    }
    switch kind {
    case .informational, .withheld:
      out.append("\r\n")
      return VisitorResponse(kind: kind, status: head.status, body: .none, keepsAlive: true)
    case .switching:
      out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
      return VisitorResponse(kind: kind, status: head.status, body: .none, keepsAlive: false)
    case .final:
      if !hasDate { DateField.append(unixSeconds(), to: out) }
      return finish(head, request, mayPersist, out)
    }
  }

  private static func kind(of status: UInt16, _ request: RequestFacts) throws(RecordError) -> Kind {
    if status >= 200 { return .final }
    if status == 101 {
      guard request.isWebSocket else { throw .malformed("101 without an Upgrade") }
      return .switching
    }
    return request.minorVersion >= 1 ? .informational : .withheld
  }

  private static func appendStatusLine(_ head: HeadRecordReader.Response, _ bytes: Span<UInt8>, _ out: ByteBuffer) {
    if head.status == 200 && head.reason.count == 2 { return out.append("HTTP/1.1 200 OK\r\n") }
    out.append("HTTP/1.1 ")
    out.append(decimal: UInt64(head.status))
    out.append(0x20)
    if isFieldValue(bytes, head.reason) { out.append(bytes.extracting(head.reason)) }
    out.append("\r\n")
  }

  /// Framing and persistence of a final head.
  private static func finish(
    _ head: HeadRecordReader.Response, _ request: RequestFacts, _ mayPersist: Bool, _ out: ByteBuffer
  ) -> VisitorResponse {
    var body = VisitorBody.none
    if head.status == 204 {
      // No length either (RFC 9110 §8.6).
    } else if request.isHead || head.status == 304 {
      if case .known(let count) = head.body { out.appendField("Content-Length", count) }
    } else {
      switch head.body {
      case .none: out.append("Content-Length: 0\r\n")
      case .known(let count):
        out.appendField("Content-Length", count)
        body = count == 0 ? .none : .length(count)
      case .unknown where request.minorVersion >= 1:
        out.append("Transfer-Encoding: chunked\r\n")
        body = .chunked
      case .unknown: body = .untilClose
      }
    }
    let keepsAlive = mayPersist && request.keepsAlive && body != .untilClose
    ConnectionField.append(keepsAlive: keepsAlive, minorVersion: request.minorVersion, to: out)
    out.append("\r\n")
    return VisitorResponse(kind: .final, status: head.status, body: body, keepsAlive: keepsAlive)
  }

  /// Writes the last chunk with the trailers of the record in `payload`.
  public static func appendTrailers(_ bytes: Span<UInt8>, _ payload: Range<Int>, into out: ByteBuffer) throws(RecordError) {
    var reader = HeadRecordReader(payload: payload)
    let count = try reader.trailers(bytes)
    let before = out.count
    out.append("0\r\n")
    for _ in 0..<count {
      let (name, value) = try reader.field(bytes)
      guard isToken(bytes, name), isFieldValue(bytes, value) else {
        out.truncate(to: before)
        throw .malformed("control byte in a trailer of the response")
      }
      if KnownField(name: bytes.extracting(name)).isForbiddenInTrailers { continue }
      out.append(bytes.extracting(name))
      out.append(": ")
      out.append(bytes.extracting(value))
      out.append("\r\n")
    }
    out.append("\r\n")
  }

  // A client is one of many: what it sends must not be able to end a head early and forge the next answer on a shared connection.

  private static func isToken(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    for index in range where !ASCII.isToken(bytes[index]) { return false }
    return !range.isEmpty
  }

  private static func isFieldValue(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var index = range.lowerBound
    while index &+ 8 <= range.upperBound {
      let word: UInt64 = bytes.littleEndian(at: index)
      let low = (word &- 0x2020_2020_2020_2020) & ~word
      let delete = word ^ 0x7F7F_7F7F_7F7F_7F7F
      if (low | ((delete &- 0x0101_0101_0101_0101) & ~delete)) & 0x8080_8080_8080_8080 != 0 { break }
      index &+= 8
    }
    while index < range.upperBound {
      guard ASCII.isFieldValue(bytes[index]) else { return false }
      index &+= 1
    }
    return true
  }
}

/// `Date` of an answer.
enum DateField {
  static func append(_ unixSeconds: Int64, to out: ByteBuffer) {
    out.append("Date: ")
    HTTPDate.append(unixSeconds: unixSeconds, to: out)
    out.append("\r\n")
  }
}

/// `Connection` of an answer.
enum ConnectionField {
  static func append(keepsAlive: Bool, minorVersion: UInt8, to out: ByteBuffer) {
    if !keepsAlive {
      out.append("Connection: close\r\n")
    } else if minorVersion == 0 {
      out.append("Connection: keep-alive\r\n")
    }
  }
}
