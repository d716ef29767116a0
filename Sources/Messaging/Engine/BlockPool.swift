internal import Glibc

/// Memory for the data of small unexpected messages: blocks of 64, 128, … 2048 bytes in lists of their own, cut from pieces of 64 KiB.
/// When no block of a size is in use any more its pieces are given back, but for a few, so that a flood of one size leaves its memory to
/// the next. One thread at a time.
@safe struct BlockPool: ~Copyable {
  static let unit = 64
  /// Larger data are not for this pool.
  static let limit = 2048
  private static let pieceByteCount = 64 << 10
  /// Pieces of a size that stay.
  static let keptPieces = 4
  private static let sizeCount = limit / unit + 1

  @safe private struct Block { var next: UnsafeMutablePointer<Block>? }

  private let lists: UnsafeMutablePointer<UnsafeMutablePointer<Block>?>
  /// Blocks in use, by size.
  private let used: UnsafeMutablePointer<Int>
  private var pieces: [[UnsafeMutableRawPointer]] = unsafe Array(repeating: [], count: sizeCount)

  init() {
    // SAFETY: freed in deinit.
    unsafe lists = .allocate(capacity: Self.sizeCount)
    unsafe lists.initialize(repeating: nil, count: Self.sizeCount)
    unsafe used = .allocate(capacity: Self.sizeCount)
    unsafe used.initialize(repeating: 0, count: Self.sizeCount)
  }

  deinit {
    unsafe lists.deallocate()
    unsafe used.deallocate()
    for size in unsafe pieces.indices { for piece in unsafe pieces[size].indices { unsafe pieces[size][piece].deallocate() } }
  }

  /// Of all sizes.
  var pieceCount: Int { unsafe pieces.reduce(0) { unsafe $0 + $1.count } }

  /// At least `count` bytes (1...limit), to be given back with the same count.
  mutating func take(_ count: Int) -> UnsafeMutableRawPointer {
    let index = (count + Self.unit - 1) / Self.unit
    if unsafe lists[index] == nil { refill(index) }
    // SAFETY: the list holds blocks of this size that nobody uses.
    let block = unsafe lists[index]!
    unsafe lists[index] = block.pointee.next
    unsafe used[index] &+= 1
    return UnsafeMutableRawPointer(block)
  }

  mutating func give(_ memory: UnsafeMutableRawPointer, _ count: Int) {
    let index = (count + Self.unit - 1) / Self.unit
    unsafe link(memory, index)
    unsafe used[index] &-= 1
    if unsafe used[index] == 0 && pieces[index].count > Self.keptPieces { shrink(index) }
  }

  private func link(_ memory: UnsafeMutableRawPointer, _ index: Int) {
    // SAFETY: a block of this pool, large enough for the link.
    let block = unsafe memory.bindMemory(to: Block.self, capacity: 1)
    unsafe block.initialize(to: Block(next: lists[index]))
    unsafe lists[index] = block
  }

  @inline(never) private mutating func shrink(_ index: Int) {
    // SAFETY: nobody uses a block of them.
    while unsafe pieces[index].count > Self.keptPieces { unsafe pieces[index].removeLast().deallocate() }
    unsafe lists[index] = nil
    for piece in unsafe pieces[index].indices { unsafe cut(pieces[index][piece], index) }
  }

  @inline(never) private mutating func refill(_ index: Int) {
    let piece = UnsafeMutableRawPointer.allocate(byteCount: Self.pieceByteCount, alignment: 64)
    unsafe pieces[index].append(piece)
    unsafe cut(piece, index)
  }

  private func cut(_ piece: UnsafeMutableRawPointer, _ index: Int) {
    let size = index * Self.unit
    var offset = 0
    while offset + size <= Self.pieceByteCount {
      unsafe link(piece + offset, index)
      offset += size
    }
  }
}
