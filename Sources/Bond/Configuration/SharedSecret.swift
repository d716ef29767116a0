package import CausewayCrypto
package import CausewayWire

/// The keys of both ends of a multipath configuration, from one secret that both files hold.
///
/// scrypt (RFC 7914) with N = 2^17, r = 8, p = 1 over the secret's UTF-8 bytes. Salt: the text below, then both TUN addresses in network
/// order (4 or 16 bytes each), the smaller first. 96 bytes come out: the client's private key, the server's, both clamped (RFC 7748 §5), and
/// the pre-shared key.
package struct SharedSecret: Sendable {
  package static let byteCounts = 16...1024
  static let saltPrefix = "causeway bond secret 1"

  package let clientPrivateKey: SecretKey
  package let serverPrivateKey: SecretKey
  package let presharedKey: SecretKey

  init(clientPrivateKey: SecretKey, serverPrivateKey: SecretKey, presharedKey: SecretKey) {
    self.clientPrivateKey = clientPrivateKey
    self.serverPrivateKey = serverPrivateKey
    self.presharedKey = presharedKey
  }

  /// Takes about a third of a second and 128 MiB. Both addresses are of one family.
  /// - Returns: nil when the memory isn't to be had.
  package init?(_ secret: String, _ first: IPAddress, _ second: IPAddress) {
    let (low, high) = (first.high, first.low) < (second.high, second.low) ? (first, second) : (second, first)
    let salt = Array(Self.saltPrefix.utf8) + Self.bytes(low) + Self.bytes(high)
    let password = Array(secret.utf8)
    guard
      let output = Scrypt.deriveKey(secret: password.span, salt: salt.span, cost: 1 << 17, blockSize: 8, parallelization: 1, byteCount: 96)
    else { return nil }
    clientPrivateKey = Self.clamped(output.bytes.extracting(0..<32))
    serverPrivateKey = Self.clamped(output.bytes.extracting(32..<64))
    presharedKey = SecretKey(copying: output.bytes.extracting(64..<96))
  }

  /// Whether it is what `causeway bond genpsk` prints: 32 random bytes, which nobody guesses.
  package static func isGenerated(_ secret: String) -> Bool { PeerKey(base64: secret) != nil }

  private static func bytes(_ address: IPAddress) -> [UInt8] {
    let count = address.bitCount / 8
    return (0..<count).map { index in
      let shift = UInt64(8 * (7 - index % 8))
      if count == 4 { return UInt8(truncatingIfNeeded: address.low >> UInt64(8 * (3 - index))) }
      return UInt8(truncatingIfNeeded: (index < 8 ? address.high : address.low) >> shift)
    }
  }

  private static func clamped(_ bytes: Span<UInt8>) -> SecretKey {
    var key = bytes.indices.map { bytes[$0] }
    key[0] &= 0xF8
    key[31] = key[31] & 0x7F | 0x40
    let secret = SecretKey(copying: key.span)
    for index in key.indices { key[index] = 0 }
    return secret
  }
}
