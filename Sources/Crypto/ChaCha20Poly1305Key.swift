internal import COpenSSL

/// One ChaCha20-Poly1305 key (RFC 8439) and direction, set up once for millions of packets without associated data.
///
/// OpenSSL's own AEAD makes the Poly1305 key in a cipher call of its own, which costs as much as 500 bytes of stream, and its EVP layer
/// adds 60 ns. So a packet is copied behind 64 zero bytes, one ChaCha20 call turns these into the Poly1305 key (block 0, §2.6) and the
/// rest into the ciphertext (blocks 1...), and one Poly1305 call authenticates it: 600 instead of 800 ns for 1408 bytes. A provider
/// whose functions are missing, or whose result differs from EVP's, is used through EVP.
///
/// Not thread-safe; each thread has its own. Calls allocate nothing unless a packet is longer than all before.
@safe public final class ChaCha20Poly1305Key {
  public static let keyByteCount = 32
  public static let tagByteCount = 16
  /// Longest plaintext: what fits a UDP datagram.
  public static let maximumByteCount = 65535
  /// ChaCha20's block; the first makes the Poly1305 key.
  private static let blockByteCount = 64
  private static let initialCapacity = 2048

  private let provider: DirectCiphers?
  private let cipher: UnsafeMutableRawPointer?
  private let mac: UnsafeMutableRawPointer?
  private let evp: OpaquePointer?
  /// A block of zeros (between calls), the text, then room for padding and Poly1305's lengths.
  private var scratch: UnsafeMutablePointer<UInt8>
  /// Where opening puts its stream, so that `scratch` keeps the ciphertext for Poly1305. As long as `scratch`.
  private var opened: UnsafeMutablePointer<UInt8>
  private var capacity: Int

  /// - Parameter key: 32 bytes.
  public convenience init(sealing key: Span<UInt8>) { self.init(key, sealing: true, provider: DirectCiphers.usable) }
  public convenience init(opening key: Span<UInt8>) { self.init(key, sealing: false, provider: DirectCiphers.usable) }

  /// Through EVP only, to compare with.
  package convenience init(evpOnly key: Span<UInt8>, sealing: Bool) { self.init(key, sealing: sealing, provider: nil) }

  fileprivate init(_ key: Span<UInt8>, sealing: Bool, provider: DirectCiphers?) {
    precondition(key.count == Self.keyByteCount, "ChaCha20-Poly1305 takes 32 bytes of key")
    self.provider = provider
    var cipher: UnsafeMutableRawPointer?
    var mac: UnsafeMutableRawPointer?
    var evp: OpaquePointer?
    // SAFETY: the span outlives the calls, which copy the key.
    unsafe key.withUnsafeBufferPointer { key in
      if let provider {
        unsafe cipher = shim_direct_cipher_new(provider.table, key.baseAddress)
        unsafe mac = shim_direct_mac_new(provider.table)
        unsafe precondition(cipher != nil && mac != nil, "ChaCha20-Poly1305 failed inside OpenSSL")
      } else {
        unsafe evp = EVP_CIPHER_CTX_new()
        let nonce = InlineArray<12, UInt8>(repeating: 0)
        let result = unsafe nonce.span.withUnsafeBufferPointer { nonce in
          unsafe EVP_CipherInit_ex2(
            evp, FetchedCipher.chaCha20Poly1305.pointer, key.baseAddress, nonce.baseAddress, sealing ? 1 : 0, nil)
        }
        precondition(result == 1, "ChaCha20-Poly1305 failed inside OpenSSL")
      }
    }
    unsafe self.cipher = cipher
    unsafe self.mac = mac
    unsafe self.evp = evp
    capacity = Self.initialCapacity
    unsafe scratch = Self.allocate(capacity)
    unsafe opened = Self.allocate(capacity)
  }

