internal import Glibc

/// Memory for the data of small unexpected messages: blocks of 64, 128, … 2048 bytes in lists of their own, cut from pieces of 64 KiB
/// that stay with the pool. One thread at a time.
@safe struct BlockPool: ~Copyable {
  static let unit = 64
  /// Larger data are not for this pool.
  static let limit = 2048
  private static let pieceByteCount = 64 << 10

  @safe private struct Block { var next: UnsafeMutablePointer<Block>? }

  private let lists: UnsafeMutablePointer<UnsafeMutablePointer<Block>?>
  private var pieces: [UnsafeMutableRawPointer] = unsafe []

  init() {
    let count = Self.limit / Self.unit + 1
    // SAFETY: freed in deinit.
    unsafe lists = .allocate(capacity: count)
    unsafe lists.initialize(repeating: nil, count: count)
  }

  deinit {
    unsafe lists.deallocate()
    for index in unsafe pieces.indices { unsafe pieces[index].deallocate() }
  }

  /// At least `count` bytes (1...limit), to be given back with the same count.
  mutating func take(_ count: Int) -> UnsafeMutableRawPointer {
    let index = (count + Self.unit - 1) / Self.unit
    if unsafe lists[index] == nil { refill(index) }
    // SAFETY: the list holds blocks of this size that nobody uses.
    let block = unsafe lists[index]!
    unsafe lists[index] = block.pointee.next
    return UnsafeMutableRawPointer(block)
  }

  mutating func give(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    let index = (count + Self.unit - 1) / Self.unit
    // SAFETY: a block of this pool, large enough for the link.
    let block = unsafe memory.bindMemory(to: Block.self, capacity: 1)
    unsafe block.initialize(to: Block(next: lists[index]))
    unsafe lists[index] = block
  }

  private mutating func refill(_ index: Int) {
    let size = index * Self.unit
    let piece = UnsafeMutableRawPointer.allocate(byteCount: Self.pieceByteCount, alignment: 64)
    unsafe pieces.append(piece)
    var offset = 0
    while offset + size <= Self.pieceByteCount {
      unsafe give(piece + offset, size)
      offset += size
    }
  }
}
