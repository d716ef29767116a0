internal import COpenSSL

/// HMAC-SHA256 (RFC 2104, FIPS 198-1), piece by piece or at once. Compare its results with `constantTimeEqual`.
@safe public struct HMACSHA256: ~Copyable {
  public static let byteCount = 32
  private let context: OpaquePointer

  // @unchecked Sendable: see FetchedDigest.
  @safe private struct FetchedMAC: @unchecked Sendable {
    let pointer: OpaquePointer
    static let hmac = FetchedMAC()
    init() {
      guard let pointer = unsafe EVP_MAC_fetch(nil, "HMAC", nil) else {
        fatalError("OpenSSL offers no HMAC: is its default provider disabled?")
      }
      unsafe self.pointer = pointer
    }
  }

  /// The key may have any length; 32 bytes are right.
  public init(key: Span<UInt8>) {
    guard let context = unsafe EVP_MAC_CTX_new(FetchedMAC.hmac.pointer) else { fatalError("out of memory") }
    // SAFETY: the span outlives the call, which copies what it needs. A key without bytes still needs an address, since nil
    // means "the key from before".
    let result = unsafe key.withUnsafeBufferPointer { key in
      var nothing: UInt8 = 0
      return unsafe withUnsafePointer(to: &nothing) { nothing in
        unsafe shim_hmac_init(context, "SHA256", UnsafeRawPointer(key.baseAddress ?? nothing), key.count)
      }
    }
    precondition(result == 1, "HMAC failed inside OpenSSL")
    unsafe self.context = context
  }

  public init(key: SecretKey) { self.init(key: key.bytes) }

  deinit { unsafe EVP_MAC_CTX_free(context) }

  public mutating func update(_ bytes: Span<UInt8>) {
    // SAFETY: the span outlives the call; the context is this value's own.
    let result = unsafe bytes.withUnsafeBufferPointer { unsafe EVP_MAC_update(context, $0.baseAddress, $0.count) }
    precondition(result == 1, "HMAC failed inside OpenSSL")
  }

  public consuming func finish() -> InlineArray<32, UInt8> {
    var code = InlineArray<32, UInt8>(repeating: 0)
    var output = code.mutableSpan
    var written = 0
    // SAFETY: the output holds the 32 bytes that are written.
    let result = unsafe output.withUnsafeMutableBufferPointer { unsafe EVP_MAC_final(context, $0.baseAddress, &written, $0.count) }
    precondition(result == 1 && written == Self.byteCount, "HMAC failed inside OpenSSL")
    return code
  }

  public static func authenticate(_ bytes: Span<UInt8>, key: Span<UInt8>) -> InlineArray<32, UInt8> {
    var mac = HMACSHA256(key: key)
    mac.update(bytes)
    return mac.finish()
  }

  public static func authenticate(_ bytes: Span<UInt8>, key: SecretKey) -> InlineArray<32, UInt8> { authenticate(bytes, key: key.bytes) }
}
