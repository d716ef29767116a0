#if canImport(Glibc)
  internal import Glibc
#endif

/// A first-in first-out queue of bytes addressed by absolute offsets, in pooled blocks: a stream's unacknowledged bytes, or
/// what a slow socket has not taken yet. Appending never moves older bytes; an empty queue holds no memory.
@safe public struct ChunkQueue: ~Copyable {
  private let pool: ChunkPool
  private var head: Chunk?
  private var tail: Chunk?
  /// Offset of the first byte still held.
  public private(set) var startOffset: UInt64
  /// Offset behind the last byte.
  public private(set) var endOffset: UInt64
  /// Where the last `copy` ended, so that sequential reading does not walk the list again.
  private var cursor: (chunk: Chunk, offset: UInt64)?

  public init(pool: ChunkPool, startOffset: UInt64 = 0) {
    self.pool = pool
    self.startOffset = startOffset
    self.endOffset = startOffset
  }

  deinit {
    var next = head
    while let chunk = next {
      next = chunk.next
      pool.give(chunk)
    }
  }

  public var count: Int { Int(endOffset - startOffset) }
  public var isEmpty: Bool { startOffset == endOffset }

  public mutating func append(_ bytes: Span<UInt8>) {
    var offset = 0
    while offset < bytes.count {
      let chunk = roomyTail(expecting: bytes.count - offset)
      let part = min(chunk.freeCount, bytes.count - offset)
      // SAFETY: `part` fits both the source span and the free space of the block; they do not alias.
      unsafe bytes.withUnsafeBufferPointer { source in
        unsafe chunk.payload(at: chunk.end).update(from: source.baseAddress! + offset, count: part)
      }
      chunk.end += part
      endOffset += UInt64(part)
      offset += part
    }
  }

  /// Appends what pieces of `bytes` hold behind their first `skipped` bytes: the rest of a gathered write.
  public mutating func append(_ bytes: Span<UInt8>, pieces: [Range<Int>], skipping skipped: Int) {
    var skip = skipped
    for piece in pieces {
      if skip >= piece.count {
        skip -= piece.count
        continue
      }
      append(bytes.extracting(piece.lowerBound + skip..<piece.upperBound))
      skip = 0
    }
  }

  /// A block's rest below this is left unused by `withFreeSpace`: better than a system call for a few bytes.
  static let worthwhileByteCount = 16 * 1024

  /// Lets `body` write (a `read` from a socket) straight into the queue. It gets `minimum`...`maximum` contiguous bytes and returns how
  /// many it wrote.
  public mutating func withFreeSpace<R>(
    atLeast minimum: Int = 1, atMost maximum: Int, _ body: (UnsafeMutableRawBufferPointer) -> (written: Int, result: R)
  ) -> R {
    precondition(minimum > 0 && minimum <= maximum && minimum <= ChunkPool.largeByteCount, "asked for no space, or for more than a block")
    let chunk = roomyTail(expecting: maximum, atLeast: max(minimum, min(maximum, Self.worthwhileByteCount)))
    let room = min(maximum, chunk.freeCount)
    // SAFETY: the free part of a block that this queue owns.
    let (written, result) = unsafe body(UnsafeMutableRawBufferPointer(start: chunk.payload(at: chunk.end), count: room))
    precondition(written >= 0 && written <= room, "wrote outside the block")
    chunk.end += written
    endOffset += UInt64(written)
    if written == 0 && startOffset == endOffset { removeAll() }
    return result
  }

  /// Appends `count` bytes that begin at `offset` to `buffer`.
  public mutating func copy(from offset: UInt64, count: Int, into buffer: ByteBuffer) {
    precondition(offset >= startOffset && offset + UInt64(count) <= endOffset, "copied outside the queue")
    guard count > 0 else { return }
    var (chunk, chunkOffset) = locate(offset)
    var position = offset
    var left = count
    while true {
      let inside = Int(position - chunkOffset)
      let part = min(left, chunk.count - inside)
      // SAFETY: the block holds `chunk.count` bytes from `begin`; `part` stays inside.
      unsafe buffer.append(
        Span(_unsafeElements: UnsafeBufferPointer(start: UnsafePointer(chunk.payload(at: chunk.begin + inside)), count: part)))
      left -= part
      position += UInt64(part)
      if left == 0 { break }
      chunkOffset += UInt64(chunk.count)
      chunk = chunk.next!
    }
    cursor = (chunk, chunkOffset)
  }

  /// The first contiguous run of held bytes, at most a block; `body` returns how many of them it consumed, and they are dropped.
  public mutating func consumeFirstRun<R>(_ body: (Span<UInt8>) -> (consumed: Int, result: R)) -> R? {
    while let chunk = head, chunk.count == 0, let next = chunk.next {  // a block that was taken for more room and never filled
      head = next
      cursor = nil
      pool.give(chunk)
    }
    guard let chunk = head else { return nil }
    // SAFETY: the filled part of a block that this queue owns, for the length of the call.
    let span = unsafe Span(_unsafeElements: UnsafeBufferPointer(start: UnsafePointer(chunk.payload(at: chunk.begin)), count: chunk.count))
    let (consumed, result) = body(span)
    drop(upTo: startOffset + UInt64(consumed))
    return result
  }

  /// Forgets every byte before `offset` and gives empty blocks back.
  public mutating func drop(upTo offset: UInt64) {
    precondition(offset <= endOffset, "dropped what was never there")
    guard offset > startOffset else { return }
    while let chunk = head {
      let available = UInt64(chunk.count)
      if startOffset + available > offset {
        chunk.begin += Int(offset - startOffset)
        startOffset = offset
        forgetOldCursor()
        return
      }
      startOffset += available
      head = chunk.next
      pool.give(chunk)
      if startOffset == offset { break }
    }
    forgetOldCursor()
    if startOffset == endOffset { removeAll() }
  }

  public mutating func removeAll() {
    var next = head
    while let chunk = next {
      next = chunk.next
      pool.give(chunk)
    }
    head = nil
    tail = nil
    cursor = nil
    startOffset = endOffset
  }

  /// A cursor stays valid while its block is whole and held: acknowledgements then do not make sequential reading walk again.
  private mutating func forgetOldCursor() {
    if let old = cursor, old.offset < startOffset { cursor = nil }
  }

  private mutating func roomyTail(expecting count: Int, atLeast minimum: Int = 1) -> Chunk {
    if let tail, tail.freeCount >= minimum { return tail }
    let fresh = pool.take(for: count)
    if let tail { tail.next = fresh } else { head = fresh }
    tail = fresh
    return fresh
  }

  private func locate(_ offset: UInt64) -> (Chunk, UInt64) {
    var (chunk, chunkOffset) = (head!, startOffset)
    if let cursor, cursor.offset <= offset { (chunk, chunkOffset) = cursor }
    while offset >= chunkOffset + UInt64(chunk.count) {
      chunkOffset += UInt64(chunk.count)
      chunk = chunk.next!
    }
    return (chunk, chunkOffset)
  }
}
