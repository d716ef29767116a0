/// Base 16, lower case when written (RFC 4648 §8).
enum Hexadecimal {
  private static let digits = [UInt8]("0123456789abcdef".utf8)

  static func text(_ bytes: ArraySlice<UInt8>) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count * 2)
    for byte in bytes {
      result.append(digits[Int(byte >> 4)])
      result.append(digits[Int(byte & 15)])
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The values of the digits, or nil when one is none.
  static func nibbles(_ text: some Sequence<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    for byte in text {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): result.append(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): result.append(byte - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): result.append(byte - UInt8(ascii: "A") + 10)
      default: return nil
      }
    }
    return result
  }

  static func nibbles(_ text: String) -> [UInt8]? { nibbles(text.utf8) }

  /// Whole bytes, or nil.
  static func bytes(_ text: String) -> [UInt8]? {
    guard let nibbles = nibbles(text), nibbles.count.isMultiple(of: 2) else { return nil }
    return stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
  }
}
