internal import CausewayCrypto

/// Digest, comparison and randomness for tokens, as arrays.
enum Secrets {
  /// SHA-256 (FIPS 180-4) of `bytes`.
  static func sha256(_ bytes: Span<UInt8>) -> [UInt8] {
    let digest = SHA256.hash(bytes)
    return digest.indices.map { digest[$0] }
  }

  /// Takes the same time wherever the first difference is; false for different lengths.
  static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool { constantTimeEqual(a.span, b.span) }

  /// Bytes fit for keys.
  static func random(byteCount: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var span = bytes.mutableSpan
    SecureRandom.fill(&span)
    return bytes
  }
}
