public import CausewayBase

/// How a message's body is delimited on the far side. The lane itself needs none of it: bodies are data records with an explicit end.
public enum BodyLength: Equatable, Sendable {
  /// No body, whatever the fields say.
  case none
  case known(UInt64)
  /// Chunked there; the end is the trailers record.
  case unknown
}

/// What a stream carries.
public enum StreamKind: UInt8, Sendable {
  case http = 1
  case webSocket = 2
  case tcp = 3
}

/// Writes head records piece by piece into a buffer, lengths last. Layout of an `open` payload:
/// ```
/// kind u8 | tunnel u16 | TCP: visitor's address, to the end
///         |            | else: method (u8 length) | target (u16 length) | host (u16 length) | body u8 [+ u64] | count u16 | fields
/// ```
/// of a `response`: `status u16 | reason (u8 length) | body u8 [+ u64] | count u16 | fields`, of `trailers`: `count u16 | fields`; a field is
/// `name length u16 | value length u16 | name | value`. All integers big-endian; body: 0 none, 1 known length (u64 follows), 2 unknown.
public struct HeadRecordWriter: ~Copyable {
  private let out: ByteBuffer
  private let start: Int
  private var countPosition = 0
  private var fieldCount: UInt16 = 0

  private init(_ kind: RecordKind, _ out: ByteBuffer) {
    self.out = out
    start = out.count
    Record.appendHeader(kind, payloadByteCount: 0, to: out)
  }

  /// An HTTP or WebSocket request.
  public init(
    request kind: StreamKind, tunnel: UInt16, method: Span<UInt8>, target: Span<UInt8>, host: Span<UInt8>, body: BodyLength,
    to out: ByteBuffer
  ) {
    self.init(.open, out)
    out.append(kind.rawValue)
    out.appendBigEndian(tunnel)
    out.append(UInt8(clamping: method.count))
    out.append(method.extracting(first: 255))
    out.appendBigEndian(UInt16(clamping: target.count))
    out.append(target.extracting(first: 65535))
    out.appendBigEndian(UInt16(clamping: host.count))
    out.append(host.extracting(first: 65535))
    appendBody(body)
    beginFields()
  }

  /// A TCP stream: the whole record.
  public static func appendTCP(tunnel: UInt16, visitor: String, to out: ByteBuffer) {
    let start = out.count
    Record.appendHeader(.open, payloadByteCount: 0, to: out)
    out.append(StreamKind.tcp.rawValue)
    out.appendBigEndian(tunnel)
    out.append(visitor)
    out.setBigEndian(UInt32(RecordKind.open.rawValue) << 24 | UInt32(out.count - start - Record.headerByteCount), at: start)
  }

  public init(response status: UInt16, reason: Span<UInt8>, body: BodyLength, to out: ByteBuffer) {
    self.init(.response, out)
    out.appendBigEndian(status)
    let reason = reason.extracting(first: 255)
    out.append(UInt8(reason.count))
    out.append(reason)
    appendBody(body)
    beginFields()
  }

  public init(trailersTo out: ByteBuffer) {
    self.init(.trailers, out)
    beginFields()
  }

  public mutating func field(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    precondition(name.count <= 65535 && value.count <= 65535, "field over 64 KiB: the head limit is below that")
    out.appendBigEndian(UInt16(name.count))
    out.appendBigEndian(UInt16(value.count))
    out.append(name)
    out.append(value)
    fieldCount += 1
  }

  /// Fills in the lengths. Call it once, last.
  public consuming func finish() {
    out.setBigEndian(fieldCount, at: countPosition)
    let buffer = out
    let kind = buffer.bytes[start]
    out.setBigEndian(UInt32(kind) << 24 | UInt32(out.count - start - Record.headerByteCount), at: start)
  }

  private func appendBody(_ body: BodyLength) {
    switch body {
    case .none: out.append(0)
    case .known(let count):
      out.append(1)
      out.appendBigEndian(count)
    case .unknown: out.append(2)
    }
  }

