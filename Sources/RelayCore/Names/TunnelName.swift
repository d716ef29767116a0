/// The label before the relay's domain: `NAME.domain`. Always lower case and always a host name's label (RFC 1123 §2.1, RFC 5890
/// §2.3.1): 1 to 63 letters, digits and hyphens, no hyphen at either end, `--` in third place only after a valid `xn`.
package struct TunnelName: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Octets of a DNS label at most (RFC 1035 §2.3.4).
  package static let maximumByteCount = 63

  package let text: String
  package var description: String { text }

  /// Checks and lower-cases what somebody asked for. Reserved names are refused too: see `ReservedNames`.
  package init(_ text: String) throws(NameError) {
    let name = try TunnelName(label: text)
    if ReservedNames.contains(name.text) { throw .reserved(name.text) }
    self = name
  }

  /// Checks the form alone: for names that the database holds already, which may have been reserved later.
  package init(label text: String) throws(NameError) {
    var bytes: [UInt8] = []
    if text.isEmpty { throw .invalid(text, .empty) }
    if text.utf8.count > Self.maximumByteCount { throw .invalid(text, .tooLong) }
    bytes.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): bytes.append(byte)
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): bytes.append(byte | 0x20)
      default: throw .invalid(text, .character)
      }
    }
    let hyphen = UInt8(ascii: "-")
    if bytes[0] == hyphen || bytes[bytes.count - 1] == hyphen { throw .invalid(text, .hyphenAtEnd) }
    if bytes.count >= 4 && bytes[2] == hyphen && bytes[3] == hyphen {
      guard bytes[0] == UInt8(ascii: "x"), bytes[1] == UInt8(ascii: "n"), Punycode.isValid(bytes[4...]) else {
        throw .invalid(text, .notPunycode)
      }
    }
    self.text = String(decoding: bytes, as: UTF8.self)
  }

  package static func < (a: TunnelName, b: TunnelName) -> Bool { a.text < b.text }
}
