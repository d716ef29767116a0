/// The four forms of a request target (RFC 9112 §3.2).
public enum TargetForm: UInt8, Sendable {
  /// `/path?query`
  case origin
  /// `http://host/path?query`
  case absolute
  /// `host:port`, only with CONNECT.
  case authority
  /// `*`, only with OPTIONS.
  case asterisk
}

struct RequestTarget: Equatable {
  var form = TargetForm.origin
  /// Host and port of the absolute and the authority form.
  var authority = ByteRange.empty
  /// Path and query; empty for authority and asterisk, and when an absolute form has neither.
  var path = ByteRange.empty
  var isSecure = false

  init() {}

  /// Splits the target in `start..<end`, which holds no byte below 0x21 and no 0x7F.
  init(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, method: HTTPMethod) throws(HTTPHeadError) {
    guard start < end else { throw .targetInvalid }
    if method == .connect {
      form = .authority
      authority = ByteRange(start, end)
    } else if bytes[start] == UInt8(ascii: "/") {
      path = ByteRange(start, end)
    } else if bytes[start] == UInt8(ascii: "*"), end == start + 1 {
      guard method == .options else { throw .targetInvalid }
      form = .asterisk
    } else {
      form = .absolute
      let hostStart: Int
      if end - start > 8, bytes.matches(ByteRange(start, start + 8), lowercased: "https://") {
        isSecure = true
        hostStart = start + 8
      } else if end - start > 7, bytes.matches(ByteRange(start, start + 7), lowercased: "http://") {
        hostStart = start + 7
      } else {
        throw .targetInvalid
      }
      var i = hostStart
      while i < end, bytes[i] != UInt8(ascii: "/"), bytes[i] != UInt8(ascii: "?") { i += 1 }
      authority = ByteRange(hostStart, i)
      path = ByteRange(i, end)
    }
  }

  /// Moves `i` to the end of the target. What is refused: a fragment; in the path (not in the query) a backslash, which some
  /// servers take for a slash, and `%00`. Everything else passes unaltered, double slashes and `%2e` too: routes look at the
  /// host only.
  @inline(__always)
  static func scan(_ bytes: Span<UInt8>, _ i: inout Int, _ end: Int) throws(HTTPHeadError) {
    var isQuery = false
    while i < end {
      let byte = bytes[i]
      if ASCII.isMember(byte, 0x7ffe_fff6_0000_0000, 0x7fff_ffff_efff_ffff) {  // 0x21...0x7E without # ? 0 and backslash
        i &+= 1
        continue
      }
      if byte <= 0x20 || byte == 0x7F { return }
      switch byte {
      case UInt8(ascii: "#"): throw .fragmentInTarget
      case UInt8(ascii: "?"): isQuery = true
      case UInt8(ascii: "\\") where !isQuery: throw .targetInvalid
      case UInt8(ascii: "0") where !isQuery:
        if bytes[i &- 1] == UInt8(ascii: "0"), bytes[i &- 2] == UInt8(ascii: "%") { throw .targetInvalid }
      default: break
      }
      i &+= 1
    }
  }
}