  deinit {
    // SAFETY: made in init, with the same table.
    if let provider {
      unsafe shim_direct_cipher_free(provider.table, cipher)
      unsafe shim_direct_mac_free(provider.table, mac)
    }
    unsafe EVP_CIPHER_CTX_free(evp)
    unsafe Self.free(scratch, capacity)
    unsafe Self.free(opened, capacity)
  }

  /// Whether OpenSSL's provider is called directly.
  package var bypassesEVP: Bool { provider != nil }

  /// Nonce = LE32(`nonceHigh`) || LE64(`counter`), never twice under one key.
  /// - Parameter output: 16 bytes longer than `plaintext`; must not overlap it.
  public func seal(nonceHigh: UInt32, counter: UInt64, plaintext: Span<UInt8>, into output: inout MutableSpan<UInt8>) {
    precondition(output.count == plaintext.count + Self.tagByteCount, "a sealed packet is 16 bytes longer")
    // SAFETY: both spans outlive the call; the output has the room asked for.
    unsafe plaintext.withUnsafeBufferPointer { source in
      unsafe output.withUnsafeMutableBufferPointer { target in
        let target = unsafe target.baseAddress.unsafelyUnwrapped
        unsafe seal(
          nonceHigh: nonceHigh, counter: counter, from: source.baseAddress ?? UnsafePointer(target), count: source.count, to: target)
      }
    }
  }

  /// Opens ciphertext || tag in place; the plaintext is the first `count - 16` bytes.
  /// - Returns: False for a forgery or fewer than 16 bytes; the bytes are then as before.
  public func open(nonceHigh: UInt32, counter: UInt64, inPlace bytes: inout MutableSpan<UInt8>) -> Bool {
    guard bytes.count >= Self.tagByteCount else { return false }
    // SAFETY: the span outlives the call.
    return unsafe bytes.withUnsafeMutableBufferPointer {
      unsafe open(nonceHigh: nonceHigh, counter: counter, inPlace: $0.baseAddress.unsafelyUnwrapped, count: $0.count)
    }
  }

  /// As above for `count` readable bytes at `source` and `count + 16` writable ones at `target`. The two may be the same or overlap.
  @unsafe public func seal(
    nonceHigh: UInt32, counter: UInt64, from source: UnsafePointer<UInt8>, count: Int, to target: UnsafeMutablePointer<UInt8>
  ) {
    precondition(count >= 0 && count <= Self.maximumByteCount, "a packet longer than a datagram")
    guard let provider else { return unsafe sealWithEVP(nonceHigh, counter, source, count, target) }
    reserve(count)
    let text = unsafe scratch + Self.blockByteCount
    // SAFETY: the caller's bounds, and `reserve` made room for the text rounded up to a block and for the lengths behind it.
    unsafe UnsafeMutableRawPointer(text).copyMemory(from: source, byteCount: count)
    let isStreamed = unsafe stream(provider, nonceHigh, counter, from: scratch, to: scratch, count)
    unsafe finishText(text, count)
    let isAuthenticated =
      unsafe shim_direct_mac(
        provider.table, mac, scratch, text, (count &+ 15) & ~15 &+ 16, target + count) == 1
    unsafe UnsafeMutableRawPointer(target).copyMemory(from: text, byteCount: count)
    unsafe clearKeyBlock(scratch)
    precondition(isStreamed && isAuthenticated, "ChaCha20-Poly1305 failed inside OpenSSL")
  }

