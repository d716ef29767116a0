internal import COpenSSL

// @unchecked Sendable: see FetchedDigest.
@safe struct FetchedCipher: @unchecked Sendable {
  let pointer: OpaquePointer
  static let chaCha20Poly1305 = FetchedCipher("ChaCha20-Poly1305")

  private init(_ name: String) {
    guard let pointer = unsafe EVP_CIPHER_fetch(nil, name, nil) else {
      fatalError("OpenSSL offers no \(name): is its default provider disabled?")
    }
    unsafe self.pointer = pointer
  }
}

/// ChaCha20-Poly1305 (RFC 8439) of one message, with associated data: for handshakes. Packets take `ChaCha20Poly1305Key`.
public enum ChaCha20Poly1305 {
  public static let keyByteCount = 32
  public static let nonceByteCount = 12
  public static let tagByteCount = 16

  /// - Parameters:
  ///   - key: 32 bytes.
  ///   - nonce: 12 bytes, never twice under one key.
  ///   - output: 16 bytes longer than `plaintext`.
  public static func seal(
    _ plaintext: Span<UInt8>, key: Span<UInt8>, nonce: Span<UInt8>, associatedData: Span<UInt8>, into output: inout MutableSpan<UInt8>
  ) {
    precondition(output.count == plaintext.count + tagByteCount, "a sealed message is 16 bytes longer")
    let context = unsafe begin(key, nonce, sealing: true)
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    var written: CInt = 0
    // SAFETY: the spans outlive the calls; the output has room for the ciphertext and the tag. An empty plaintext is not given at
    // all, since a nil source would end the message.
    let result = unsafe output.withUnsafeMutableBufferPointer { output in
      let base = unsafe output.baseAddress.unsafelyUnwrapped
      return unsafe add(associatedData, to: context)
        && plaintext.withUnsafeBufferPointer { source in
          unsafe source.isEmpty || EVP_EncryptUpdate(context, base, &written, source.baseAddress, CInt(source.count)) == 1
        }
        && EVP_EncryptFinal_ex(context, base + plaintext.count, &written) == 1
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CInt(tagByteCount), base + plaintext.count) == 1
    }
    precondition(result, "ChaCha20-Poly1305 failed inside OpenSSL")
  }

  /// - Parameter output: 16 bytes shorter than `sealed`; holds nothing of use when the result is false.
  /// - Returns: Whether the message is authentic. A message shorter than a tag is not.
  public static func open(
    _ sealed: Span<UInt8>, key: Span<UInt8>, nonce: Span<UInt8>, associatedData: Span<UInt8>, into output: inout MutableSpan<UInt8>
  ) -> Bool {
    guard sealed.count >= tagByteCount else { return false }
    let count = sealed.count - tagByteCount
    precondition(output.count == count, "an opened message is 16 bytes shorter")
    let context = unsafe begin(key, nonce, sealing: false)
    defer { unsafe EVP_CIPHER_CTX_free(context) }
    var written: CInt = 0
    var nothing: UInt8 = 0
    // SAFETY: the spans outlive the calls; the output has room for the plaintext. SET_TAG reads its argument only.
    let isAuthentic = unsafe sealed.withUnsafeBufferPointer { source in
      let base = unsafe source.baseAddress.unsafelyUnwrapped
      return unsafe output.withUnsafeMutableBufferPointer { output in
        unsafe withUnsafeMutablePointer(to: &nothing) { nothing in
          let target = unsafe output.baseAddress ?? nothing
          return unsafe add(associatedData, to: context)
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CInt(tagByteCount), UnsafeMutablePointer(mutating: base + count)) == 1
            && (count == 0 || EVP_DecryptUpdate(context, target, &written, base, CInt(count)) == 1)
            && EVP_DecryptFinal_ex(context, target, &written) == 1
        }
      }
    }
    if !isAuthentic {
      for index in output.indices { output[index] = 0 }
      ERR_clear_error()
    }
    return isAuthentic
  }

  /// The caller frees it.
  @unsafe private static func begin(_ key: Span<UInt8>, _ nonce: Span<UInt8>, sealing: Bool) -> OpaquePointer {
    precondition(key.count == keyByteCount && nonce.count == nonceByteCount, "ChaCha20-Poly1305 takes 32 bytes of key and 12 of nonce")
    guard let context = unsafe EVP_CIPHER_CTX_new() else { fatalError("out of memory") }
    // SAFETY: the spans outlive the call, which copies both.
    let result = unsafe key.withUnsafeBufferPointer { key in
      unsafe nonce.withUnsafeBufferPointer { nonce in
        unsafe EVP_CipherInit_ex2(
          context, FetchedCipher.chaCha20Poly1305.pointer, key.baseAddress, nonce.baseAddress, sealing ? 1 : 0, nil)
      }
    }
    precondition(result == 1, "ChaCha20-Poly1305 failed inside OpenSSL")
    return unsafe context
  }

  @unsafe private static func add(_ associatedData: Span<UInt8>, to context: OpaquePointer) -> Bool {
    var written: CInt = 0
    // SAFETY: the span outlives the call; without an output the bytes are associated data.
    return unsafe associatedData.isEmpty
      || associatedData.withUnsafeBufferPointer { unsafe EVP_CipherUpdate(context, nil, &written, $0.baseAddress, CInt($0.count)) } == 1
  }
}
