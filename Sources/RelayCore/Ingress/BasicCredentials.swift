internal import CausewayBase
internal import CausewayWire

/// `Authorization: Basic …` (RFC 7617).
public enum BasicCredentials {
  /// Longer ones are refused undecoded.
  public static let byteCountLimit = 1024

  /// The bytes of USER:PASS, or nil when the value is something else.
  public static func decode(_ value: Span<UInt8>) -> [UInt8]? {
    guard value.count > 6, value.count <= byteCountLimit, value.matches(ByteRange(0, 5), lowercased: "basic"), value[5] == ASCII.space
    else {
      return nil
    }
    var start = 5
    while start < value.count, value[start] == ASCII.space { start += 1 }
    return Base64.decode(value.extracting(start..<value.count))
  }
}
