public import CausewayBase
public import CausewayWire

/// What the local service is told as Host.
public enum HostHeader: Equatable, Sendable {
  /// The public name, as the visitor sent it.
  case keep
  /// A fixed value: the local address (`rewrite`) or a name of the user's choice. The public one stays in X-Forwarded-Host.
  case fixed([UInt8])
}

/// A request as the local service gets it, written from an `open` record: one framing of our own, nothing hop by hop.
public struct OriginRequest: Sendable {
  public var kind: StreamKind
  public var tunnel: UInt16
  public var method: HTTPMethod
  /// How body records are to be framed toward the service.
  public var body: BodyLength
  /// Dead kept connections may be retried: the method is idempotent and there is no body.
  public var isReplayable: Bool { body == .none && method.isIdempotent }
  public var expectsContinue: Bool

  /// Reads the record and appends the HTTP/1.1 head to `out`.
  /// - Parameter select: chooses the Host rule by the tunnel's number, or nil when the tunnel is unknown.
  public static func write(
    _ bytes: Span<UInt8>, payload: Range<Int>, host rule: HostHeader, to out: ByteBuffer
  ) throws(RecordError) -> OriginRequest {
    var reader = HeadRecordReader(payload: payload)
    let open = try reader.open(bytes)
    guard open.kind != .tcp else { throw .malformed("a TCP stream has no request") }
    var request = OriginRequest(
      kind: open.kind, tunnel: open.tunnel, method: HTTPMethod(bytes.extracting(open.method)), body: open.body, expectsContinue: false)
    guard !open.method.isEmpty, !open.target.isEmpty else { throw .malformed("empty method or target") }
    try checkToken(bytes, open.method)
    try checkVisible(bytes, open.target)
    out.append(bytes.extracting(open.method))
    out.append(0x20)
    out.append(bytes.extracting(open.target))
    out.append(" HTTP/1.1\r\nHost: ")
    switch rule {
    case .keep:
      try checkVisible(bytes, open.host)
      out.append(bytes.extracting(open.host))
    case .fixed(let value): out.append(value.span)
    }
    out.append("\r\n")
    for _ in 0..<open.fieldCount {
      let (name, value) = try reader.field(bytes)
      try checkToken(bytes, name)
      try checkValue(bytes, value)
      let known = KnownField(name: bytes.extracting(name))
      // The relay has left these out; a damaged or hostile one must not be able to frame the request anew.
      if known == .host || known == .contentLength || known.isHopByHop { continue }
      if known == .expect { request.expectsContinue = true }
      out.append(bytes.extracting(name))
      out.append(": ")
      out.append(bytes.extracting(value))
      out.append("\r\n")
    }
    if open.kind == .webSocket { out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n") }
    switch open.body {
    case .none: break
    case .known(let count): out.appendField("Content-Length", count)
    case .unknown: out.append("Transfer-Encoding: chunked\r\n")
    }
    out.append("\r\n")
    return request
  }

  /// Appends a chunked body's end with the trailer fields of a `trailers` record.
  public static func writeChunkedEnd(_ bytes: Span<UInt8>, trailers payload: Range<Int>, to out: ByteBuffer) throws(RecordError) {
    var reader = HeadRecordReader(payload: payload)
    let count = try reader.trailers(bytes)
    out.append("0\r\n")
    for _ in 0..<count {
      let (name, value) = try reader.field(bytes)
      try checkToken(bytes, name)
      try checkValue(bytes, value)
      if KnownField(name: bytes.extracting(name)).isForbiddenInTrailers { continue }
      out.append(bytes.extracting(name))
      out.append(": ")
      out.append(bytes.extracting(value))
      out.append("\r\n")
    }
    out.append("\r\n")
  }

  // A record's text goes into a head verbatim, so nothing in it may end a line.

  private static func checkToken(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(RecordError) {
    for index in range where !ASCII.isToken(bytes[index]) { throw .malformed("not a token") }
  }

  private static func checkVisible(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(RecordError) {
    for index in range where bytes[index] <= 0x20 || bytes[index] == 0x7F {
      throw .malformed("blank or control byte in the target or host")
    }
  }

  private static func checkValue(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(RecordError) {
    for index in range where !ASCII.isFieldValue(bytes[index]) { throw .malformed("control byte in a field") }
  }
}
