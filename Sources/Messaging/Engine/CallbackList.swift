/// Callbacks and what each is told, in order. Taken out without counting a reference, kept without allocating: an array of pairs would
/// wrap every closure in another one.
@safe struct CallbackList: ~Copyable {
  @safe private struct Entry {
    var callback: @Sendable (Completion) -> Void
    var completion: Completion
  }
  private static let keptCapacity = 4096

  private var entries: UnsafeMutablePointer<Entry>
  private var capacity = 64
  private var count = 0

  init() {
    // SAFETY: entries[..<count] are initialised; freed in deinit, replaced in `grow`.
    unsafe entries = .allocate(capacity: capacity)
  }

  deinit {
    unsafe entries.deinitialize(count: count)
    unsafe entries.deallocate()
  }

  @inline(__always) var isEmpty: Bool { count == 0 }

  @inline(__always) mutating func append(_ callback: consuming @escaping @Sendable (Completion) -> Void, _ completion: Completion) {
    if count == capacity { resize(capacity * 2) }
    unsafe (entries + count).initialize(to: Entry(callback: callback, completion: completion))
    count += 1
  }

  /// Calls and forgets all. None of them may touch this list.
  mutating func runAll() {
    for index in 0..<count {
      let entry = unsafe (entries + index).move()
      entry.callback(entry.completion)
    }
    count = 0
    if capacity > Self.keptCapacity { resize(64) }
  }

  @inline(never) private mutating func resize(_ newCapacity: Int) {
    // SAFETY: the entries move to memory that holds them.
    let fresh = UnsafeMutablePointer<Entry>.allocate(capacity: newCapacity)
    unsafe fresh.moveInitialize(from: entries, count: count)
    unsafe entries.deallocate()
    unsafe entries = fresh
    capacity = newCapacity
  }
}
