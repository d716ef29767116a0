/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): ChaCha20-Poly1305 with a nonce of 24 bytes, long enough to be drawn at random.
/// OpenSSL has none: HChaCha20 is ours, the rest is its ChaCha20-Poly1305.
public enum XChaCha20Poly1305 {
  public static let nonceByteCount = 24

  public static func seal(
    _ plaintext: Span<UInt8>, key: Span<UInt8>, nonce: Span<UInt8>, associatedData: Span<UInt8>, into output: inout MutableSpan<UInt8>
  ) {
    let subkey = hChaCha20(key: key, nonce: nonce.extracting(first: 16))
    let rest = shortNonce(nonce)
    ChaCha20Poly1305.seal(plaintext, key: subkey.bytes, nonce: rest.span, associatedData: associatedData, into: &output)
  }

  public static func open(
    _ sealed: Span<UInt8>, key: Span<UInt8>, nonce: Span<UInt8>, associatedData: Span<UInt8>, into output: inout MutableSpan<UInt8>
  ) -> Bool {
    let subkey = hChaCha20(key: key, nonce: nonce.extracting(first: 16))
    let rest = shortNonce(nonce)
    return ChaCha20Poly1305.open(sealed, key: subkey.bytes, nonce: rest.span, associatedData: associatedData, into: &output)
  }

  private static func shortNonce(_ nonce: Span<UInt8>) -> InlineArray<12, UInt8> {
    precondition(nonce.count == nonceByteCount, "XChaCha20 takes 24 bytes of nonce")
    return InlineArray { $0 < 4 ? 0 : nonce[12 + $0] }
  }

  /// 20 rounds of ChaCha20 without the final addition, words 0...3 and 12...15 (§2.2).
  /// - Parameters:
  ///   - key: 32 bytes.
  ///   - nonce: 16 bytes.
  package static func hChaCha20(key: Span<UInt8>, nonce: Span<UInt8>) -> SecretKey {
    precondition(key.count == 32 && nonce.count == 16, "HChaCha20 takes 32 bytes of key and 16 of nonce")
    var x = InlineArray<16, UInt32>(repeating: 0)
    let constants: InlineArray<4, UInt32> = [0x6170_7865, 0x3320_646E, 0x7962_2D32, 0x6B20_6574]  // "expand 32-byte k"
    for word in 0..<4 { x[word] = constants[word] }
    for word in 0..<8 { x[4 + word] = littleEndian(key, at: 4 * word) }
    for word in 0..<4 { x[12 + word] = littleEndian(nonce, at: 4 * word) }
    for _ in 0..<10 {
      for column in 0..<4 { quarterRound(&x, column, 4 + column, 8 + column, 12 + column) }
      for diagonal in 0..<4 {
        quarterRound(&x, diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
      }
    }
    return SecretKey(byteCount: 32) { output in
      for word in 0..<8 {
        let value = x[word < 4 ? word : word + 8]
        for byte in 0..<4 { output[4 * word + byte] = UInt8(truncatingIfNeeded: value &>> UInt32(8 * byte)) }
      }
    }
  }

  private static func quarterRound(_ x: inout InlineArray<16, UInt32>, _ a: Int, _ b: Int, _ c: Int, _ d: Int) {
    func step(_ sum: Int, _ addend: Int, _ target: Int, _ bits: UInt32) {
      x[sum] = x[sum] &+ x[addend]
      let mixed = x[target] ^ x[sum]
      x[target] = mixed &<< bits | mixed &>> (32 - bits)
    }
    step(a, b, d, 16)
    step(c, d, b, 12)
    step(a, b, d, 8)
    step(c, d, b, 7)
  }

  private static func littleEndian(_ bytes: Span<UInt8>, at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for byte in 0..<4 { value |= UInt32(bytes[offset + byte]) &<< UInt32(8 * byte) }
    return value
  }
}
