extension OutputSpan<UInt8> {
  /// Least significant byte first. The caller has checked `freeCapacity`.
  @inline(__always) mutating func appendFrameInteger<T: FixedWidthInteger & UnsignedInteger>(
    _ value: T, byteCount: Int = MemoryLayout<T>.size
  ) {
    for i in 0..<byteCount { append(UInt8(truncatingIfNeeded: value &>> T(truncatingIfNeeded: 8 &* i))) }
  }
}
