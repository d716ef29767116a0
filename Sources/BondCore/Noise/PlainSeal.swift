internal import CausewayCrypto
internal import CausewayWire

/// Stands in for the AEAD in simulations: copies the text and sums it up with key, nonce and length, so that corrupted, truncated and
/// misdirected packets are still found. No protection against anybody.
struct PlainSeal {
  private let sending: UInt64
  private let receiving: UInt64

  init(sending: SecretKey, receiving: SecretKey) {
    self.sending = sending.bytes.littleEndian(at: 0)
    self.receiving = receiving.bytes.littleEndian(at: 0)
  }

  /// `count` bytes and 16 of sum to `target`.
  @unsafe func seal(
    _ nonceHigh: UInt32, _ counter: UInt64, from source: UnsafePointer<UInt8>, count: Int, to target: UnsafeMutablePointer<UInt8>
  ) {
    // SAFETY: the caller's bounds.
    let destination = UnsafeMutableRawPointer(target)
    unsafe destination.copyMemory(from: source, byteCount: count)
    let sum = unsafe Self.sum(destination, count, Self.seed(sending, nonceHigh, counter))
    unsafe destination.storeBytes(of: sum, toByteOffset: count, as: UInt64.self)
    unsafe destination.storeBytes(of: ~sum, toByteOffset: count + 8, as: UInt64.self)
  }

  /// - Parameter count: Of text and sum.
  @unsafe func open(_ nonceHigh: UInt32, _ counter: UInt64, inPlace bytes: UnsafeMutablePointer<UInt8>, count: Int) -> Bool {
    guard count >= 16 else { return false }
    // SAFETY: the caller's bounds.
    let source = UnsafeRawPointer(bytes)
    let sum = unsafe Self.sum(source, count - 16, Self.seed(receiving, nonceHigh, counter))
    let low = unsafe source.loadUnaligned(fromByteOffset: count - 16, as: UInt64.self)
    let high = unsafe source.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
    return low == sum && high == ~sum
  }

  private static func seed(_ key: UInt64, _ nonceHigh: UInt32, _ counter: UInt64) -> UInt64 {
    // Each bit of the nonce changes half of the seed's, or the four lanes could cancel its high bits out.
    let mixed = (key ^ UInt64(nonceHigh) &<< 58 ^ counter).byteSwapped &* 0x9E37_79B9_7F4A_7C15
    return (mixed ^ mixed &>> 29) &* 0xBF58_476D_1CE4_E5B9
  }

  /// Four independent lanes of eight bytes, so that the multiplications overlap.
  @unsafe private static func sum(_ bytes: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    let prime: UInt64 = 0x0000_0100_0000_01B3
    var (a, b, c, d) = (seed, seed &+ 1, seed &+ 2, seed &+ UInt64(truncatingIfNeeded: count) &<< 8)
    var offset = 0
    while offset &+ 32 <= count {
      unsafe a = (a ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* prime
      unsafe b = (b ^ bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self)) &* prime
      unsafe c = (c ^ bytes.loadUnaligned(fromByteOffset: offset &+ 16, as: UInt64.self)) &* prime
      unsafe d = (d ^ bytes.loadUnaligned(fromByteOffset: offset &+ 24, as: UInt64.self)) &* prime
      offset &+= 32
    }
    while offset < count {
      unsafe a = (a ^ UInt64(bytes.load(fromByteOffset: offset, as: UInt8.self))) &* prime
      offset &+= 1
    }
    return ((a &* prime ^ b) &* prime ^ c) &* prime ^ d
  }
}
