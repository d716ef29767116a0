/// A stretch of memory, laid out as the C library's `struct iovec` (an address, a count): lists of them go to `writev(2)` as they are.
/// The memory belongs to somebody else, who says how long it stays.
@unsafe public struct MemoryPiece: BitwiseCopyable {
  public var base: UnsafeMutableRawPointer?
  public var count: Int

  @inlinable public init(base: UnsafeMutableRawPointer?, count: Int) {
    unsafe self.base = base
    unsafe self.count = count
  }
}
