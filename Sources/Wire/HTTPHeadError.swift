/// Why a head was refused. The connection that carried it must be closed: what follows cannot be told apart from an attack.
public enum HTTPHeadError: UInt8, Error, Equatable, Sendable, CaseIterable {
  // Another protocol
  /// A TLS hello arrived where plain HTTP is spoken.
  case tlsOnPlainPort
  /// `PRI * HTTP/2.0`: the client speaks HTTP/2 without asking.
  case http2Preface
  // Lines
  case bareCarriageReturn, bareLineFeed
  case emptyLinesBeforeRequest
  // Start line
  case methodInvalid, methodTooLong
  case targetInvalid, targetTooLong
  case fragmentInTarget
  case versionInvalid, versionUnsupported
  case statusInvalid
  // Fields
  case headTooLarge, tooManyFields
  case fieldNameInvalid
  /// A space in or behind a name.
  case spaceInFieldName
  case colonMissing
  case obsoleteFold
  case fieldValueInvalid
  case tooManyConnectionOptions
  // Framing
  case contentLengthInvalid, contentLengthRepeated
  case transferEncodingUnsupported, transferEncodingRepeated
  case transferEncodingWithContentLength
  case transferEncodingInHTTP10
  // Host
  case hostMissing, hostRepeated, hostInvalid
  /// The target's authority and Host name different places.
  case hostMismatch
  // Semantics
  case expectationUnsupported
  case webSocketVersionUnsupported
  case webSocketKeyInvalid

  /// The status to answer a request with.
  public var requestStatus: UInt16 {
    switch self {
    case .targetTooLong: 414
    case .expectationUnsupported: 417
    case .webSocketVersionUnsupported: 426
    case .headTooLarge, .tooManyFields: 431
    case .methodTooLong: 501
    case .versionUnsupported: 505
    default: 400
    }
  }

  /// The status to tell a visitor when the origin's head was refused.
  public var responseStatus: UInt16 { 502 }

  /// True when the sender broke a rule of the protocol; false when the head may be legal but is more than we take.
  public var isPeersFault: Bool {
    switch self {
    case .targetTooLong, .headTooLarge, .tooManyFields, .methodTooLong, .versionUnsupported, .expectationUnsupported,
      .webSocketVersionUnsupported, .tooManyConnectionOptions, .http2Preface, .transferEncodingUnsupported:
      false
    default: true
    }
  }
}

extension HTTPHeadError: CustomStringConvertible {
  /// One line: what is wrong with the head.
  public var description: String {
    switch self {
    case .tlsOnPlainPort: "TLS on a plain HTTP port: use https:// on the TLS port or http:// here"
    case .http2Preface: "HTTP/2 without negotiation: use HTTP/1.1"
    case .bareCarriageReturn: "carriage return without line feed"
    case .bareLineFeed: "line feed without carriage return"
    case .emptyLinesBeforeRequest: "too many empty lines before the request"
    case .methodInvalid: "invalid method"
    case .methodTooLong: "method longer than \(HTTPMethod.byteCountLimit) bytes"
    case .targetInvalid: "invalid request target"
    case .targetTooLong: "request target too long"
    case .fragmentInTarget: "fragment in the request target"
    case .versionInvalid: "invalid HTTP version"
    case .versionUnsupported: "unsupported HTTP version: use HTTP/1.1"
    case .statusInvalid: "invalid status line"
    case .headTooLarge: "head too large"
    case .tooManyFields: "too many fields"
    case .fieldNameInvalid: "invalid field name"
    case .spaceInFieldName: "space in or behind a field name"
    case .colonMissing: "field line without a colon"
    case .obsoleteFold: "folded field line"
    case .fieldValueInvalid: "control byte in a field value"
    case .tooManyConnectionOptions: "too many names in Connection"
    case .contentLengthInvalid: "invalid Content-Length"
    case .contentLengthRepeated: "more than one Content-Length"
    case .transferEncodingUnsupported: "unsupported Transfer-Encoding: only chunked is taken"
    case .transferEncodingRepeated: "more than one Transfer-Encoding"
    case .transferEncodingWithContentLength: "both Transfer-Encoding and Content-Length"
    case .transferEncodingInHTTP10: "Transfer-Encoding in an HTTP/1.0 message"
    case .hostMissing: "Host is missing"
    case .hostRepeated: "more than one Host"
    case .hostInvalid: "invalid Host"
    case .hostMismatch: "Host differs from the target's authority"
    case .expectationUnsupported: "unsupported expectation: only 100-continue is taken"
    case .webSocketVersionUnsupported: "unsupported WebSocket version: use 13"
    case .webSocketKeyInvalid: "invalid Sec-WebSocket-Key"
    }
  }
}

/// How much of a head is taken; beyond it the answer is 414 or 431.
public struct HeadLimits: Sendable {
  /// Start line, fields and the empty line. At most 2^31.
  public var headByteCount: Int
  public var fieldCount: Int
  public var targetByteCount: Int

  public init(headByteCount: Int = 32 * 1024, fieldCount: Int = 100, targetByteCount: Int = 16 * 1024) {
    precondition(headByteCount > 0 && headByteCount <= 1 << 31, "head limit outside 1...2^31")
    self.headByteCount = headByteCount
    self.fieldCount = fieldCount
    self.targetByteCount = targetByteCount
  }

  public static let standard = HeadLimits()
}
