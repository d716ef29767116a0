public import CausewayCrypto

/// What a client must know to take its session to a new connection. Both sides keep it in memory only.
public struct SessionSecret: Sendable {
  public static let idByteCount = 16
  public static let keyByteCount = 32
  public static let nonceByteCount = 32
  public static let proofByteCount = 32

  /// 128 random bits; names the session, proves nothing.
  public let id: [UInt8]
  /// 256 random bits.
  public let key: SecretKey

  /// Nil unless `id` has 16 bytes and `key` 32.
  public init?(id: [UInt8], key: SecretKey) {
    guard id.count == Self.idByteCount, key.byteCount == Self.keyByteCount else { return nil }
    self.id = id
    self.key = key
  }

  /// HMAC-SHA256(key, relay nonce ‖ client nonce ‖ id ‖ generation), the generation as 32 bits, big-endian. Fresh nonces of both sides make
  /// an overheard proof useless; the generation makes an older connection's useless.
  public func proof(relayNonce: [UInt8], clientNonce: [UInt8], generation: UInt32) -> [UInt8] {
    var code = HMACSHA256(key: key)
    code.update(relayNonce.span)
    code.update(clientNonce.span)
    code.update(id.span)
    let number = [
      UInt8(truncatingIfNeeded: generation >> 24), UInt8(truncatingIfNeeded: generation >> 16), UInt8(truncatingIfNeeded: generation >> 8),
      UInt8(truncatingIfNeeded: generation),
    ]
    code.update(number.span)
    let digest = code.finish()
    return digest.indices.map { digest[$0] }
  }

  /// Constant time.
  public func accepts(proof: [UInt8], relayNonce: [UInt8], clientNonce: [UInt8], generation: UInt32) -> Bool {
    guard proof.count == Self.proofByteCount, relayNonce.count == Self.nonceByteCount, clientNonce.count == Self.nonceByteCount else {
      return false
    }
    let expected = self.proof(relayNonce: relayNonce, clientNonce: clientNonce, generation: generation)
    return constantTimeEqual(expected.span, proof.span)
  }
}
