package import CausewayBase

/// The receiver's order of arrival, one for each peer, direction and sequence space.
///
/// Packets are told apart by bucket (a hash of the flow), and only a bucket with a gap waits: a packet is delivered when the one that its
/// header names as previous has been. What waits is released, in order, when the gap closes, when the sender skips it, or `holdLimit`
/// after its arrival, whatever comes in between. What comes later still is delivered at once.
///
/// ```swift
/// switch order.receive(header, at: now) {
/// case .deliver, .late: deliver(packet)
/// case .hold: order.hold(slotWithACopy, header, at: now)
/// case .duplicate: break
/// }
/// while let slot = order.nextReleased() { deliver(slot); pool.give(slot) }
/// ```
@safe package struct ReorderBuffer: ~Copyable {
  package enum Verdict: UInt8, Sendable {
    /// In its place.
    case deliver
    /// Its place is past; deliver it all the same, TCP wants it.
    case late
    /// Copy it to a slot and call `hold`. Without a free slot deliver it as if late.
    case hold
    /// Drop it.
    case duplicate
  }

  package static let bucketCount = 256
  /// No packet is ever held longer, whatever a peer asks for.
  package static let holdLimitCap: UInt64 = 300_000_000
  package static let holdLimitFloor: UInt64 = 1_000_000
  /// Bytes of slots held for one peer; when full, the packet held longest and those before it in its bucket go.
  package static let memoryLimitCap = 16 * 1024 * 1024
  /// Steps to find a packet's place among those held in its bucket, each way of looking; a peer that wants more gets no order.
  static let searchLimit = 1024
  static let tableCountLimit = SequenceWindow.bitCount
  /// Sequences this far behind a bucket's are late; others are to come, for a bucket that slept long.
  static let lateReach: UInt32 = 2 * UInt32(SequenceWindow.bitCount)

  /// Buckets are looked after this often, and none falls further behind than a quarter of the number space, so that a flow which sleeps
  /// while the others wrap around is not taken for late when it wakes.
  static let sweepInterval: UInt32 = 1 << 20
  static let sleepReach: UInt32 = 1 << 30

  struct Bucket {
    /// The last packet delivered, or the last one not waited for any more.
    var released: UInt32 = 0
    /// Held packets by sequence, linked by `next`.
    var first: PacketSlot = .none
    var last: PacketSlot = .none
  }

  let pool: PacketPool
  let buckets: UnsafeMutablePointer<Bucket>
  private var window = SequenceWindow()
  private var nextSweep = sweepInterval
  /// Held packets by the low bits of their sequence. Grows with the span of what is held.
  var table: UnsafeMutablePointer<PacketSlot>
  /// Zero or a power of two.
  var tableCount = 0
  /// All held packets by arrival, linked by `earlier` and `later`.
  private var oldest: PacketSlot = .none
  private var newest: PacketSlot = .none
  /// Released packets, linked by `next`.
  private var readyFirst: PacketSlot = .none
  private var readyLast: PacketSlot = .none

  /// Nanoseconds; see `update`.
  package private(set) var holdLimit: UInt64 = 50_000_000
  package private(set) var memoryLimit = memoryLimitCap
  package private(set) var heldCount = 0
  package internal(set) var counters = OrderCounters()

  package init(pool: PacketPool) {
    self.pool = pool
    // SAFETY: `bucketCount` buckets, indexed by a byte, and an empty table; both freed in deinit.
    unsafe buckets = .allocate(capacity: Self.bucketCount)
    unsafe buckets.initialize(repeating: Bucket(), count: Self.bucketCount)
    unsafe table = .allocate(capacity: 0)
  }

  deinit {
    var slot = oldest
    while slot != .none {
      let later = pool[slot].later
      pool.give(slot)
      slot = later
    }
    slot = readyFirst
    while slot != .none {
      let next = pool[slot].next
      pool.give(slot)
      slot = next
    }
    unsafe buckets.deallocate()
    unsafe table.deallocate()
  }

  /// Limits as the sender asks for them, cut to this side's own.
  package mutating func update(holdLimit wish: UInt64, memoryByteCount: Int = memoryLimitCap) {
    holdLimit = max(Self.holdLimitFloor, min(Self.holdLimitCap, wish))
    memoryLimit = max(pool.stride, min(Self.memoryLimitCap, memoryByteCount))
  }

  package var heldByteCount: Int { heldCount &* pool.stride }
  /// The newest sequence seen.
  package var highest: UInt32 { window.highest }

  // MARK: Packets in

  /// Decides about a packet whose payload stays where it is. Afterwards, and after `hold`, drain `nextReleased`.
  @inline(__always) package mutating func receive(_ header: DataHeader, at now: Instant) -> Verdict {
    guard window.accept(header.sequence) else {
      counters.duplicates &+= 1
      return .duplicate
    }
    if Int32(bitPattern: header.sequence &- nextSweep) > 0 { sweep() }
    if header.flags.contains(.unordered) {
      counters.delivered &+= 1
      return .deliver
    }
    let index = Int(header.bucket)
    // SAFETY: a byte indexes 256 buckets.
    let bucket = unsafe buckets[index]
    let distance = header.sequence &- bucket.released
    guard Self.isAhead(distance) else {
      counters.late &+= 1
      return .late
    }
    if header.flags.contains(.copy), header.sequence != window.highest { counters.repaired &+= 1 }
    if distance > UInt32(header.previous) {
      // Without a previous packet it need not wait, but those held before it go first.
      guard header.previous == 0, bucket.first == .none || Int32(bitPattern: pool[bucket.first].sequence &- header.sequence) > 0 else {
        return .hold
      }
    }
    unsafe buckets[index].released = header.sequence
    counters.delivered &+= 1
    if bucket.first != .none { cascade(index, at: now) }
    return .deliver
  }

  /// Keeps a copy of a packet for which `receive` said `hold`. The slot belongs to the buffer until `nextReleased` gives it back.
  package mutating func hold(_ slot: PacketSlot, _ header: DataHeader, at now: Instant) {
    let index = Int(header.bucket)
    pool[slot].sequence = header.sequence
    pool[slot].previous = header.previous
    pool[slot].flowHash = UInt32(header.bucket)
    pool[slot].enqueuedAt = now
    if header.flags.contains(.checksumPartial) { pool[slot].flags.insert(.checksumPartial) }
    counters.held &+= 1
    enter(slot)
    guard insert(slot, bucket: index) else {
      // Nowhere to put it within reason: it goes out now.
      leave(slot)
      counters.overflows &+= 1
      append(ready: slot, at: now)
      return
    }
    let first = unsafe buckets[index].first
    if header.previous == 0 {
      release(index, through: header.sequence, at: now)
    } else if first == slot {
      cascade(index, at: now)
    }
    while heldByteCount > memoryLimit { _ = releaseOldest(at: now) }
  }

  /// The next packet to deliver, with its bytes, length and checksum flag; the caller gives the slot back to the pool.
  @inline(__always) package mutating func nextReleased() -> PacketSlot? {
    guard readyFirst != .none else { return nil }
    let slot = readyFirst
    readyFirst = pool[slot].next
    if readyFirst == .none { readyLast = .none }
    return slot
  }

  /// The sender abandons what it has not delivered of the bucket, up to and with the given sequence.
  package mutating func skip(_ frame: Skip, at now: Instant) {
    let index = Int(frame.bucket)
    let distance = unsafe frame.sequence &- buckets[index].released
    guard Self.isAhead(distance), frame.sequence &- window.highest &+ Self.lateReach < 2 &* Self.lateReach else { return }
    counters.skipped &+= 1
    release(index, through: frame.sequence, at: now, isGivenUp: false)
    unsafe buckets[index].released = frame.sequence
    cascade(index, at: now)
  }

  /// Makes room: gives up the gaps before the packet held longest. False when nothing is held.
  package mutating func releaseOldest(at now: Instant) -> Bool {
    guard oldest != .none else { return false }
    counters.overflows &+= 1
    release(through: oldest, at: now)
    return true
  }

  /// The peer began anew: everything held is released in order of arrival, and sequences start over.
  package mutating func reset(at now: Instant) {
    while releaseOldest(at: now) {}
    window.reset()
    nextSweep = Self.sweepInterval
    // SAFETY: `bucketCount` buckets.
    for i in 0..<Self.bucketCount { unsafe buckets[i] = Bucket() }
  }

  // MARK: Time

  package var nextDeadline: Instant? {
    oldest == .none ? nil : Instant(nanoseconds: pool[oldest].enqueuedAt.nanoseconds &+ holdLimit)
  }

  /// Releases what was held to its limit. Drain `nextReleased` afterwards.
  package mutating func advance(to now: Instant) {
    while oldest != .none, now.nanoseconds(since: pool[oldest].enqueuedAt) >= holdLimit { release(through: oldest, at: now) }
  }

  // MARK: Inside

  private mutating func sweep() {
    nextSweep = window.highest &+ Self.sweepInterval
    for i in 0..<Self.bucketCount {
      // SAFETY: `bucketCount` buckets.
      let bucket = unsafe buckets[i]
      if bucket.first == .none, window.highest &- bucket.released > Self.sleepReach {
        unsafe buckets[i].released = window.highest &- Self.sleepReach
      }
    }
  }

  /// Whether a distance from `released` means a packet still to come. A bucket may have slept for most of the number space: only the
  /// last stretch before `released` is the past.
  @inline(__always) private static func isAhead(_ distance: UInt32) -> Bool { distance &- 1 < UInt32.max &- lateReach }

  /// Releases what no longer waits, from the bucket's first held packet on.
  private mutating func cascade(_ index: Int, at now: Instant) {
    // SAFETY: callers pass a byte.
    var bucket = unsafe buckets[index]
    while bucket.first != .none {
      let slot = bucket.first
      let info = pool[slot]
      let distance = info.sequence &- bucket.released
      guard distance <= UInt32(info.previous) || info.previous == 0 || !Self.isAhead(distance) else { break }
      bucket.first = info.next
      if Self.isAhead(distance) { bucket.released = info.sequence }
      leave(slot)
      append(ready: slot, at: now)
    }
    if bucket.first == .none { bucket.last = .none }
    unsafe buckets[index] = bucket
  }

  /// Releases held packets up to and with `sequence`, gaps or not, and what can follow them.
  private mutating func release(_ index: Int, through sequence: UInt32, at now: Instant, isGivenUp: Bool = true) {
    // SAFETY: callers pass a byte.
    var bucket = unsafe buckets[index]
    while bucket.first != .none {
      let slot = bucket.first
      let info = pool[slot]
      guard Int32(bitPattern: sequence &- info.sequence) >= 0 else { break }
      let distance = info.sequence &- bucket.released
      if isGivenUp, distance > UInt32(info.previous), info.previous != 0, Self.isAhead(distance) { counters.gaveUp &+= 1 }
      bucket.first = info.next
      if Self.isAhead(distance) { bucket.released = info.sequence }
      leave(slot)
      append(ready: slot, at: now)
    }
    if bucket.first == .none { bucket.last = .none }
    unsafe buckets[index] = bucket
    cascade(index, at: now)
  }

  /// Releases a held packet and those before it in its bucket.
  mutating func release(through slot: PacketSlot, at now: Instant) {
    let info = pool[slot]
    let index = Int(info.flowHash & 255)
    release(index, through: info.sequence, at: now)
    // A peer that leaps through half the number space within the hold limit can spoil the list's order: then all of it goes.
    guard heldSlot(info.sequence) == slot else { return }
    // SAFETY: masked to a byte.
    while unsafe buckets[index].first != .none {
      let first = unsafe buckets[index].first
      unsafe buckets[index].first = pool[first].next
      leave(first)
      append(ready: first, at: now)
    }
    unsafe buckets[index] = Bucket(released: window.highest)
  }

  private mutating func append(ready slot: PacketSlot, at now: Instant) {
    let delay = now.nanoseconds(since: pool[slot].enqueuedAt)
    counters.released &+= 1
    counters.delaySum &+= delay
    counters.delayMaximum = max(counters.delayMaximum, delay)
    counters.recentDelay.add(delay, at: now)
    pool[slot].next = .none
    if readyLast == .none { readyFirst = slot } else { pool[readyLast].next = slot }
    readyLast = slot
  }

  /// Into the arrival list.
  private mutating func enter(_ slot: PacketSlot) {
    pool[slot].earlier = newest
    pool[slot].later = .none
    if newest == .none { oldest = slot } else { pool[newest].later = slot }
    newest = slot
    heldCount &+= 1
  }

  /// Out of the arrival list and the table.
  private mutating func leave(_ slot: PacketSlot) {
    let info = pool[slot]
    if info.earlier == .none { oldest = info.later } else { pool[info.earlier].later = info.later }
    if info.later == .none { newest = info.earlier } else { pool[info.later].earlier = info.earlier }
    heldCount &-= 1
    guard tableCount > 0 else { return }
    let place = Int(info.sequence) & (tableCount &- 1)
    // SAFETY: masked to the table, whose size is a power of two.
    if unsafe table[place] == slot { unsafe table[place] = .none }
  }
}
