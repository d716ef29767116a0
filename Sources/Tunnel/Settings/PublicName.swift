internal import CausewayBase

/// What a client can check of a public name and port before it asks; the relay knows more (what is reserved, taken, in its range).
package enum PublicName {
  package static let maximumByteCount = 63

  /// Why `name` can be no label of a host name (RFC 1123 §2.1), or nil.
  package static func fault(of name: String) -> String? {
    func isAlphanumeric(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) }
    let shown = "'\(name.prefix(maximumByteCount).printable)'"
    if name.isEmpty { return "the name is empty" }
    if name.utf8.count > maximumByteCount { return "\(shown) is longer than \(maximumByteCount) characters" }
    if name.utf8.contains(UInt8(ascii: ".")) { return "\(shown) has a dot: write the part before the relay's domain only" }
    guard name.utf8.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: "-") }) else {
      return "\(shown) is no valid name: use letters a-z, digits and hyphens only"
    }
    if name.hasPrefix("-") || name.hasSuffix("-") { return "\(shown) is no valid name: it begins and ends with a letter or a digit" }
    return nil
  }

  package static func port(_ text: String) -> UInt16? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = UInt16(text), port > 0 else {
      return nil
    }
    return port
  }
}
