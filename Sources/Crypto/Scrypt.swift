internal import COpenSSL

/// scrypt (RFC 7914): a key from a secret that a human may have chosen.
public enum Scrypt {
  /// Most memory that a call may use, about 128 x cost x blockSize bytes.
  public static let maximumMemoryByteCount = 512 << 20

  /// - Parameters:
  ///   - cost: N, a power of two above 1.
  ///   - blockSize: r.
  ///   - parallelization: p.
  /// - Returns: nil when the parameters are impossible or need more than `maximumMemoryByteCount`.
  public static func deriveKey(
    secret: Span<UInt8>, salt: Span<UInt8>, cost: UInt64, blockSize: UInt64, parallelization: UInt64, byteCount: Int
  ) -> SecretKey? {
    var isDerived = false
    let key = SecretKey(byteCount: byteCount) { output in
      // SAFETY: the spans outlive the call; the output holds the bytes asked for. A nil secret asks for a check of the parameters
      // only, so an empty one still gets an address.
      isDerived = unsafe secret.withUnsafeBufferPointer { secret in
        unsafe salt.withUnsafeBufferPointer { salt in
          unsafe output.withUnsafeMutableBufferPointer { output in
            var nothing: CChar = 0
            return unsafe withUnsafePointer(to: &nothing) { nothing in
              unsafe secret.withMemoryRebound(to: CChar.self) { secret in
                unsafe EVP_PBE_scrypt(
                  secret.baseAddress ?? nothing, secret.count, salt.baseAddress, salt.count, cost, blockSize, parallelization,
                  UInt64(maximumMemoryByteCount), output.baseAddress, output.count) == 1
              }
            }
          }
        }
      }
    }
    if !isDerived { ERR_clear_error() }
    return isDerived ? key : nil
  }
}
