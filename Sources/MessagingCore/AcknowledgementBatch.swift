/// Sequence numbers on their way into one control message: a base and the 64 numbers from it on.
struct AcknowledgementBatch: BitwiseCopyable {
  private(set) var base: UInt32 = 0
  /// Bit i: base + i.
  private(set) var bits: UInt64 = 0

  var isEmpty: Bool { bits == 0 }

  /// False when it does not fit beside those that are there.
  mutating func add(_ sequence: UInt32) -> Bool {
    if bits == 0 {
      base = sequence
      bits = 1
      return true
    }
    let above = sequence &- base
    if above < 64 {
      bits |= 1 &<< UInt64(above)
      return true
    }
    let below = base &- sequence
    guard below <= UInt32(bits.leadingZeroBitCount) else { return false }
    base = sequence
    bits = bits &<< UInt64(below) | 1
    return true
  }

  mutating func clear() { bits = 0 }
}
