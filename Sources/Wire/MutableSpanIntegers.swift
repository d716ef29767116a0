extension MutableSpan<UInt8> {
  /// The integer whose first byte is at `offset`, most significant byte first.
  @inlinable @inline(__always) public func bigEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    at offset: Int, as type: T.Type = T.self
  ) -> T {
    span.bigEndian(at: offset, as: T.self)
  }

  /// Writes the integer from `offset` on, most significant byte first. The caller has checked the length once.
  @inlinable @inline(__always) public mutating func setBigEndian<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ value: T, at offset: Int
  ) {
    precondition(offset >= 0 && count &- offset >= MemoryLayout<T>.size, "write outside the span")
    // SAFETY: the bounds are checked above; every bit pattern is an integer.
    var raw = unsafe mutableBytes
    unsafe raw.storeBytes(of: value.bigEndian, toUncheckedByteOffset: offset, as: T.self)
  }

  /// Copies `range` of `source` to `offset` on.
  @inlinable @inline(__always) public mutating func copy(_ source: Span<UInt8>, _ range: Range<Int>, to offset: Int) {
    precondition(range.lowerBound >= 0 && range.upperBound <= source.count, "copied from outside the span")
    precondition(offset >= 0 && count &- offset >= range.count, "copied to outside the span")
    // SAFETY: both bounds are checked above; exclusive access to the target keeps the two apart.
    unsafe withUnsafeMutableBufferPointer { target in
      unsafe source.withUnsafeBufferPointer { bytes in
        guard let to = target.baseAddress, let from = bytes.baseAddress else { return }
        unsafe (to + offset).update(from: from + range.lowerBound, count: range.count)
      }
    }
  }
}
