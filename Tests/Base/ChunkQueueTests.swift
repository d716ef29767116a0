import Testing

@testable import CausewayBase

@Suite struct ChunkQueueTests {
  /// The naive twin: all bytes in one array, addressed by absolute offsets.
  private struct Twin {
    var bytes: [UInt8] = []
    var startOffset: UInt64
    var endOffset: UInt64 { startOffset + UInt64(bytes.count) }
    mutating func drop(upTo offset: UInt64) {
      guard offset > startOffset else { return }
      bytes.removeFirst(Int(offset - startOffset))
      startOffset = offset
    }
  }

  @Test("it does what an array does", arguments: 0..<60 as Range<UInt64>) func twin(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let pool = ChunkPool()
    let start = seed % 3 == 0 ? 0 : random.next() >> 8
    var queue = ChunkQueue(pool: pool, startOffset: start)
    var twin = Twin(startOffset: start)
    let sizes = [1, 10, 500, 4064, 4065, 9000, 65504, 70_000]
    func size() -> Int { Int.random(in: 1...sizes.randomElement(using: &random)!, using: &random) }
    func bytes(_ count: Int) -> [UInt8] {
      let first = UInt8.random(in: 0...255, using: &random)
      return (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0 &* 31) }
    }
    for step in 0..<120 {
      switch Int.random(in: 0...6, using: &random) {
      case 0, 1:
        let piece = bytes(size())
        queue.append(piece.span)
        twin.bytes += piece
      case 2:
        let maximum = size()
        let minimum = Int.random(in: 1...min(maximum, ChunkPool.largeByteCount), using: &random)
        let wanted = Int.random(in: 0...maximum, using: &random)
        let piece = bytes(max(1, wanted))
        let room: Int = unsafe queue.withFreeSpace(atLeast: minimum, atMost: maximum) { target in
          let count = min(wanted, target.count)
          for index in 0..<count { unsafe target[index] = piece[index] }
          return (count, target.count)
        }
        #expect(room >= minimum && room <= maximum, "step \(step)")
        twin.bytes += piece.prefix(min(wanted, room))
      case 3, 4:
        guard !twin.bytes.isEmpty else { continue }
        let from = Int.random(in: 0..<twin.bytes.count, using: &random)
        let count = Int.random(in: 0...min(twin.bytes.count - from, 20_000), using: &random)
        let out = ByteBuffer()
        queue.copy(from: twin.startOffset + UInt64(from), count: count, into: out)
        let copied = out.array
        #expect(copied == Array(twin.bytes[from..<from + count]), "step \(step)")
      case 5:
        let offset = twin.startOffset + UInt64(Int.random(in: 0...twin.bytes.count, using: &random))
        queue.drop(upTo: offset)
        twin.drop(upTo: offset)
      default:
        let share = Int.random(in: 0...3, using: &random)
        var first: [UInt8] = []
        let count: Int? = queue.consumeFirstRun { span in
          for index in 0..<min(8, span.count) { first.append(span[index]) }
          return (span.count * share / 3, span.count)
        }
        if let count {
          #expect(count > 0 && first == Array(twin.bytes.prefix(8).prefix(count)), "step \(step)")
          twin.drop(upTo: twin.startOffset + UInt64(count * share / 3))
        } else {
          #expect(twin.bytes.isEmpty)
        }
      }
      let (first, last, count, isEmpty) = (queue.startOffset, queue.endOffset, queue.count, queue.isEmpty)
      #expect(
        first == twin.startOffset && last == twin.endOffset && count == twin.bytes.count && isEmpty == twin.bytes.isEmpty, "step \(step)")
    }
    let rest = ByteBuffer()
    queue.copy(from: twin.startOffset, count: twin.bytes.count, into: rest)
    let copied = rest.array
    #expect(copied == twin.bytes)
    queue.drop(upTo: twin.endOffset)
    #expect(pool.lentCount == 0)  // empties hold no memory
  }

  @Test("reading on from where the last copy ended survives drops of what is older") func sequentialReading() {
    let pool = ChunkPool()
    var queue = ChunkQueue(pool: pool)
    let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
    queue.append(bytes.span)
    let out = ByteBuffer()
    for start in stride(from: 0, to: 200_000, by: 1000) {
      queue.copy(from: UInt64(start), count: 1000, into: out)
      if start % 3000 == 0 { queue.drop(upTo: UInt64(start + (start % 2000 == 0 ? 1000 : 500))) }
    }
    let copied = out.array
    #expect(copied == bytes)
  }

  @Test("a small queue takes a small block, and the end of its life gives everything back") func blocks() {
    let pool = ChunkPool()
    func fill() -> Int {
      var small = ChunkQueue(pool: pool)
      small.append([1].span)
      var large = ChunkQueue(pool: pool)
      large.append([UInt8](repeating: 1, count: 5000).span)
      return pool.lentCount
    }
    #expect(fill() == 2)
    #expect(pool.lentCount == 0)
  }

  @Test("nothing written into free space holds no memory") func nothingWritten() {
    let pool = ChunkPool()
    var queue = ChunkQueue(pool: pool)
    _ = unsafe queue.withFreeSpace(atMost: 100_000) { _ in (0, 0) }
    #expect(pool.lentCount == 0)
    queue.append([1, 2].span)
    _ = unsafe queue.withFreeSpace(atLeast: 5000, atMost: 5000) { _ in (0, 0) }
    _ = unsafe queue.withFreeSpace(atLeast: 65504, atMost: 65504) { _ in (0, 0) }
    queue.append([3].span)
    var seen: [UInt8] = []
    while true {
      let count: Int? = queue.consumeFirstRun { span in
        for index in 0..<span.count { seen.append(span[index]) }
        return (span.count, span.count)
      }
      guard let count else { break }
      #expect(count > 0)
    }
    #expect(seen == [1, 2, 3] && pool.lentCount == 0)
  }
}

@Suite struct ChunkPoolTests {
  @Test("free blocks are used again, last in first out, and cleared") func reuse() {
    let pool = ChunkPool()
    let (a, b) = (pool.take(for: 1), pool.take(for: 1))
    a.end = 10
    pool.give(a)
    pool.give(b)
    let (c, d) = (pool.take(for: 1), pool.take(for: 1))
    let isLastFirst = c.isSame(as: b) && d.isSame(as: a)
    let isCleared = d.end == 0 && d.next == nil
    #expect(isLastFirst && isCleared)
    pool.give(c)
    pool.give(d)
  }

  @Test(
    "it keeps no more than its limits",
    arguments: [
      (1, ChunkPool.keptSmallLimit), (ChunkPool.mediumByteCount, ChunkPool.keptMediumLimit),
      (ChunkPool.largeByteCount, ChunkPool.keptLargeLimit),
    ])
  func limits(_ byteCount: Int, _ limit: Int) {
    let pool = ChunkPool()
    let chunks = (0..<limit + 10).map { _ in pool.take(for: byteCount) }
    #expect(pool.lentCount == limit + 10)
    for chunk in chunks { pool.give(chunk) }
    #expect(pool.lentCount == 0 && pool.freeSmallCount + pool.freeMediumCount + pool.freeLargeCount == limit)
  }
}

extension ByteBuffer {
  var array: [UInt8] {
    let buffer = self
    // SAFETY: copied within the call.
    return unsafe buffer.bytes.withUnsafeBufferPointer { source in unsafe [UInt8](source) }
  }
}
