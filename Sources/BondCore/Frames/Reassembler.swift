package import CausewayBase
package import CausewayPaths

/// Puts the fragments of DATA frames together, for one peer. Bounded in entries and time; pieces can't overlap, because their places
/// follow from what each header says of the whole, and a piece that says otherwise begins another whole.
@safe package struct Reassembler: ~Copyable {
  /// Frames in the making. The oldest makes room.
  package static let entryLimit = 64
  /// From the first piece, nanoseconds; paths reorder by less.
  package static let timeLimit: UInt64 = 500_000_000

  private struct Entry {
    var slot: PacketSlot = .none
    var path: UInt8 = 0
    var count: UInt8 = 0
    var total: UInt16 = 0
    var sequence: UInt32 = 0
    /// Pieces that are here, a bit each.
    var pieces: UInt32 = 0
    var began: Instant = .zero
  }

  private let pool: PacketPool
  private var entries = InlineArray<64, Entry>(repeating: Entry())
  private var openCount = 0

  package private(set) var completedCount: UInt64 = 0
  /// Given up incomplete: time or room ran out.
  package private(set) var abandonedCount: UInt64 = 0
  /// Pieces refused: too long for a slot, no slot free, or a whole that was no DATA frame.
  package private(set) var refusedCount: UInt64 = 0

  package init(pool: PacketPool) { self.pool = pool }

  deinit { for i in 0..<Self.entryLimit where entries[i].slot != .none { pool.give(entries[i].slot) } }

  /// Adds a piece.
  /// - Returns: with the last missing piece, the packet in a slot that is the caller's now, and its DATA header.
  package mutating func receive(
    _ header: FragmentHeader, _ piece: Span<UInt8>, path: PathID, at now: Instant
  ) -> (header: DataHeader, slot: PacketSlot)? {
    let range = header.range
    guard piece.count == range.count, header.total - DataHeader.byteCount <= pool.packetByteCount,
      let index = entry(for: header, path, at: now)
    else {
      refusedCount &+= 1
      return nil
    }
    let slot = entries[index].slot
    // The DATA header lies in the headroom's last bytes, so that the packet is where it belongs.
    let start = PacketPool.headroom - DataHeader.byteCount + range.lowerBound
    pool.withBuffer(slot) { buffer in
      for i in 0..<piece.count { buffer[start &+ i] = piece[i] }
    }
    entries[index].pieces |= 1 &<< UInt32(header.index)
    guard entries[index].pieces.nonzeroBitCount == header.count else { return nil }
    entries[index] = Entry()
    openCount -= 1
    let length = header.total - DataHeader.byteCount
    let data: DataHeader? = pool.withBuffer(slot) { buffer in
      let frame = buffer.span.extracting(droppingFirst: PacketPool.headroom - DataHeader.byteCount).extracting(first: header.total)
      guard let read = try? DataHeader.read(frame), read.packet.count == length, read.header.sequence == header.sequence else { return nil }
      return read.header
    }
    guard let data else {
      pool.give(slot)
      refusedCount &+= 1
      return nil
    }
    pool[slot].length = length
    completedCount &+= 1
    return (data, slot)
  }

  package var nextDeadline: Instant? {
    guard openCount > 0 else { return nil }
    var first = Instant.distantFuture
    for i in 0..<Self.entryLimit where entries[i].slot != .none { first = min(first, entries[i].began) }
    return Instant(nanoseconds: first.nanoseconds &+ Self.timeLimit)
  }

  package mutating func advance(to now: Instant) {
    guard openCount > 0 else { return }
    for i in 0..<Self.entryLimit where entries[i].slot != .none && now.nanoseconds(since: entries[i].began) >= Self.timeLimit { abandon(i) }
  }

  private mutating func abandon(_ index: Int) {
    pool.give(entries[index].slot)
    entries[index] = Entry()
    openCount -= 1
    abandonedCount &+= 1
  }

  private mutating func entry(for header: FragmentHeader, _ path: PathID, at now: Instant) -> Int? {
    var free = -1
    var oldest = 0
    for i in 0..<Self.entryLimit {
      let entry = entries[i]
      if entry.slot == .none {
        if free < 0 { free = i }
      } else if entry.sequence == header.sequence, entry.path == path.rawValue, Int(entry.count) == header.count,
        Int(entry.total) == header.total
      {
        return i
      } else if entries[oldest].slot == .none || entry.began < entries[oldest].began {
        oldest = i
      }
    }
    if free < 0 {
      abandon(oldest)
      free = oldest
    }
    guard let slot = pool.take() else { return nil }
    entries[free] = Entry(
      slot: slot, path: path.rawValue, count: UInt8(header.count), total: UInt16(header.total), sequence: header.sequence, began: now)
    openCount += 1
    return free
  }
}
