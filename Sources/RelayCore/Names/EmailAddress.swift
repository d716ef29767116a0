/// An account's address, lower case: one account for each, however it is typed. It is a label for people; nothing is ever sent to it.
package struct EmailAddress: Hashable, Sendable, CustomStringConvertible {
  /// Octets of an address and of its local part at most (RFC 5321 §4.5.3.1).
  package static let maximumByteCount = 254
  package static let maximumLocalByteCount = 64

  package let text: String
  package var description: String { text }

  /// Accepts `dot-atom@labels` (RFC 5322 §3.2.3) in ASCII, also `root@localhost`; no quotes, comments or address literals.
  package init?(_ text: String) {
    guard text.utf8.count <= Self.maximumByteCount else { return nil }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      let isUpper = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
      bytes.append(isUpper ? byte | 0x20 : byte)
    }
    guard let at = bytes.firstIndex(of: UInt8(ascii: "@")) else { return nil }
    let local = bytes[..<at]
    let domain = bytes[(at + 1)...]
    let dot = UInt8(ascii: ".")
    guard !local.isEmpty, local.count <= Self.maximumLocalByteCount else { return nil }
    for atom in local.split(separator: dot, omittingEmptySubsequences: false) {
      guard !atom.isEmpty, atom.allSatisfy(Self.isAtomText) else { return nil }
    }
    for label in domain.split(separator: dot, omittingEmptySubsequences: false) {
      do throws(NameError) { _ = try TunnelName(label: String(decoding: label, as: UTF8.self)) } catch { return nil }
    }
    self.text = String(decoding: bytes, as: UTF8.self)
  }

  private static func isAtomText(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: "!#$%&'*+-/=?^_`{|}~".utf8.contains(byte)
    }
  }
}
