package import CausewayCrypto
internal import CausewayWire

/// A peer's static public key as configurations, status and logs name it: 32 bytes, in base64 as `wg` prints them. Not a secret.
package struct PeerKey: Hashable, Sendable, CustomStringConvertible {
  package static let byteCount = 32
  package let bytes: [UInt8]

  /// nil unless there are exactly 32 bytes.
  package init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// nil unless it is the base64 of exactly 32 bytes.
  package init?(base64 text: some StringProtocol) {
    let characters = Array(text.utf8)
    guard let bytes = Base64.decode(characters.span) else { return nil }
    self.init(bytes: bytes)
  }

  package var description: String { Base64.encode(bytes.span) }
  /// The first eight characters, for tables and log lines.
  package var short: String { description.prefix(8) + "…" }
}

/// Secret keys as texts. None of these texts may reach a log, a status or an error.
package enum KeyText {
  /// nil unless it is the base64 of exactly 32 bytes.
  package static func secretKey(base64 text: some StringProtocol) -> SecretKey? {
    let characters = Array(text.utf8)
    guard let bytes = Base64.decode(characters.span), bytes.count == PeerKey.byteCount else { return nil }
    return SecretKey(copying: bytes.span)
  }

  package static func base64(of key: SecretKey) -> String { Base64.encode(key.bytes) }

  /// In time that depends on the lengths only.
  package static func areEqual(_ a: SecretKey, _ b: SecretKey) -> Bool {
    let (first, second) = (a.bytes, b.bytes)
    guard first.count == second.count else { return false }
    var difference: UInt8 = 0
    for index in first.indices { difference |= first[index] ^ second[index] }
    return difference == 0
  }
}
