package import CausewayBase

/// Makes lost packets again from REPAIR frames. Keeps copies of what arrives while a peer sends parity, and the parities of a few groups
/// that can't be solved yet: a late packet or a later parity may make it possible.
///
/// Give it each DATA packet once (not the duplicates), and every REPAIR frame; take `nextRecovered` after both.
@safe package struct RepairDecoder: ~Copyable {
  /// Packets remembered, by the low bits of their sequence; a slot each.
  package static let historyCount = 256
  /// Groups that wait for more; the oldest makes room.
  package static let groupLimit = 8
  /// How long copies are kept after the last sign of parity, nanoseconds.
  package static let idleLimit: UInt64 = 10_000_000_000

  private struct Known {
    var slot: PacketSlot = .none
    var header = DataHeader(bucket: 0, previous: 0, sequence: 0)
  }

  private struct Group {
    var first: UInt32 = 0
    var members: UInt64 = 0
    /// Slots with the parities' bytes, by number.
    var parities = InlineArray<3, PacketSlot>(repeating: .none)
    var isUsed: Bool { members != 0 }

    var parityCount: Int {
      var count = 0
      for i in 0..<3 where parities[i] != .none { count += 1 }
      return count
    }
  }

  private let pool: PacketPool
  private let known: UnsafeMutablePointer<Known>
  private var groups = InlineArray<8, Group>(repeating: Group())
  private var nextGroup = 0
  private var waitingCount = 0
  private var rows: ParityRows
  private var activeUntil: Instant = .zero
  private var readyFirst: PacketSlot = .none
  private var readyLast: PacketSlot = .none

  package private(set) var recoveredCount: UInt64 = 0
  /// Groups whose solution was no packet: the peer's fault.
  package private(set) var failedCount: UInt64 = 0
  /// Groups given up with packets missing.
  package private(set) var unsolvedCount: UInt64 = 0

  package init(pool: PacketPool) {
    self.pool = pool
    rows = ParityRows(packetByteCount: pool.packetByteCount)
    // SAFETY: `historyCount` entries, freed in deinit; indices are masked to that range.
    unsafe known = .allocate(capacity: Self.historyCount)
    unsafe known.initialize(repeating: Known(), count: Self.historyCount)
  }

  deinit {
    for i in 0..<Self.historyCount where unsafe known[i].slot != .none { unsafe pool.give(known[i].slot) }
    for i in 0..<Self.groupLimit { for j in 0..<3 where groups[i].parities[j] != .none { pool.give(groups[i].parities[j]) } }
    var ready = readyFirst
    while ready != .none {
      let next = pool[ready].next
      pool.give(ready)
      ready = next
    }
    unsafe known.deallocate()
  }

  /// The peer said that REPAIR frames will come (`OrderParameters.Flags.repairsFollow`).
  package mutating func activate(at now: Instant) { activeUntil = Instant(nanoseconds: now.nanoseconds &+ Self.idleLimit) }

  /// Nothing was said of parity for long: the copies are of no more use.
  package func isIdle(at now: Instant) -> Bool { activeUntil <= now }

  /// Remembers a packet that arrived.
  @inline(__always) package mutating func add(_ header: DataHeader, _ packet: Span<UInt8>, at now: Instant) {
    guard activeUntil > now else { return }
    remember(header, packet)
  }

  private mutating func remember(_ header: DataHeader, _ packet: Span<UInt8>) {
    let index = Int(header.sequence) & (Self.historyCount &- 1)
    guard packet.count <= pool.packetByteCount else { return }
    // SAFETY: masked to the history.
    var slot = unsafe known[index].slot
    if slot == .none {
      guard let taken = pool.take() else { return }
      slot = taken
    }
    copy(packet, to: slot)
    unsafe known[index] = Known(slot: slot, header: header)
    guard waitingCount > 0 else { return }
    for i in 0..<Self.groupLimit where groups[i].isUsed {
      let distance = header.sequence &- groups[i].first
      if distance < 64, groups[i].members &>> UInt64(distance) & 1 == 1 { solve(i) }
    }
  }

  private func copy(_ bytes: Span<UInt8>, to slot: PacketSlot) {
    pool[slot].length = bytes.count
    pool.withBuffer(slot) { buffer in
      for i in 0..<bytes.count { buffer[PacketPool.headroom &+ i] = bytes[i] }
    }
  }

  /// Takes a parity.
  package mutating func receive(_ header: RepairHeader, _ parity: Span<UInt8>, at now: Instant) {
    activate(at: now)
    // Behind the longest packet are zeros of padding only.
    let parity = parity.extracting(first: RepairHeader.prefixByteCount + pool.packetByteCount)
    guard header.parity < RepairHeader.parityLimit, header.members & 1 == 1, missing(header.first, header.members).count > 0 else { return }
    let index = group(header)
    guard groups[index].parities[header.parity] == .none, let slot = pool.take() else { return }
    groups[index].parities[header.parity] = slot
    // The prefix is longer than nothing: it lies in the headroom's last bytes, before the packet's place.
    pool[slot].length = parity.count - RepairHeader.prefixByteCount
    pool.withBuffer(slot) { buffer in
      let start = PacketPool.headroom - RepairHeader.prefixByteCount
      for i in 0..<parity.count { buffer[start + i] = parity[i] }
    }
    solve(index)
  }

  /// A packet made again: its bytes, length, and in `sequence`, `previous`, the low byte of `flowHash` and `flags` what its header said.
  /// The slot is the caller's.
  package mutating func nextRecovered() -> (slot: PacketSlot, header: DataHeader)? {
    guard readyFirst != .none else { return nil }
    let slot = readyFirst
    let info = pool[slot]
    readyFirst = info.next
    if readyFirst == .none { readyLast = .none }
    var flags: DataFlags = .copy
    if info.flags.contains(.checksumPartial) { flags.insert(.checksumPartial) }
    if info.copies > 0 { flags.insert(.unordered) }
    pool[slot].copies = 0
    return (
      slot,
      DataHeader(
        flags: flags, bucket: UInt8(truncatingIfNeeded: info.flowHash), previous: info.previous, sequence: info.sequence)
    )
  }

  // MARK: Inside

  private func isKnown(_ sequence: UInt32) -> Bool {
    // SAFETY: masked to the history.
    let entry = unsafe known[Int(sequence) & (Self.historyCount &- 1)]
    return entry.slot != .none && entry.header.sequence == sequence
  }

  /// Places of the members not known, up to four of them.
  private func missing(_ first: UInt32, _ members: UInt64) -> (count: Int, places: InlineArray<4, Int>) {
    var places = InlineArray<4, Int>(repeating: 0)
    var count = 0
    var left = members
    while left != 0, count < 4 {
      let place = left.trailingZeroBitCount
      left &= left &- 1
      if !isKnown(first &+ UInt32(place)) {
        places[count] = place
        count += 1
      }
    }
    return (count, places)
  }

  /// The group a parity belongs to; a new one takes the place of the oldest.
  private mutating func group(_ header: RepairHeader) -> Int {
    for i in 0..<Self.groupLimit where groups[i].first == header.first && groups[i].members == header.members { return i }
    let index = nextGroup
    nextGroup = (nextGroup + 1) % Self.groupLimit
    if groups[index].isUsed {
      unsolvedCount &+= 1
      forget(index)
    }
    groups[index].first = header.first
    groups[index].members = header.members
    waitingCount += 1
    return index
  }

  private mutating func forget(_ index: Int) {
    for j in 0..<3 where groups[index].parities[j] != .none { pool.give(groups[index].parities[j]) }
    groups[index] = Group()
    waitingCount -= 1
  }

  /// Makes the missing members of a group, if there are parities enough.
  private mutating func solve(_ index: Int) {
    let group = groups[index]
    let (count, places) = missing(group.first, group.members)
    guard count > 0 else { return forget(index) }
    guard count <= group.parityCount else { return }
    rows.clear()
    // Every member that is there, in order, as the encoder added them; parities then leave what is missing.
    var left = group.members
    while left != 0 {
      let sequence = group.first &+ UInt32(left.trailingZeroBitCount)
      left &= left &- 1
      if isKnown(sequence) {
        // SAFETY: masked to the history.
        let entry = unsafe known[Int(sequence) & (Self.historyCount &- 1)]
        let prefix = ParityRows.prefix(entry.header, length: pool[entry.slot].length)
        let table = pool
        table.withPacket(entry.slot) { rows.add(prefix: prefix, $0) }
      } else {
        rows.addNothing()
      }
    }
    var rowNumbers = InlineArray<3, Int>(repeating: 0)
    var matrix = InlineArray<3, InlineArray<3, UInt8>>(repeating: .init(repeating: 0))
    var used = 0
    for parity in 0..<3 where used < count && group.parities[parity] != .none {
      let slot = group.parities[parity]
      let length = pool[slot].length + RepairHeader.prefixByteCount
      pool.withBuffer(slot) { buffer in
        rows.subtract(
          buffer.span.extracting(droppingFirst: PacketPool.headroom - RepairHeader.prefixByteCount).extracting(first: length), from: parity)
      }
      rowNumbers[used] = parity
      for unknown in 0..<count {
        let behind = ((group.members &>> UInt64(places[unknown])) &>> 1).nonzeroBitCount
        matrix[used][unknown] = GaloisField.power(GaloisField.power(2, parity), behind)
      }
      used += 1
    }
    if let inverse = GaloisField.inverse(of: matrix, size: count) {
      for unknown in 0..<count { make(group.first &+ UInt32(places[unknown]), rowNumbers, inverse[unknown], count) }
    }
    forget(index)
  }

  private mutating func make(_ sequence: UInt32, _ rowNumbers: InlineArray<3, Int>, _ factors: InlineArray<3, UInt8>, _ count: Int) {
    let prefix = rows.combined(0, rows: rowNumbers, factors: factors, count: count)
    let length = Int(prefix & 0xFFFF)
    guard prefix >> 48 == 0, let header = DataHeader(word: prefix >> 16 | UInt64(sequence) << 32), length >= 20,
      length <= pool.packetByteCount, let slot = pool.take()
    else {
      failedCount &+= 1
      return
    }
    pool[slot].length = length
    pool.withBuffer(slot) { buffer in
      for i in 0..<(length + 7) / 8 {
        let word = rows.combined(i + 1, rows: rowNumbers, factors: factors, count: count)
        for j in 0..<min(8, length - 8 * i) {
          buffer[PacketPool.headroom + 8 * i + j] = UInt8(truncatingIfNeeded: word >> UInt64(8 * j))
        }
      }
    }
    guard pool.withPacket(slot, { InnerPacket.byteCount($0, at: 0) }) == length else {
      failedCount &+= 1
      pool.give(slot)
      return
    }
    pool[slot].sequence = sequence
    pool[slot].previous = header.previous
    pool[slot].flowHash = UInt32(header.bucket)
    if header.flags.contains(.checksumPartial) { pool[slot].flags.insert(.checksumPartial) }
    pool[slot].copies = header.flags.contains(.unordered) ? 1 : 0
    pool[slot].next = .none
    if readyLast == .none { readyFirst = slot } else { pool[readyLast].next = slot }
    readyLast = slot
    recoveredCount &+= 1
    keep(header, slot)
  }

  /// Counts a packet made again among the known, so that another parity of its group makes nothing of it.
  private mutating func keep(_ header: DataHeader, _ slot: PacketSlot) {
    let index = Int(header.sequence) & (Self.historyCount &- 1)
    // SAFETY: masked to the history.
    guard let copy = unsafe known[index].slot == .none ? pool.take() : known[index].slot else { return }
    let table = pool
    table.withPacket(slot) { self.copy($0, to: copy) }
    unsafe known[index] = Known(slot: copy, header: header)
  }
}
