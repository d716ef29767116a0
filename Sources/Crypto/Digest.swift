// CausewayCrypto: hashes, message authentication, random bytes and wiped keys, over spans; OpenSSL 3 does the work. Except for
// SecureRandom everything here is a deterministic function of its arguments, so cores may call it. It knows no protocol and
// holds no descriptor; TLS lives in CausewayLinuxIO. Start with SHA256, then HMACSHA256 and SecretKey; for WireGuard's part with
// BLAKE2s, X25519 and ChaCha20Poly1305Key.
internal import COpenSSL

/// An algorithm fetched from OpenSSL's provider once in the life of the process: a fetch costs more than a short hash.
// @unchecked Sendable: OpenSSL's fetched algorithms are immutable and counted atomically; these are never freed.
@safe struct FetchedDigest: @unchecked Sendable {
  let pointer: OpaquePointer

  static let sha1 = FetchedDigest("SHA1")
  static let sha256 = FetchedDigest("SHA256")
  static let blake2s = FetchedDigest("BLAKE2S-256")

  private init(_ name: String) {
    guard let pointer = unsafe EVP_MD_fetch(nil, name, nil) else {
      fatalError("OpenSSL offers no \(name): is its default provider disabled?")
    }
    unsafe self.pointer = pointer
  }

  /// Hashes `bytes` into `output`, which holds the digest's size.
  func hash(_ bytes: Span<UInt8>, into output: inout MutableSpan<UInt8>) {
    // SAFETY: both spans outlive the call; the output has room for the digest, which the two callers below see to.
    let result = unsafe bytes.withUnsafeBufferPointer { source in
      unsafe output.withUnsafeMutableBufferPointer { target in
        unsafe EVP_Digest(source.baseAddress, source.count, target.baseAddress, nil, pointer, nil)
      }
    }
    precondition(result == 1, "hashing failed inside OpenSSL")
  }

  /// For algorithms whose digest has 32 bytes.
  func hash(_ bytes: Span<UInt8>) -> InlineArray<32, UInt8> {
    var digest = InlineArray<32, UInt8>(repeating: 0)
    var output = digest.mutableSpan
    hash(bytes, into: &output)
    return digest
  }
}

/// SHA-1 (FIPS 180-4): for the WebSocket handshake (RFC 6455) only. Not collision-resistant.
public enum SHA1 {
  public static let byteCount = 20

  public static func hash(_ bytes: Span<UInt8>) -> InlineArray<20, UInt8> {
    var digest = InlineArray<20, UInt8>(repeating: 0)
    var output = digest.mutableSpan
    FetchedDigest.sha1.hash(bytes, into: &output)
    return digest
  }
}

/// A hash of 32 bytes that grows piece by piece: what SHA-256 and BLAKE2s have in common.
@safe struct RunningDigest: ~Copyable {
  static let byteCount = 32
  private let context: OpaquePointer

  /// - Parameter algorithm: One whose digest has 32 bytes.
  init(_ algorithm: FetchedDigest) {
    guard let context = unsafe EVP_MD_CTX_new() else { fatalError("out of memory") }
    precondition(unsafe EVP_DigestInit_ex2(context, algorithm.pointer, nil) == 1, "hashing failed inside OpenSSL")
    unsafe self.context = context
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  mutating func update(_ bytes: Span<UInt8>) {
    // SAFETY: the span outlives the call; the context is this value's own.
    let result = unsafe bytes.withUnsafeBufferPointer { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    precondition(result == 1, "hashing failed inside OpenSSL")
  }

  /// - Parameter output: 32 bytes.
  consuming func finish(into output: inout MutableSpan<UInt8>) {
    precondition(output.count == Self.byteCount, "a digest of 32 bytes")
    // SAFETY: the output holds the 32 bytes that are written.
    let result = unsafe output.withUnsafeMutableBufferPointer { unsafe EVP_DigestFinal_ex(context, $0.baseAddress, nil) }
    precondition(result == 1, "hashing failed inside OpenSSL")
  }

  consuming func finish() -> InlineArray<32, UInt8> {
    var digest = InlineArray<32, UInt8>(repeating: 0)
    var output = digest.mutableSpan
    finish(into: &output)
    return digest
  }
}

/// SHA-256 (FIPS 180-4): at once, or piece by piece.
public struct SHA256: ~Copyable {
  public static let byteCount = RunningDigest.byteCount
  private var digest = RunningDigest(.sha256)

  public static func hash(_ bytes: Span<UInt8>) -> InlineArray<32, UInt8> { FetchedDigest.sha256.hash(bytes) }

  public init() {}

  public mutating func update(_ bytes: Span<UInt8>) { digest.update(bytes) }

  /// The hash of everything given to `update`.
  public consuming func finish() -> InlineArray<32, UInt8> { digest.finish() }
}
