internal import CausewayCrypto

/// Noise's symmetric state (§5.4): the chaining key C and the hash H of everything that was said.
struct SymmetricState {
  var chainingKey: SecretKey
  var hash: InlineArray<32, UInt8>

  /// Before the first message; the same for everybody.
  static let initial: SymmetricState = {
    let construction = BLAKE2s.hash(Array("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".utf8).span)
    let hash = BLAKE2s.hash(construction.span, Array("WireGuard v1 zx2c4 Jason@zx2c4.com".utf8).span)
    return SymmetricState(chainingKey: SecretKey(copying: construction.span), hash: hash)
  }()

  mutating func mixHash(_ bytes: Span<UInt8>) {
    let old = hash
    hash = BLAKE2s.hash(old.span, bytes)
  }

  /// C = KDF1(C, input).
  mutating func mixChainingKey(_ input: Span<UInt8>) { chainingKey = KeyDerivation.one(chainingKey, input) }

  /// C, k = KDF2(C, input).
  mutating func mixKey(_ input: Span<UInt8>) -> SecretKey {
    let (first, second) = KeyDerivation.two(chainingKey, input)
    chainingKey = first
    return second
  }

  /// C, tau, k = KDF3(C, psk); H takes tau in.
  mutating func mixPresharedKey(_ key: Span<UInt8>) -> SecretKey {
    let (first, second, third) = KeyDerivation.three(chainingKey, key)
    chainingKey = first
    mixHash(second.bytes)
    return third
  }

  /// AEAD(k, 0, plaintext, H), which H then takes in.
  mutating func encryptAndHash(_ plaintext: Span<UInt8>, key: SecretKey, into output: inout MutableSpan<UInt8>) {
    let nonce = InlineArray<12, UInt8>(repeating: 0)
    let hash = self.hash
    ChaCha20Poly1305.seal(plaintext, key: key.bytes, nonce: nonce.span, associatedData: hash.span, into: &output)
    mixHash(output.span)
  }

  /// - Returns: False for a forgery; H is then as before.
  mutating func decryptAndHash(_ sealed: Span<UInt8>, key: SecretKey, into output: inout MutableSpan<UInt8>) -> Bool {
    let nonce = InlineArray<12, UInt8>(repeating: 0)
    let hash = self.hash
    guard ChaCha20Poly1305.open(sealed, key: key.bytes, nonce: nonce.span, associatedData: hash.span, into: &output) else {
      return false
    }
    mixHash(sealed)
    return true
  }

  /// The two transport keys: what the initiator sends with, and what it receives with.
  func split() -> (initiator: SecretKey, responder: SecretKey) {
    let (first, second) = KeyDerivation.two(chainingKey, Span())
    return (first, second)
  }
}

/// KDFn(c, x) of §5.4: t0 = HMAC(c, x), t1 = HMAC(t0, 1), t2 = HMAC(t0, t1 || 2), ...
enum KeyDerivation {
  static func one(_ key: SecretKey, _ input: Span<UInt8>) -> SecretKey {
    let extracted = HMACBLAKE2s.authenticate(input, key: key.bytes)
    return expand(extracted, nil, 1)
  }

  static func two(_ key: SecretKey, _ input: Span<UInt8>) -> (SecretKey, SecretKey) {
    let extracted = HMACBLAKE2s.authenticate(input, key: key.bytes)
    let first = expand(extracted, nil, 1)
    return (first, expand(extracted, first, 2))
  }

  static func three(_ key: SecretKey, _ input: Span<UInt8>) -> (SecretKey, SecretKey, SecretKey) {
    let extracted = HMACBLAKE2s.authenticate(input, key: key.bytes)
    let first = expand(extracted, nil, 1)
    let second = expand(extracted, first, 2)
    return (first, second, expand(extracted, second, 3))
  }

  private static func expand(_ extracted: SecretKey, _ previous: SecretKey?, _ number: UInt8) -> SecretKey {
    let number: InlineArray<1, UInt8> = [number]
    guard let previous else { return HMACBLAKE2s.authenticate(number.span, key: extracted.bytes) }
    return HMACBLAKE2s.authenticate(previous.bytes, number.span, key: extracted.bytes)
  }
}
