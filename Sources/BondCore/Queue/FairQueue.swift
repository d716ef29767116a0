package import CausewayBase
import CausewayWire

/// The backlog of a bond, one for each peer and thread. A TUN device gives no back-pressure, so this is where packets wait, and where
/// the inner senders are told: FQ-CoDel (RFC 8290) with 1024 flows by hash, deficit round robin by a settable quantum, flows that begin
/// served first (urgent ones before all), CoDel for each flow while the caller says that every path is busy, and when the limit is
/// reached, a loss at the head of the fattest flow.
///
/// Packets of one flow leave in the order they came. Dropped slots go back to the pool.
@safe package struct FairQueue: ~Copyable {
  package static let flowCount = 1024
  /// Beyond this no limit can be set.
  package static let byteLimitCap = 8 * 1024 * 1024

  package struct Head: Equatable, Sendable {
    package let slot: PacketSlot
    /// Its flow began a moment ago, or the packet is marked urgent.
    package let isSparse: Bool
    /// Its flow sent much within the last second: a packet that finds nothing before it is no beginning.
    package let isBulk: Bool
    /// And hardly anything just now.
    package let isQuiet: Bool
    /// A TCP segment of a connection that was opened a moment ago, by whose delay its sender judges the way for seconds.
    package let isBeginning: Bool
    /// Its flow sent nothing for a while.
    package let isAlone: Bool
  }

  private enum Place: UInt8 { case none, urgent, new, old }

  private struct Flow {
    var first: PacketSlot = .none
    var last: PacketSlot = .none
    var deficit: Int32 = 0
    var next: UInt16 = 0
    var place = Place.none
    var control = CoDel()
    var meter = FlowMeter()
  }

  /// Flows in order of service, linked by `Flow.next`. Holds flow numbers; `count` tells empty from flow 0.
  private struct FlowList {
    var first: UInt16 = 0
    var last: UInt16 = 0
    var count = 0

    @unsafe mutating func append(_ index: Int, _ flows: UnsafeMutablePointer<Flow>) {
      // SAFETY: callers pass flow numbers, and lists hold them.
      if count == 0 { first = UInt16(index) } else { unsafe flows[Int(last)].next = UInt16(index) }
      last = UInt16(index)
      count &+= 1
    }
  }

  private let pool: PacketPool
  private let flows: UnsafeMutablePointer<Flow>
  /// Bytes of each flow, apart from the rest, so that the fattest is found in one sweep over 4 KiB.
  private let byteCounts: UnsafeMutablePointer<UInt32>
  private var urgent = FlowList()
  private var new = FlowList()
  private var old = FlowList()
  /// The flow whose head `peek` chose, or -1.
  private var chosen = -1

  package private(set) var byteCount = 0
  package private(set) var packetCount = 0
  package private(set) var counters = QueueCounters()
  /// Bytes a flow may send before the next has its turn: a run. RFC 8290's 1514 serves latency, 64 KiB speed.
  package var quantum: Int32 = 2 * 1514
  /// Most bytes that wait. The engine sets min(8 MiB, 100 ms of all paths).
  package var byteLimit = 1024 * 1024 { didSet { byteLimit = max(1, min(Self.byteLimitCap, byteLimit)) } }
  /// Most packets that wait; small ones take slots too.
  package var packetLimit = 8192
  /// Whether the last look found no path that could take anything. CoDel acts only then: what waits while one could is there by the
  /// scheduler's choice, and no reason to punish a flow.
  package var isEveryPathBusy = false
  package var tempo = CoDel.Tempo(roundTrip: 0)
  /// Nanoseconds that pacing alone makes a packet wait.
  package var pacingGrain: UInt64 = 1_000_000

  package init(pool: PacketPool) {
    self.pool = pool
    // SAFETY: `flowCount` of each, freed in deinit; every index is masked to that range.
    unsafe flows = .allocate(capacity: Self.flowCount)
    unsafe flows.initialize(repeating: Flow(), count: Self.flowCount)
    unsafe byteCounts = .allocate(capacity: Self.flowCount)
    unsafe byteCounts.initialize(repeating: 0, count: Self.flowCount)
  }

  deinit {
    for flow in 0..<Self.flowCount {
      var slot = unsafe flows[flow].first
      while slot != .none {
        let next = pool[slot].next
        pool.give(slot)
        slot = next
      }
    }
    unsafe flows.deallocate()
    unsafe byteCounts.deallocate()
  }

  package var isEmpty: Bool { packetCount == 0 }

  // MARK: In

  /// Takes the slot: its `length`, `flowHash` and `flags` are set, `enqueuedAt` is set here. May drop packets of the fattest flow, this
  /// one among them.
  @inline(__always) package mutating func enqueue(_ slot: PacketSlot, at now: Instant) {
    pool[slot].enqueuedAt = now
    pool[slot].next = .none
    let info = pool[slot]
    let index = Int(info.flowHash) & (Self.flowCount &- 1)
    // SAFETY: masked to `flowCount`.
    let last = unsafe flows[index].last
    if last == .none {
      unsafe flows[index].first = slot
    } else {
      pool[last].next = slot
    }
    unsafe flows[index].last = slot
    unsafe byteCounts[index] &+= UInt32(truncatingIfNeeded: info.length)
    byteCount &+= info.length
    packetCount &+= 1
    counters.enqueued &+= 1
    if unsafe flows[index].place == .none { begin(index, isUrgent: info.flags.contains(.urgent)) }
    if byteCount > byteLimit || packetCount > packetLimit { shrink() }
  }

  private mutating func begin(_ index: Int, isUrgent: Bool) {
    chosen = -1
    // SAFETY: the caller masked it.
    unsafe flows[index].deficit = quantum
    if isUrgent {
      unsafe flows[index].place = .urgent
      unsafe urgent.append(index, flows)
    } else {
      unsafe flows[index].place = .new
      unsafe new.append(index, flows)
    }
  }

  // MARK: Out

  /// What `dequeue` would give. CoDel acts here: it may mark the packet, or drop others before it.
  @inline(__always) package mutating func peek(at now: Instant) -> Head? {
    if chosen < 0 {
      guard choose(at: now) else { return nil }
    }
    // SAFETY: `choose` gives a flow with a packet.
    let slot = unsafe flows[chosen].first
    let isSparse = unsafe flows[chosen].place != .old
    let meter = unsafe flows[chosen].meter
    let flags = pool[slot].flags
    return Head(
      slot: slot, isSparse: isSparse || flags.contains(.urgent), isBulk: meter.isTransfer(at: now),
      isQuiet: meter.isQuietTransfer(at: now),
      isBeginning: flags.contains(.stream) && (flags.contains(.opening) || meter.isBeginning(at: now)),
      isAlone: meter.isIdle(at: now))
  }

  /// The next packet; its slot is the caller's.
  @inline(__always) package mutating func dequeue(at now: Instant) -> PacketSlot? {
    if chosen < 0 {
      guard choose(at: now) else { return nil }
    }
    let index = chosen
    let slot = removeFirst(of: index)
    let info = pool[slot]
    unsafe flows[index].deficit &-= Int32(truncatingIfNeeded: info.length)
    if info.flags.contains(.opening) { unsafe flows[index].meter.open(at: now) }
    unsafe flows[index].meter.add(info.length, at: now)
    chosen = -1
    counters.dequeued &+= 1
    let sojourn = now.nanoseconds(since: info.enqueuedAt)
    counters.sojournSum &+= sojourn
    if sojourn > counters.sojournMaximum { counters.sojournMaximum = sojourn }
    return slot
  }

  /// Drops what has waited since before `limit`: no path took it, and what is newer is worth more.
  package mutating func expire(before limit: Instant) {
    guard packetCount > 0 else { return }
    for index in 0..<Self.flowCount {
      while true {
        // SAFETY: below `flowCount`.
        let slot = unsafe flows[index].first
        guard slot != .none, pool[slot].enqueuedAt < limit else { break }
        drop(removeFirst(of: index), of: index)
        counters.expired &+= 1
      }
    }
  }

  /// The pool has no slot left: drops the head of the fattest flow. False when nothing waits.
  package mutating func dropFattest() -> Bool {
    guard packetCount > 0 else { return false }
    let index = fattest
    drop(removeFirst(of: index), of: index)
    counters.overflowed &+= 1
    return true
  }

  /// The longest sojourn since the last call, nanoseconds.
  package mutating func takeSojournMaximum() -> UInt64 {
    defer { counters.sojournMaximum = 0 }
    return counters.sojournMaximum
  }

  // MARK: Inside

  /// Chooses the flow whose turn it is (RFC 8290 §4.2) and lets CoDel judge its head. Each turn around a list raises every deficit by a
  /// quantum, so the loop ends after as many turns as the longest packet has quanta.
  private mutating func choose(at now: Instant) -> Bool {
    while true {
      let place: Place
      let index: Int
      if urgent.count > 0 {
        (place, index) = (.urgent, Int(urgent.first))
      } else if new.count > 0 {
        (place, index) = (.new, Int(new.first))
      } else if old.count > 0 {
        (place, index) = (.old, Int(old.first))
      } else {
        return false
      }
      // SAFETY: lists hold flow numbers.
      if unsafe flows[index].deficit <= 0 {
        unsafe flows[index].deficit &+= max(1, quantum)
        move(index, from: place, to: .old)
        continue
      }
      if unsafe flows[index].first != .none { control(index, at: now) }
      if unsafe flows[index].first == .none {
        // A flow that began goes once around with the others before it may begin again, or they would starve (§4.2).
        move(index, from: place, to: place == .old || old.count == 0 ? .none : .old)
        continue
      }
      chosen = index
      return true
    }
  }

  /// CoDel at the head of a flow that has one.
  private mutating func control(_ index: Int, at now: Instant) {
    guard isEveryPathBusy else {
      // SAFETY: lists hold flow numbers.
      unsafe flows[index].control.rest()
      return
    }
    while true {
      // SAFETY: as above.
      let slot = unsafe flows[index].first
      guard slot != .none else { break }
      let waited = now.nanoseconds(since: pool[slot].enqueuedAt)
      let sojourn = waited > pacingGrain ? waited &- pacingGrain : 0
      let backlog = unsafe Int(byteCounts[index])
      guard unsafe flows[index].control.judge(sojourn: sojourn, backlog: backlog, tempo, at: now) == .punish else { break }
      let length = pool[slot].length
      let isMarked =
        length >= IPHeader.version4ByteCount
        && pool.withBuffer(slot) { buffer in
          var packet = buffer._mutatingExtracting(PacketPool.headroom..<PacketPool.headroom + length)
          return ECN.markCongestion(&packet)
        }
      if isMarked {
        counters.marked &+= 1
        break
      }
      drop(removeFirst(of: index), of: index)
      counters.controlled &+= 1
    }
  }

  @inline(__always) private mutating func removeFirst(of index: Int) -> PacketSlot {
    // SAFETY: callers pass a flow number whose flow has a packet; the pool checks the slot.
    let slot = unsafe flows[index].first
    let info = pool[slot]
    unsafe flows[index].first = info.next
    if info.next == .none { unsafe flows[index].last = .none }
    unsafe byteCounts[index] &-= UInt32(truncatingIfNeeded: info.length)
    byteCount &-= info.length
    packetCount &-= 1
    return slot
  }

  private mutating func drop(_ slot: PacketSlot, of index: Int) {
    pool.give(slot)
    if chosen == index { chosen = -1 }
  }

  private mutating func shrink() {
    while byteCount > byteLimit || packetCount > packetLimit {
      guard dropFattest() else { return }
    }
  }

  private var fattest: Int {
    var greatest: UInt32 = 0
    // SAFETY: below `flowCount`. Two plain sweeps, which the compiler turns into vector instructions; only a full queue pays for them.
    for index in 0..<Self.flowCount { greatest = unsafe max(greatest, byteCounts[index]) }
    for index in 0..<Self.flowCount where unsafe byteCounts[index] == greatest && flows[index].first != .none { return index }
    return 0
  }

  /// Moves the first flow of one list to the end of another, or out.
  private mutating func move(_ index: Int, from: Place, to: Place) {
    // SAFETY: callers pass flow numbers.
    let next = unsafe flows[index].next
    switch from {
    case .urgent: (urgent.first, urgent.count) = (next, urgent.count &- 1)
    case .new: (new.first, new.count) = (next, new.count &- 1)
    default: (old.first, old.count) = (next, old.count &- 1)
    }
    unsafe flows[index].place = to
    if to == .old {
      unsafe old.append(index, flows)
    } else {
      unsafe flows[index].control.rest()
    }
  }
}
