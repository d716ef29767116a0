public import CausewayCrypto

/// A device's own static key pair, with what is derived from the public half once.
public struct StaticIdentity: Sendable {
  public let privateKey: SecretKey
  public let publicKey: PublicKey
  /// Checks and makes messages to this device (§5.4.4).
  let macKeys: MACKeys

  /// - Parameter privateKey: 32 bytes, clamped or not.
  public init(privateKey: SecretKey) {
    precondition(privateKey.byteCount == X25519.byteCount, "a private key has 32 bytes")
    self.privateKey = privateKey
    publicKey = PublicKey(of: privateKey)
    macKeys = MACKeys(of: publicKey)
  }
}

/// The keys of mac1 and of cookie replies, which whoever knows the public key of the receiver knows (§5.4.4, §5.4.7).
struct MACKeys: Sendable {
  let mac1: InlineArray<32, UInt8>
  let cookie: InlineArray<32, UInt8>

  init(of publicKey: PublicKey) {
    let key = publicKey.bytes
    mac1 = BLAKE2s.hash(Array("mac1----".utf8).span, key.span)
    cookie = BLAKE2s.hash(Array("cookie--".utf8).span, key.span)
  }
}
