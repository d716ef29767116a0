internal import COpenSSL

/// Diffie and Hellman's exchange on Curve25519 (RFC 7748). About 40 µs a call.
public enum X25519 {
  public static let byteCount = 32

  /// - Parameter privateKey: 32 bytes; bits are clamped as RFC 7748 §5 says, whatever they were.
  public static func publicKey(of privateKey: SecretKey) -> InlineArray<32, UInt8> {
    let key = unsafe load(privateKey)
    defer { unsafe EVP_PKEY_free(key) }
    var result = InlineArray<32, UInt8>(repeating: 0)
    var output = result.mutableSpan
    var count = byteCount
    // SAFETY: the output holds the 32 bytes of a public key.
    let status = unsafe output.withUnsafeMutableBufferPointer { unsafe EVP_PKEY_get_raw_public_key(key, $0.baseAddress, &count) }
    precondition(status == 1 && count == byteCount, "X25519 failed inside OpenSSL")
    return result
  }

  /// - Returns: nil when the result is all zeros, that is for a public key of small order (RFC 7748 §6.1).
  public static func sharedSecret(_ privateKey: SecretKey, _ publicKey: Span<UInt8>) -> SecretKey? {
    precondition(publicKey.count == byteCount, "an X25519 public key has 32 bytes")
    let own = unsafe load(privateKey)
    defer { unsafe EVP_PKEY_free(own) }
    // SAFETY: the span outlives the call, which copies the key.
    let made = unsafe publicKey.withUnsafeBufferPointer {
      unsafe EVP_PKEY_new_raw_public_key_ex(nil, "X25519", nil, $0.baseAddress, $0.count)
    }
    guard let peer = unsafe made else { fatalError("X25519 failed inside OpenSSL") }
    defer { unsafe EVP_PKEY_free(peer) }
    guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, own, nil) else { fatalError("out of memory") }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    let ready = unsafe EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer_ex(context, peer, 0) == 1
    precondition(ready, "X25519 failed inside OpenSSL")
    var isDerived = false
    let secret = SecretKey(byteCount: byteCount) { output in
      var count = byteCount
      // SAFETY: the output holds the 32 bytes of a shared secret.
      isDerived = unsafe output.withUnsafeMutableBufferPointer { unsafe EVP_PKEY_derive(context, $0.baseAddress, &count) == 1 }
    }
    if !isDerived { ERR_clear_error() }
    return isDerived ? secret : nil
  }

  /// The caller frees it.
  @unsafe private static func load(_ privateKey: SecretKey) -> OpaquePointer {
    precondition(privateKey.byteCount == byteCount, "an X25519 private key has 32 bytes")
    let bytes = privateKey.bytes
    // SAFETY: the span outlives the call, which copies the key.
    let key = unsafe bytes.withUnsafeBufferPointer {
      unsafe EVP_PKEY_new_raw_private_key_ex(nil, "X25519", nil, $0.baseAddress, $0.count)
    }
    guard let key = unsafe key else { fatalError("OpenSSL offers no X25519: is its default provider disabled?") }
    return unsafe key
  }
}
