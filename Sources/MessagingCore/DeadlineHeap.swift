import CausewayBase

/// Deadlines of sends, receives and flushes: a binary min-heap. A timer's handle is good until it is removed or taken.
struct DeadlineHeap: ~Copyable, Sendable {
  enum Subject: UInt8, BitwiseCopyable {
    case receive, send, flush
  }
  private struct Entry: BitwiseCopyable {
    var deadline: UInt64 = 0
    var handle: Slot = .none
  }
  private struct Timer: BitwiseCopyable {
    /// Where its entry is; of a free one the next free.
    var place: Slot = .none
    var slot: Slot = .none
    var subject = Subject.receive
  }
  private var heap: Slab<Entry>
  private var timers: Slab<Timer>
  private var firstFree: Slot = .none
  private var used: UInt32 = 0
  private(set) var count: UInt32 = 0

  init(capacity: Int) {
    heap = Slab(capacity: UInt32(clamping: capacity), filledWith: Entry())
    timers = Slab(capacity: UInt32(clamping: capacity), filledWith: Timer())
  }

  var first: Instant { count > 0 ? Instant(nanoseconds: heap[0].deadline) : .distantFuture }

  /// None for `distantFuture`.
  @inline(__always) mutating func insert(_ deadline: Instant, _ subject: Subject, _ slot: Slot) -> Slot {
    if deadline.nanoseconds == .max { return .none }
    return add(deadline, subject, slot)
  }

  @inline(__always) mutating func remove(_ handle: Slot) {
    if handle != .none { takeOut(handle) }
  }

  /// Takes the earliest one that is due.
  mutating func takeDue(_ now: Instant) -> (subject: Subject, slot: Slot)? {
    guard count > 0, heap[0].deadline <= now.nanoseconds else { return nil }
    let handle = heap[0].handle
    let timer = timers[handle]
    takeOut(handle)
    return (timer.subject, timer.slot)
  }

  private mutating func add(_ deadline: Instant, _ subject: Subject, _ slot: Slot) -> Slot {
    let handle: Slot
    if firstFree != .none {
      handle = firstFree
      firstFree = timers[handle].place
    } else {
      handle = used
      used += 1
      timers.reserve(used)
    }
    timers[handle] = Timer(place: count, slot: slot, subject: subject)
    count += 1
    heap.reserve(count)
    heap[count - 1] = Entry(deadline: deadline.nanoseconds, handle: handle)
    siftUp(count - 1)
    return handle
  }

  private mutating func takeOut(_ handle: Slot) {
    let place = timers[handle].place
    timers[handle].place = firstFree
    firstFree = handle
    count -= 1
    guard place < count else { return }
    put(heap[count], at: place)
    siftDown(place)
    siftUp(place)
  }

  private mutating func put(_ entry: Entry, at place: Slot) {
    heap[place] = entry
    timers[entry.handle].place = place
  }

  private mutating func siftUp(_ start: Slot) {
    var child = start
    let entry = heap[child]
    while child > 0 {
      let parent = (child - 1) / 2
      guard entry.deadline < heap[parent].deadline else { break }
      put(heap[parent], at: child)
      child = parent
    }
    put(entry, at: child)
  }

  private mutating func siftDown(_ start: Slot) {
    var parent = start
    let entry = heap[parent]
    while true {
      var child = 2 * parent + 1
      guard child < count else { break }
      if child + 1 < count && heap[child + 1].deadline < heap[child].deadline { child += 1 }
      guard heap[child].deadline < entry.deadline else { break }
      put(heap[child], at: parent)
      parent = child
    }
    put(entry, at: parent)
  }
}
