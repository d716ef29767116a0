extension Span<UInt8> {
  /// The integer whose first byte is at `offset`, least significant byte first. The caller has checked the length once.
  @inlinable @inline(__always) public func littleEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) -> T {
    precondition(offset >= 0 && count &- offset >= MemoryLayout<T>.size, "read outside the span")
    // SAFETY: the bounds are checked above, once and not for each byte; every bit pattern is an integer.
    return unsafe T(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
  }

  /// The integer whose first byte is at `offset`, most significant byte first.
  @inlinable @inline(__always) public func bigEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) -> T {
    littleEndian(at: offset, as: T.self).byteSwapped
  }

  /// The offset of the first `byte` in `range`, or nil. Eight bytes a step.
  public func firstIndex(of byte: UInt8, in range: Range<Int>) -> Int? {
    precondition(range.upperBound <= count, "searched outside the span")
    let pattern = 0x0101_0101_0101_0101 &* UInt64(byte)
    var i = range.lowerBound
    while i &+ 8 <= range.upperBound {
      let hit = Word.zeroBytes(littleEndian(at: i, as: UInt64.self) ^ pattern)
      if hit != 0 { return i &+ hit.trailingZeroBitCount &>> 3 }
      i &+= 8
    }
    while i < range.upperBound {
      if self[i] == byte { return i }
      i &+= 1
    }
    return nil
  }
}

/// Eight bytes at once in a `UInt64`. The lowest set bit of a result marks the first hit; bits above it may be false.
enum Word {
  @inline(__always) static func zeroBytes(_ word: UInt64) -> UInt64 {
    (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
  }

  /// Bytes that end a field name: a colon, a blank or a control byte below 0x20.
  @inline(__always) static func nameEnds(_ word: UInt64) -> UInt64 {
    let low = (word &- 0x2121_2121_2121_2121) & ~word & 0x8080_8080_8080_8080
    return low | zeroBytes(word ^ 0x3A3A_3A3A_3A3A_3A3A)
  }

  /// Whether all bytes are lower-case letters, digits or hyphens.
  @inline(__always) static func isPlainName(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    if word & (0x80 &* ones) != 0 { return false }
    // No sum below carries into the next byte, because all bytes are below 0x80.
    let letters = (word &+ 0x1F &* ones) & ~(word &+ 0x05 &* ones)
    let digits = (word &+ 0x50 &* ones) & ~(word &+ 0x46 &* ones)
    let hyphens = ~((word ^ 0x2D &* ones) &+ 0x7F &* ones)
    return (letters | digits | hyphens) & (0x80 &* ones) == 0x80 &* ones
  }

  /// Bytes that end a run of plain field-value bytes: below 0x20 (HTAB too) or 0x7F.
  @inline(__always) static func controlBytes(_ word: UInt64) -> UInt64 {
    let low = (word &- 0x2020_2020_2020_2020) & ~word & 0x8080_8080_8080_8080
    return low | zeroBytes(word ^ 0x7F7F_7F7F_7F7F_7F7F)
  }
}