  /// As above for `count` writable bytes at `bytes`.
  @unsafe public func open(nonceHigh: UInt32, counter: UInt64, inPlace bytes: UnsafeMutablePointer<UInt8>, count sealedCount: Int) -> Bool {
    let count = sealedCount &- Self.tagByteCount
    guard count >= 0, count <= Self.maximumByteCount else { return false }
    guard let provider else { return unsafe openWithEVP(nonceHigh, counter, bytes, count) }
    reserve(count)
    let text = unsafe scratch + Self.blockByteCount
    var tag: (UInt64, UInt64) = (0, 0)
    // SAFETY: as in `seal`; the tag has its 16 bytes behind the ciphertext.
    unsafe UnsafeMutableRawPointer(text).copyMemory(from: bytes, byteCount: count)
    let isStreamed = unsafe stream(provider, nonceHigh, counter, from: scratch, to: opened, count)
    unsafe finishText(text, count)
    let isAuthenticated = unsafe withUnsafeMutableBytes(of: &tag) { tag in
      unsafe shim_direct_mac(
        provider.table, mac, opened, text, (count &+ 15) & ~15 &+ 16, tag.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
        == 1
    }
    precondition(isStreamed && isAuthenticated, "ChaCha20-Poly1305 failed inside OpenSSL")
    let sent = unsafe UnsafeRawPointer(bytes + count)
    // In constant time: no branch before the last.
    let low = unsafe sent.loadUnaligned(as: UInt64.self) ^ tag.0
    let high = unsafe sent.loadUnaligned(fromByteOffset: 8, as: UInt64.self) ^ tag.1
    let difference = low | high
    if difference == 0 {
      unsafe UnsafeMutableRawPointer(bytes).copyMemory(from: opened + Self.blockByteCount, byteCount: count)
    }
    return difference == 0
  }

  /// ChaCha20 from block 0 over the zero block and the text rounded up to whole blocks; half blocks would cost a call each.
  @unsafe @inline(__always) private func stream(
    _ provider: DirectCiphers, _ nonceHigh: UInt32, _ counter: UInt64, from source: UnsafeMutablePointer<UInt8>,
    to target: UnsafeMutablePointer<UInt8>, _ count: Int
  ) -> Bool {
    let block = Self.blockByteCount
    var iv: (UInt32, UInt32, UInt64) = (0, nonceHigh.littleEndian, counter.littleEndian)
    return unsafe withUnsafeBytes(of: &iv) { iv in
      unsafe shim_direct_cipher(
        provider.table, cipher, iv.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), source, target,
        block &+ ((count &+ block &- 1) & ~(block &- 1))) == 1
    }
  }

  /// Zeros up to 16 bytes, then LE64(associated data = 0) || LE64(count), as §2.8 wants for Poly1305.
  @unsafe @inline(__always) private func finishText(_ text: UnsafeMutablePointer<UInt8>, _ count: Int) {
    let padded = (count &+ 15) & ~15
    unsafe (text + count).update(repeating: 0, count: padded &- count)
    let lengths = unsafe UnsafeMutableRawPointer(text + padded)
    unsafe lengths.storeBytes(of: 0, as: UInt64.self)
    unsafe lengths.storeBytes(of: UInt64(truncatingIfNeeded: count).littleEndian, toByteOffset: 8, as: UInt64.self)
  }

  @unsafe @inline(__always) private func clearKeyBlock(_ block: UnsafeMutablePointer<UInt8>) {
    unsafe block.update(repeating: 0, count: Self.blockByteCount)
  }

  @inline(__always) private func reserve(_ count: Int) {
    if count &+ 3 &* Self.blockByteCount > capacity { grow(count + 3 * Self.blockByteCount) }
  }

  private func grow(_ needed: Int) {
    unsafe Self.free(scratch, capacity)
    unsafe Self.free(opened, capacity)
    capacity = needed
    unsafe scratch = Self.allocate(capacity)
    unsafe opened = Self.allocate(capacity)
  }

  private static func allocate(_ count: Int) -> UnsafeMutablePointer<UInt8> {
    let memory = unsafe UnsafeMutableRawPointer.allocate(byteCount: count, alignment: blockByteCount).bindMemory(
      to: UInt8.self, capacity: count)
    unsafe memory.initialize(repeating: 0, count: count)
    return unsafe memory
  }

  @unsafe private static func free(_ memory: UnsafeMutablePointer<UInt8>, _ count: Int) {
    unsafe OPENSSL_cleanse(memory, count)
    unsafe memory.deallocate()
  }
}

