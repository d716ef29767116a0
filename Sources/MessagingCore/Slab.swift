/// A growable array of plain records, named by slot. Indexing checks the bound and nothing else: no reference count, no uniqueness test.
/// It is memory of this value alone, so it may move to another thread with it.
@safe struct Slab<Record: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
  private var records: UnsafeMutablePointer<Record>
  private(set) var capacity: UInt32
  private let vacant: Record

  /// - Parameter vacant: What unused places hold.
  init(capacity: UInt32, filledWith vacant: Record) {
    // SAFETY: owned by this value, which cannot be copied; replaced only in `reserve`, freed in `deinit`; every place is initialized.
    unsafe records = .allocate(capacity: Int(capacity))
    unsafe records.initialize(repeating: vacant, count: Int(capacity))
    self.capacity = capacity
    self.vacant = vacant
  }

  deinit { unsafe records.deallocate() }

  subscript(slot: Slot) -> Record {
    @inline(__always) get {
      precondition(slot < capacity, "a slot outside its table")
      // SAFETY: the bound is checked above.
      return unsafe records[Int(slot)]
    }
    @inline(__always) _modify {
      precondition(slot < capacity, "a slot outside its table")
      // SAFETY: the bound is checked above.
      yield unsafe &records[Int(slot)]
    }
  }

  /// Makes room for at least `count` records, at least doubling.
  mutating func reserve(_ count: UInt32) {
    if count <= capacity { return }
    let newCapacity = max(count, capacity &* 2)
    // SAFETY: fresh memory, the old records copied and the rest filled before use; the old memory is freed after its last read.
    let fresh = UnsafeMutablePointer<Record>.allocate(capacity: Int(newCapacity))
    unsafe fresh.initialize(from: records, count: Int(capacity))
    unsafe (fresh + Int(capacity)).initialize(repeating: vacant, count: Int(newCapacity - capacity))
    unsafe records.deallocate()
    unsafe records = fresh
    capacity = newCapacity
  }
}
