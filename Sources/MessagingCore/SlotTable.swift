/// What a `SlotTable` needs of its records.
protocol SlotRecord: BitwiseCopyable {
  init()
  /// How often the place was given out.
  var generation: UInt32 { get set }
  var isLive: Bool { get set }
  /// The next free place, of a free one.
  var nextFree: Slot { get set }
}

extension SlotRecord {
  /// Returns the next free place.
  @inline(__always) mutating func revive() -> Slot {
    isLive = true
    generation &+= 1
    return nextFree
  }

  @inline(__always) mutating func retire(_ next: Slot) {
    isLive = false
    nextFree = next
  }
}

/// Records with dense places that are reused last in, first out. Grows, never shrinks.
struct SlotTable<Record: SlotRecord>: ~Copyable, Sendable {
  private var records: Slab<Record>
  private var firstFree: Slot = .none
  /// Places that were ever given out.
  private(set) var used: UInt32 = 0
  private(set) var count = 0

  init(capacity: Int) { records = Slab(capacity: UInt32(clamping: max(capacity, 4)), filledWith: Record()) }

  var capacity: UInt32 { records.capacity }

  subscript(slot: Slot) -> Record {
    @inline(__always) get { records[slot] }
    @inline(__always) _modify { yield &records[slot] }
  }

  @inline(__always) func holds(_ slot: Slot, _ generation: UInt32) -> Bool {
    slot < used && records[slot].isLive && records[slot].generation == generation
  }

  /// A place whose record is as its last owner left it, but for `isLive` and `generation`.
  @inline(__always) mutating func allocate() -> Slot {
    count += 1
    if firstFree != .none {
      let slot = firstFree
      firstFree = records[slot].revive()
      return slot
    }
    let slot = used
    if slot == records.capacity { records.reserve(slot + 1) }
    used += 1
    _ = records[slot].revive()
    return slot
  }

  @inline(__always) mutating func free(_ slot: Slot) {
    records[slot].retire(firstFree)
    firstFree = slot
    count -= 1
  }
}