// MARK: Through EVP

extension ChaCha20Poly1305Key {
  @unsafe private func withNonce<R>(_ nonceHigh: UInt32, _ counter: UInt64, _ body: (UnsafePointer<UInt8>) -> R) -> R {
    let (low, high) = (UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter &>> 32))
    var nonce: (UInt32, UInt32, UInt32) = (nonceHigh.littleEndian, low.littleEndian, high.littleEndian)
    return unsafe withUnsafeBytes(of: &nonce) { unsafe body($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)) }
  }

  @unsafe private func sealWithEVP(
    _ nonceHigh: UInt32, _ counter: UInt64, _ source: UnsafePointer<UInt8>, _ count: Int, _ target: UnsafeMutablePointer<UInt8>
  ) {
    var written: CInt = 0
    // SAFETY: the caller's bounds; the nonce has 12 bytes.
    let result =
      unsafe withNonce(nonceHigh, counter) { unsafe EVP_EncryptInit_ex2(evp, nil, nil, $0, nil) } == 1
      && (count == 0 || EVP_EncryptUpdate(evp, target, &written, source, CInt(count)) == 1)
      && EVP_EncryptFinal_ex(evp, target + count, &written) == 1
      && EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, CInt(Self.tagByteCount), target + count) == 1
    precondition(result, "ChaCha20-Poly1305 failed inside OpenSSL")
  }

  @unsafe private func openWithEVP(_ nonceHigh: UInt32, _ counter: UInt64, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
    reserve(count)
    var written: CInt = 0
    // SAFETY: the caller's bounds; `opened` has room for `count` bytes.
    let isReady =
      unsafe withNonce(nonceHigh, counter) { unsafe EVP_DecryptInit_ex2(evp, nil, nil, $0, nil) } == 1
      && EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, CInt(Self.tagByteCount), bytes + count) == 1
      && (count == 0 || EVP_DecryptUpdate(evp, opened, &written, bytes, CInt(count)) == 1)
    precondition(isReady, "ChaCha20-Poly1305 failed inside OpenSSL")
    guard unsafe EVP_DecryptFinal_ex(evp, opened + count, &written) == 1 else { return false }
    unsafe UnsafeMutableRawPointer(bytes).copyMemory(from: opened, byteCount: count)
    return true
  }
}

/// The functions of the provider that serves ChaCha20-Poly1305.
// @unchecked Sendable: written once, before anybody sees it, and never freed.
@safe private struct DirectCiphers: @unchecked Sendable {
  let table: UnsafePointer<shim_direct>

  /// Nil when functions are missing, or give another result than EVP.
  static let usable: DirectCiphers? = {
    guard let direct = DirectCiphers(), direct.agreesWithEVP() else { return nil }
    return direct
  }()

  private init?() {
    let table = UnsafeMutablePointer<shim_direct>.allocate(capacity: 1)
    unsafe table.initialize(to: shim_direct())
    guard unsafe shim_direct_find(table, FetchedCipher.chaCha20Poly1305.pointer) == 1 else {
      unsafe table.deallocate()
      return nil
    }
    unsafe self.table = UnsafePointer(table)
  }

  private func agreesWithEVP() -> Bool {
    let key = InlineArray<32, UInt8> { UInt8($0 * 7 + 1) }
    for count in [0, 1, 15, 64, 100, 1408] {
      let text = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      let results = [self, nil].map { provider in
        var sealed = [UInt8](repeating: 0, count: count + ChaCha20Poly1305Key.tagByteCount)
        var output = sealed.mutableSpan
        ChaCha20Poly1305Key(key.span, sealing: true, provider: provider)
          .seal(nonceHigh: 0x0102_0304, counter: 0x0506_0708_090A_0B0C, plaintext: text.span, into: &output)
        return sealed
      }
      if results[0] != results[1] { return false }
    }
    return true
  }
}
