internal import COpenSSL

/// BLAKE2s with 32 bytes of output (RFC 7693), piece by piece or at once.
public struct BLAKE2s: ~Copyable {
  public static let byteCount = RunningDigest.byteCount
  /// What HMAC pads its key to.
  static let blockByteCount = 64
  private var digest = RunningDigest(.blake2s)

  public init() {}

  public mutating func update(_ bytes: Span<UInt8>) { digest.update(bytes) }

  /// The hash of everything given to `update`.
  public consuming func finish() -> InlineArray<32, UInt8> { digest.finish() }

  /// - Parameter output: 32 bytes.
  consuming func finish(into output: inout MutableSpan<UInt8>) { digest.finish(into: &output) }

  public static func hash(_ bytes: Span<UInt8>) -> InlineArray<32, UInt8> { FetchedDigest.blake2s.hash(bytes) }

  /// The hash of `first` followed by `second`.
  public static func hash(_ first: Span<UInt8>, _ second: Span<UInt8>) -> InlineArray<32, UInt8> {
    var hash = BLAKE2s()
    hash.update(first)
    hash.update(second)
    return hash.finish()
  }
}

/// Keyed BLAKE2s with 16 bytes of output (RFC 7693 §2.9): WireGuard's MAC. Compare its results with `constantTimeEqual`.
public enum BLAKE2sMAC {
  public static let byteCount = 16

  // @unchecked Sendable: see FetchedDigest.
  @safe private struct FetchedMAC: @unchecked Sendable {
    let pointer: OpaquePointer
    static let blake2s = FetchedMAC()
    init() {
      guard let pointer = unsafe EVP_MAC_fetch(nil, "BLAKE2SMAC", nil) else {
        fatalError("OpenSSL offers no BLAKE2SMAC: is its default provider disabled?")
      }
      unsafe self.pointer = pointer
    }
  }

  /// - Parameter key: 1...32 bytes.
  public static func authenticate(_ bytes: Span<UInt8>, key: Span<UInt8>) -> InlineArray<16, UInt8> {
    precondition((1...32).contains(key.count), "keyed BLAKE2s takes 1 to 32 bytes of key")
    guard let context = unsafe EVP_MAC_CTX_new(FetchedMAC.blake2s.pointer) else { fatalError("out of memory") }
    defer { unsafe EVP_MAC_CTX_free(context) }
    var code = InlineArray<16, UInt8>(repeating: 0)
    var output = code.mutableSpan
    var written = 0
    // SAFETY: the spans outlive the calls; the output holds the 16 bytes asked for.
    let result = unsafe key.withUnsafeBufferPointer { key in
      unsafe bytes.withUnsafeBufferPointer { bytes in
        unsafe output.withUnsafeMutableBufferPointer { output in
          unsafe shim_blake2s_mac_init(context, key.baseAddress, key.count, byteCount) == 1
            && EVP_MAC_update(context, bytes.baseAddress, bytes.count) == 1
            && EVP_MAC_final(context, output.baseAddress, &written, output.count) == 1
        }
      }
    }
    precondition(result && written == byteCount, "BLAKE2SMAC failed inside OpenSSL")
    return code
  }
}

/// HMAC (RFC 2104) with BLAKE2s, which is not keyed BLAKE2s. The result is key material.
public enum HMACBLAKE2s {
  /// - Parameters:
  ///   - first: The message, which `second` continues.
  ///   - key: At most 64 bytes.
  public static func authenticate(
    _ first: Span<UInt8>, _ second: Span<UInt8> = Span(), key: Span<UInt8>
  ) -> SecretKey {
    let inner = SecretKey(byteCount: BLAKE2s.byteCount) { output in
      var hash = begin(key, pad: 0x36)
      hash.update(first)
      hash.update(second)
      hash.finish(into: &output)
    }
    return SecretKey(byteCount: BLAKE2s.byteCount) { output in
      var hash = begin(key, pad: 0x5C)
      hash.update(inner.bytes)
      hash.finish(into: &output)
    }
  }

  private static func begin(_ key: Span<UInt8>, pad: UInt8) -> BLAKE2s {
    precondition(key.count <= BLAKE2s.blockByteCount, "an HMAC key longer than a block")
    let block = SecretKey(byteCount: BLAKE2s.blockByteCount) { block in
      for index in block.indices { block[index] = pad ^ (index < key.count ? key[index] : 0) }
    }
    var hash = BLAKE2s()
    hash.update(block.bytes)
    return hash
  }
}
