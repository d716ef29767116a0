public import CausewayBase
internal import CausewayTunnelCore
public import CausewayWire

/// Turns a visitor's head into an `open` record: framing and hop-by-hop fields go, then what proxies add comes (never the other way
/// round: `Connection` could name what was added). Order and repetition of all others stay.
public enum OpenRecord {
  /// - Parameters:
  ///   - head: parsed from `bytes`, with a host.
  ///   - stripsAuthorization: the Authorization field was for the relay.
  ///   - scratch: empty, and empty again afterwards.
  public static func append(
    _ head: RequestHead, _ bytes: Span<UInt8>, visitor: Visitor, policy: IngressPolicy, tunnel: UInt16, stripsAuthorization: Bool,
    scratch: ByteBuffer, to out: ByteBuffer
  ) {
    var writer = begin(head, bytes, tunnel: tunnel, scratch: scratch, to: out)
    let isTrusted = visitor.isTrustedProxy
    var hasProto = false
    var hasHost = false
    // With a chain there is something better than what a proxy may have let through from anybody.
    let reported = isTrusted ? ForwardedChain.visitor(head, bytes, trusting: policy.trustedProxies) : nil
    var hasRealIP = false
    for field in head.fields {
      if field.isHopByHop || field.shadowsKnown { continue }
      switch field.known {
      case .host, .contentLength, .transferEncoding, .xForwardedFor: continue
      case .expect where !head.expectsContinue: continue
      case .trailer where head.framing != .chunked: continue
      case .authorization where stripsAuthorization: continue
      case .xForwardedProto, .xForwardedHost, .xForwardedPort, .xForwardedOther, .xRealIP, .forwarded:
        if !isTrusted { continue }
        if field.known == .xForwardedProto { hasProto = true }
        if field.known == .xForwardedHost { hasHost = true }
        if field.known == .xRealIP {
          if reported != nil { continue }
          hasRealIP = true
        }
      case .maxForwards where head.method == .options:
        appendDecremented(field, bytes, scratch: scratch, &writer)
        continue
      default: break
      }
      writer.field(bytes.extracting(field.name), bytes.extracting(field.value))
    }
    appendForwardedFor(head, bytes, visitor, scratch: scratch, &writer)
    if let reported {
      writer.field(FieldName.xRealIP.span, bytes.extracting(reported))
    } else if !hasRealIP {
      writer.field(FieldName.xRealIP.span, visitor.address.span)
    }
    if !hasProto { writer.field(FieldName.xForwardedProto.span, (visitor.isSecure ? FieldName.https : FieldName.http).span) }
    if !hasHost { writer.field(FieldName.xForwardedHost.span, bytes.extracting(head.hostRange)) }
    appendVia(head, policy, scratch: scratch, &writer)
    if head.acceptsTrailers && head.minorVersion >= 1 { writer.field(FieldName.te.span, FieldName.trailers.span) }
    writer.finish()
  }

  private static func begin(
    _ head: RequestHead, _ bytes: Span<UInt8>, tunnel: UInt16, scratch: ByteBuffer, to out: ByteBuffer
  ) -> HeadRecordWriter {
    let kind: StreamKind = head.upgrade == .webSocket ? .webSocket : .http
    let body: BodyLength =
      switch head.framing {
      case .none, .untilClose: .none
      case .length(let count): .known(count)
      case .chunked: .unknown
      }
    let method = bytes.extracting(head.methodRange)
    let host = bytes.extracting(head.hostRange)
    if head.targetForm == .origin {
      return HeadRecordWriter(
        request: kind, tunnel: tunnel, method: method, target: bytes.extracting(head.path), host: host, body: body, to: out)
    }
    head.appendOriginTarget(of: bytes, to: scratch)
    let writer = HeadRecordWriter(request: kind, tunnel: tunnel, method: method, target: scratch.bytes, host: host, body: body, to: out)
    scratch.removeAll()
    return writer
  }

  /// What a trusted proxy reported, then the visitor's own address; from anybody else only the latter.
  private static func appendForwardedFor(
    _ head: RequestHead, _ bytes: Span<UInt8>, _ visitor: Visitor, scratch: ByteBuffer, _ writer: inout HeadRecordWriter
  ) {
    if visitor.isTrustedProxy {
      for field in head.fields where field.known == .xForwardedFor && !field.value.isEmpty {
        scratch.append(bytes.extracting(field.value))
        scratch.append(", ")
      }
    }
    scratch.append(visitor.address.span)
    writer.field(FieldName.xForwardedFor.span, scratch.bytes)
    scratch.removeAll()
  }

  private static func appendVia(_ head: RequestHead, _ policy: IngressPolicy, scratch: ByteBuffer, _ writer: inout HeadRecordWriter) {
    scratch.append(head.minorVersion == 0 ? "1.0 " : "1.1 ")
    scratch.append(policy.pseudonym.span)
    writer.field(FieldName.via.span, scratch.bytes)
    scratch.removeAll()
  }

  /// RFC 9110 §7.6.2; what is no number passes as it is, and 0 has been answered before.
  private static func appendDecremented(
    _ field: FieldLine, _ bytes: Span<UInt8>, scratch: ByteBuffer, _ writer: inout HeadRecordWriter
  ) {
    guard let hops = bytes.decimal(in: field.value), hops > 0 else {
      return writer.field(bytes.extracting(field.name), bytes.extracting(field.value))
    }
    scratch.append(decimal: hops - 1)
    writer.field(bytes.extracting(field.name), scratch.bytes)
    scratch.removeAll()
  }

  /// The explicit end of a message without trailers.
  public static func appendEnd(to out: ByteBuffer) { HeadRecordWriter(trailersTo: out).finish() }

  /// The end of a chunked body.
  public static func appendEnd(_ trailers: Trailers, to out: ByteBuffer) {
    var writer = HeadRecordWriter(trailersTo: out)
    let bytes = trailers.bytes
    for field in trailers.fields { writer.field(bytes.span.extracting(field.name), bytes.span.extracting(field.value)) }
    writer.finish()
  }
}

/// Names and values that we write, as bytes made once.
enum FieldName {
  static let xForwardedFor = Array("X-Forwarded-For".utf8)
  static let xForwardedProto = Array("X-Forwarded-Proto".utf8)
  static let xForwardedHost = Array("X-Forwarded-Host".utf8)
  static let xRealIP = Array("X-Real-IP".utf8)
  static let via = Array("Via".utf8)
  static let te = Array("TE".utf8)
  static let trailers = Array("trailers".utf8)
  static let http = Array("http".utf8)
  static let https = Array("https".utf8)
}
