public import CausewayBase

/// `uri-host [":" port]` (RFC 9110 §7.2), strictly: a name of unreserved characters without empty labels, an IPv4 address, or
/// an IPv6 address in brackets without a zone; no user information, no list, no percent signs; the port is 1...65535.
public struct HostField: Equatable, Sendable {
  /// Without the port and without one trailing dot; with brackets when it is an IPv6 address; case as sent.
  public let name: ByteRange
  public let port: UInt16?

  public static let nameByteCountLimit = 255

  /// - Returns: nil when the bytes of `range` are not a valid host.
  public init?(_ bytes: Span<UInt8>, _ range: ByteRange) {
    let start = Int(range.start)
    let end = Int(range.end)
    guard start < end else { return nil }
    var i = start
    var nameEnd: Int
    if bytes[start] == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]"), in: start..<end) else { return nil }
      guard IPAddress(ipv6: bytes.extracting(start + 1..<close)) != nil else { return nil }
      i = close + 1
      nameEnd = i
    } else {
      var labelStart = i
      while i < end, ASCII.isUnreserved(bytes[i]) {
        if bytes[i] == UInt8(ascii: ".") {
          if i == labelStart { return nil }
          labelStart = i &+ 1
        }
        i &+= 1
      }
      nameEnd = labelStart == i ? i &- 1 : i
      guard nameEnd > start, nameEnd &- start <= Self.nameByteCountLimit else { return nil }
    }
    name = ByteRange(start, nameEnd)
    if i == end {
      port = nil
      return
    }
    guard bytes[i] == ASCII.colon, let port = Self.port(bytes, i &+ 1, end) else { return nil }
    self.port = port
  }

  /// 1...65535 in at most five digits.
  static func port(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> UInt16? {
    guard start < end, end &- start <= 5, let value = bytes.decimal(in: ByteRange(start, end)), value > 0 else { return nil }
    return UInt16(exactly: value)
  }

  /// Appends the name in lower case, for a look-up in a table of routes.
  public func appendLowercasedName(of bytes: Span<UInt8>, to buffer: ByteBuffer) {
    for i in name.range { buffer.append(ASCII.lowercased(bytes[i])) }
  }

  /// The name in lower case. Up to 15 bytes it costs no allocation.
  public func lowercasedName(of bytes: Span<UInt8>) -> String {
    unsafe String(unsafeUninitializedCapacity: name.count) { target in
      // SAFETY: the target has room for `name.count` bytes; all are ASCII and all are written.
      for i in 0..<name.count { unsafe target.initializeElement(at: i, to: ASCII.lowercased(bytes[Int(name.start) &+ i])) }
      return name.count
    }
  }
}