  private mutating func beginFields() {
    countPosition = out.count
    out.appendBigEndian(UInt16(0))
  }
}

/// Reads a head record's payload in order, as ranges of the span it came in: nothing is copied.
public struct HeadRecordReader {
  private var offset: Int
  private let end: Int

  public init(payload: Range<Int>) {
    offset = payload.lowerBound
    end = payload.upperBound
  }

  public struct Open: Sendable {
    public var kind: StreamKind
    public var tunnel: UInt16
    /// TCP only: where the visitor connects from, "1.2.3.4:5678".
    public var visitor: Range<Int>
    public var method: Range<Int>
    public var target: Range<Int>
    public var host: Range<Int>
    public var body: BodyLength
    public var fieldCount: Int
  }

  public struct Response: Sendable {
    public var status: UInt16
    public var reason: Range<Int>
    public var body: BodyLength
    public var fieldCount: Int
  }

  public mutating func open(_ bytes: Span<UInt8>) throws(RecordError) -> Open {
    guard let kind = StreamKind(rawValue: UInt8(try integer(bytes, 1))) else { throw .malformed("unknown stream kind") }
    let tunnel = UInt16(try integer(bytes, 2))
    if kind == .tcp {
      return Open(
        kind: kind, tunnel: tunnel, visitor: offset..<end, method: end..<end, target: end..<end, host: end..<end, body: .unknown,
        fieldCount: 0)
    }
    let method = try run(bytes, lengthBytes: 1)
    let target = try run(bytes, lengthBytes: 2)
    let host = try run(bytes, lengthBytes: 2)
    let body = try body(bytes)
    let count = Int(try integer(bytes, 2))
    return Open(
      kind: kind, tunnel: tunnel, visitor: end..<end, method: method, target: target, host: host, body: body, fieldCount: count)
  }

  public mutating func response(_ bytes: Span<UInt8>) throws(RecordError) -> Response {
    let status = UInt16(try integer(bytes, 2))
    guard 100...999 ~= status else { throw .malformed("status \(status)") }
    let reason = try run(bytes, lengthBytes: 1)
    let body = try body(bytes)
    return Response(status: status, reason: reason, body: body, fieldCount: Int(try integer(bytes, 2)))
  }

  /// The number of trailer fields.
  public mutating func trailers(_ bytes: Span<UInt8>) throws(RecordError) -> Int { Int(try integer(bytes, 2)) }

  /// The next field's name and value. Call it `fieldCount` times.
  public mutating func field(_ bytes: Span<UInt8>) throws(RecordError) -> (name: Range<Int>, value: Range<Int>) {
    let nameCount = Int(try integer(bytes, 2))
    let valueCount = Int(try integer(bytes, 2))
    guard nameCount > 0, end - offset >= nameCount + valueCount else { throw .malformed("field outside its record") }
    let name = offset..<offset + nameCount
    let value = name.upperBound..<name.upperBound + valueCount
    offset = value.upperBound
    return (name, value)
  }

  private mutating func body(_ bytes: Span<UInt8>) throws(RecordError) -> BodyLength {
    switch try integer(bytes, 1) {
    case 0: return .none
    case 1: return .known(try integer(bytes, 8))
    case 2: return .unknown
    default: throw .malformed("unknown body form")
    }
  }

  private mutating func run(_ bytes: Span<UInt8>, lengthBytes: Int) throws(RecordError) -> Range<Int> {
    let count = Int(try integer(bytes, lengthBytes))
    guard end - offset >= count else { throw .malformed("text outside its record") }
    defer { offset += count }
    return offset..<offset + count
  }

  private mutating func integer(_ bytes: Span<UInt8>, _ byteCount: Int) throws(RecordError) -> UInt64 {
    guard end - offset >= byteCount, end <= bytes.count else { throw .malformed("record too short") }
    var value: UInt64 = 0
    for index in offset..<offset + byteCount { value = value &<< 8 | UInt64(bytes[index]) }
    offset += byteCount
    return value
  }
}
