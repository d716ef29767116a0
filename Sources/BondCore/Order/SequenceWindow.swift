/// Tells the first copy of a packet from the others: a ring of bits over 32-bit sequence numbers, after RFC 6479 (words are cleared as
/// the window enters them, so there is no shifting). Holds a second of 730 Mbit/s.
@safe struct SequenceWindow: ~Copyable {
  static let bitCount = 65_536
  /// A number this far behind the newest is taken for a duplicate.
  static let reach = UInt32(bitCount - 64)
  private static let wordCount = bitCount / 64

  private let words: UnsafeMutablePointer<UInt64>
  private(set) var highest: UInt32 = 0

  init() {
    // SAFETY: `wordCount` words, freed in deinit; every index below is masked to that range.
    unsafe words = .allocate(capacity: Self.wordCount)
    unsafe words.initialize(repeating: 0, count: Self.wordCount)
  }

  deinit { unsafe words.deallocate() }

  mutating func reset() {
    highest = 0
    // SAFETY: the ring's own words.
    for i in 0..<Self.wordCount { unsafe words[i] = 0 }
  }

  /// Whether `sequence` is new; it isn't any more afterwards.
  @inline(__always) mutating func accept(_ sequence: UInt32) -> Bool {
    let behind = highest &- sequence
    if behind >= 1 &<< 31 {
      let from = highest &>> 6
      let steps = min((sequence &>> 6 &- from) & 0x03FF_FFFF, UInt32(Self.wordCount))
      if steps > 0 { clear(after: from, steps) }
      highest = sequence
    } else if behind >= Self.reach {
      return false
    }
    let index = Int(sequence &>> 6) & (Self.wordCount &- 1)
    let bit: UInt64 = 1 &<< UInt64(sequence & 63)
    // SAFETY: masked to the ring.
    let word = unsafe words[index]
    unsafe words[index] = word | bit
    return word & bit == 0
  }

  private mutating func clear(after word: UInt32, _ count: UInt32) {
    // SAFETY: masked to the ring.
    for i in 1...count { unsafe words[Int(word &+ i) & (Self.wordCount &- 1)] = 0 }
  }
}
