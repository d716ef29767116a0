import CausewayBase

/// Where held packets are: a table by sequence, and each bucket's list by sequence. A place is found in few steps or not at all.
extension ReorderBuffer {
  func heldSlot(_ sequence: UInt32) -> PacketSlot {
    guard tableCount > 0 else { return .none }
    // SAFETY: masked to the table, whose size is a power of two.
    return unsafe table[Int(sequence) & (tableCount &- 1)]
  }

  func held(_ sequence: UInt32, bucket: UInt32) -> PacketSlot? {
    let slot = heldSlot(sequence)
    guard slot != .none, pool[slot].sequence == sequence, pool[slot].flowHash == bucket else { return nil }
    return slot
  }

  /// Puts a held packet into the table and, by sequence, into its bucket's list. False when its place can't be found in few steps.
  mutating func insert(_ slot: PacketSlot, bucket index: Int) -> Bool {
    let info = pool[slot]
    makePlace(for: info.sequence, at: info.enqueuedAt)
    // SAFETY: the caller passes a byte.
    let bucket = unsafe buckets[index]
    if bucket.last == .none {
      pool[slot].next = .none
      unsafe buckets[index].first = slot
      unsafe buckets[index].last = slot
    } else if Int32(bitPattern: info.sequence &- pool[bucket.last].sequence) > 0 {
      pool[slot].next = .none
      pool[bucket.last].next = slot
      unsafe buckets[index].last = slot
    } else if Int32(bitPattern: info.sequence &- pool[bucket.first].sequence) < 0 {
      pool[slot].next = bucket.first
      unsafe buckets[index].first = slot
    } else {
      guard let before = neighbour(of: info, first: bucket.first) else { return false }
      pool[slot].next = pool[before].next
      pool[before].next = slot
    }
    // SAFETY: masked to the table, which `makePlace` made.
    unsafe table[Int(info.sequence) & (tableCount &- 1)] = slot
    return true
  }

  /// The held packet of the bucket with the greatest sequence below the given one's: usually the one it names as its previous, else the
  /// first found going back number by number, else walking the list.
  private func neighbour(of info: PacketInfo, first: PacketSlot) -> PacketSlot? {
    var before = info.previous == 0 ? nil : held(info.sequence &- UInt32(info.previous), bucket: info.flowHash)
    if before == nil {
      let reach = min(UInt32(Self.searchLimit), info.sequence &- pool[first].sequence)
      var back: UInt32 = 1
      while before == nil, back <= reach {
        before = held(info.sequence &- back, bucket: info.flowHash)
        back &+= 1
      }
    }
    var at = before ?? first
    for _ in 0..<Self.searchLimit {
      let next = pool[at].next
      if next == .none || Int32(bitPattern: pool[next].sequence &- info.sequence) > 0 { return at }
      at = next
    }
    return nil
  }

  /// Sees to it that the table's place for `sequence` is free: grows it, or at its greatest lets go of the packet that is there.
  private mutating func makePlace(for sequence: UInt32, at now: Instant) {
    if tableCount == 0 { resizeTable(to: 1024) }
    while true {
      // SAFETY: masked to the table, whose size is a power of two.
      let other = unsafe table[Int(sequence) & (tableCount &- 1)]
      if other == .none { return }
      if tableCount < Self.tableCountLimit {
        resizeTable(to: tableCount * 2)
      } else {
        counters.overflows &+= 1
        release(through: other, at: now)
      }
    }
  }

  private mutating func resizeTable(to count: Int) {
    let old = unsafe table
    // SAFETY: the new table is filled before use; the old one is freed here and nowhere else.
    unsafe table = .allocate(capacity: count)
    unsafe table.initialize(repeating: .none, count: count)
    for place in 0..<tableCount {
      let slot = unsafe old[place]
      if slot != .none { unsafe table[Int(pool[slot].sequence) & (count - 1)] = slot }
    }
    unsafe old.deallocate()
    tableCount = count
  }
}
