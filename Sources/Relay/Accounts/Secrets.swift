internal import COpenSSL

// The one file of the accounts that calls libcrypto: CausewayCrypto takes its place as soon as it offers these three.

/// Digest, comparison and randomness for tokens.
enum Secrets {
  /// SHA-256 (FIPS 180-4) of `bytes`.
  static func sha256(_ bytes: Span<UInt8>) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 32) { output, count in
      // SAFETY: the span outlives the call; SHA256 writes exactly 32 bytes.
      unsafe bytes.withUnsafeBufferPointer { unsafe _ = SHA256($0.baseAddress, $0.count, output.baseAddress) }
      count = 32
    }
  }

  /// Takes the same time wherever the first difference is; false for different lengths.
  static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    // SAFETY: both arrays have a.count bytes and outlive the call.
    return unsafe a.withUnsafeBytes { a in
      unsafe b.withUnsafeBytes { b in unsafe CRYPTO_memcmp(a.baseAddress, b.baseAddress, a.count) == 0 }
    }
  }

  /// Bytes fit for keys. A kernel that cannot give any leaves nothing to go on with.
  static func random(byteCount: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { output, count in
      // SAFETY: the capacity is byteCount.
      let result = unsafe RAND_bytes(output.baseAddress, CInt(byteCount))
      precondition(result == 1, "the system gives no random bytes")
      count = byteCount
    }
  }
}
