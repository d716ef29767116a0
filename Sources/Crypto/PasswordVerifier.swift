internal import COpenSSL

/// PBKDF2 with HMAC-SHA256 (RFC 8018 §5.2).
public enum PBKDF2 {
  /// - Parameter iterations: 1 or more; each costs about 0.2 µs.
  public static func deriveKey(password: Span<UInt8>, salt: Span<UInt8>, iterations: Int) -> InlineArray<32, UInt8> {
    precondition(iterations > 0, "PBKDF2 without an iteration")
    var key = InlineArray<32, UInt8>(repeating: 0)
    var output = key.mutableSpan
    // SAFETY: the spans outlive the call; the output holds the 32 bytes asked for.
    let result = unsafe password.withUnsafeBufferPointer { password in
      unsafe salt.withUnsafeBufferPointer { salt in
        unsafe output.withUnsafeMutableBufferPointer { output in
          // A nil password means an empty one.
          unsafe password.withMemoryRebound(to: CChar.self) { password in
            unsafe PKCS5_PBKDF2_HMAC(
              password.baseAddress, CInt(clamping: password.count), salt.baseAddress, CInt(clamping: salt.count),
              CInt(clamping: iterations),
              FetchedDigest.sha256.pointer, CInt(output.count), output.baseAddress)
          }
        }
      }
    }
    precondition(result == 1, "PBKDF2 failed inside OpenSSL")
    return key
  }
}

/// What one side needs to check a credential ("user:password") without knowing it: a salt and a PBKDF2 hash.
///
/// The first right credential is remembered under a key of this process, so that a browser's hundred requests cost one PBKDF2
/// and a hundred HMACs. A wrong one always costs the PBKDF2: callers limit the rate.
public struct PasswordVerifier: Sendable {
  public static let saltByteCount = 16
  /// About 0.2 ms. The hash travels under TLS and is never stored, so that guessing needs a stolen memory image.
  public static let defaultIterations = 1000
  /// What a peer may ask of us for one attempt: about 1 ms, since an event loop computes it.
  public static let maximumIterations = 4096
  /// Longer credentials are refused unhashed.
  public static let maximumCredentialByteCount = 1024

  public let salt: InlineArray<16, UInt8>
  public let iterations: Int
  public let hash: InlineArray<32, UInt8>
  private let memoryKey = SecretKey(randomByteCount: 32)
  private var remembered: InlineArray<32, UInt8>?

  /// - Parameter salt: Random, from `SecureRandom.bytes()`.
  public init(credential: Span<UInt8>, salt: InlineArray<16, UInt8>, iterations: Int = PasswordVerifier.defaultIterations) {
    self.salt = salt
    self.iterations = iterations
    hash = PBKDF2.deriveKey(password: credential, salt: salt.span, iterations: iterations)
  }

  /// As received from a peer; nil when `iterations` is out of 1...`maximumIterations`.
  public init?(salt: InlineArray<16, UInt8>, iterations: Int, hash: InlineArray<32, UInt8>) {
    guard (1...Self.maximumIterations).contains(iterations) else { return nil }
    self.salt = salt
    self.iterations = iterations
    self.hash = hash
  }

  /// Whether it was accepted before; no key is derived.
  public func remembers(_ credential: Span<UInt8>) -> Bool {
    guard let remembered, credential.count <= Self.maximumCredentialByteCount else { return false }
    let quick = HMACSHA256.authenticate(credential, key: memoryKey)
    return constantTimeEqual(remembered.span, quick.span)
  }

  public mutating func accepts(_ credential: Span<UInt8>) -> Bool {
    guard credential.count <= Self.maximumCredentialByteCount else { return false }
    let quick = HMACSHA256.authenticate(credential, key: memoryKey)
    if let remembered, constantTimeEqual(remembered.span, quick.span) { return true }
    let derived = PBKDF2.deriveKey(password: credential, salt: salt.span, iterations: iterations)
    guard constantTimeEqual(derived.span, hash.span) else { return false }
    remembered = quick
    return true
  }
}
