public import CausewayBase

/// A timer that can be moved cheaply. Moving it later and cancelling it only change a field (the heap entry then fires early and
/// puts itself right), so that a connection may push its idle limit on every request.
///
/// The loop does not keep it alive: dropping the last reference cancels it, and a closed connection's long limits cost nothing.
/// Like everything on a loop it belongs to the loop's thread.
public final class LoopTimer {
  private let loop: EventLoop
  private let action: (Instant) -> Void
  /// When it fires next, or nil when it is not armed.
  public private(set) var deadline: Instant?
  /// Where its entry stands in the loop's heap, or -1 when it has none. Written by `TimerHeap` only.
  fileprivate(set) var heapIndex = -1

  /// `action` runs on the loop's thread with the loop's time; capture owners weakly or `unowned`.
  public init(_ loop: EventLoop, _ action: @escaping (Instant) -> Void) {
    self.loop = loop
    self.action = action
  }

  deinit {
    if heapIndex >= 0 { loop.forget(self) }
  }

  public var isArmed: Bool { deadline != nil }

  /// Arms or moves it. A deadline that is already past fires in this turn or the next one, never inside this call.
  public func set(at deadline: Instant) {
    self.deadline = deadline
    loop.schedule(self, at: deadline)
  }

  /// Counts from the loop's `now`, the start of the present turn.
  public func set(after delay: Duration) { set(at: loop.now + delay) }

  public func cancel() { deadline = nil }

  /// Called for a timer whose entry came up; it may have been cancelled or moved meanwhile, by another timer of the same turn.
  func fireIfDue(_ now: Instant) {
    guard let deadline, deadline <= now else { return }
    self.deadline = nil
    action(now)
  }
}

/// A binary heap of deadlines with at most one entry for each timer, which knows its place.
struct TimerHeap {
  private struct Entry {
    var deadline: Instant
    // SAFETY: a timer removes its entry in its deinit, so an entry's timer is alive.
    unowned(unsafe) var timer: LoopTimer
  }
  private var entries: [Entry] = []

  /// When the loop must wake; a cancelled or moved timer may make this too early, never too late.
  var nextDeadline: Instant? { entries.first?.deadline }
  var count: Int { entries.count }

  /// Makes sure that an entry at or before `deadline` points to `timer`.
  mutating func schedule(_ timer: LoopTimer, _ deadline: Instant) {
    let index = timer.heapIndex
    if index < 0 {
      entries.append(Entry(deadline: deadline, timer: timer))
      timer.heapIndex = entries.count - 1
      siftUp(entries.count - 1)
    } else if deadline < entries[index].deadline {
      entries[index].deadline = deadline
      siftUp(index)
    }
  }

  mutating func remove(_ timer: LoopTimer) {
    let index = timer.heapIndex
    guard index >= 0 else { return }
    timer.heapIndex = -1
    let last = entries.removeLast()
    guard index < entries.count else { return }
    place(last, at: index)
    siftUp(index)
    siftDown(index)
  }

  /// Takes out the next timer that is due at `now`, putting moved ones back and dropping cancelled ones on the way.
  mutating func popDue(_ now: Instant) -> LoopTimer? {
    while let first = entries.first, first.deadline <= now {
      let timer = unsafe first.timer
      if let deadline = timer.deadline, deadline > now {
        entries[0].deadline = deadline
        siftDown(0)
        continue
      }
      remove(timer)
      if timer.deadline != nil { return timer }
    }
    return nil
  }

  private mutating func place(_ entry: Entry, at index: Int) {
    entries[index] = entry
    unsafe entry.timer.heapIndex = index
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    let entry = entries[child]
    while child > 0 {
      let parent = (child - 1) / 2
      if entries[parent].deadline <= entry.deadline { break }
      place(entries[parent], at: child)
      child = parent
    }
    if child != start { place(entry, at: child) }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    let entry = entries[parent]
    while true {
      var child = parent * 2 + 1
      if child >= entries.count { break }
      if child + 1 < entries.count && entries[child + 1].deadline < entries[child].deadline { child += 1 }
      if entry.deadline <= entries[child].deadline { break }
      place(entries[child], at: parent)
      parent = child
    }
    if parent != start { place(entry, at: parent) }
  }
}
