/// The methods of RFC 9110 §9.3 and PATCH (RFC 5789); everything else is `other` and travels as its bytes.
public enum HTTPMethod: UInt8, Sendable, CaseIterable {
  case other, get, head, post, put, delete, connect, options, trace, patch

  /// Longer methods are refused with 501.
  public static let byteCountLimit = 32

  /// Methods are case-sensitive: `get` is `other`.
  public init(_ bytes: Span<UInt8>) {
    switch bytes.count {
    case 3:
      self = bytes.isExactly("GET") ? .get : bytes.isExactly("PUT") ? .put : .other
    case 4:
      self = bytes.isExactly("POST") ? .post : bytes.isExactly("HEAD") ? .head : .other
    case 5:
      self = bytes.isExactly("PATCH") ? .patch : bytes.isExactly("TRACE") ? .trace : .other
    case 6:
      self = bytes.isExactly("DELETE") ? .delete : .other
    case 7:
      self = bytes.isExactly("OPTIONS") ? .options : bytes.isExactly("CONNECT") ? .connect : .other
    default:
      self = .other
    }
  }

  /// Doing it twice does what doing it once does (RFC 9110 §9.2.2), so that a lost answer may be asked for again.
  public var isIdempotent: Bool {
    switch self {
    case .get, .head, .put, .delete, .options, .trace: true
    case .post, .connect, .patch, .other: false
    }
  }
}

extension Span<UInt8> {
  /// Byte-wise equality with `text`.
  @inlinable @inline(__always) public func isExactly(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    // SAFETY: a static string's storage lives for ever, and the loop stays below its count.
    let expected = unsafe text.utf8Start
    for i in 0..<count where unsafe self[i] != expected[i] { return false }
    return true
  }
}
