public import CausewayBase

/// A timer that can be moved cheaply. Moving it later only changes a field (the heap entry fires early and re-arms itself), so
/// that a connection may push its idle limit on every request.
public final class LoopTimer {
  private unowned let loop: EventLoop
  private let action: (Instant) -> Void
  /// When it fires next, or nil when it is not armed.
  public private(set) var deadline: Instant?
  /// The earliest heap entry that still points here.
  private var queuedDeadline: Instant?

  /// `action` runs on the loop's thread with the loop's time; capture owners weakly or `unowned`.
  public init(_ loop: EventLoop, _ action: @escaping (Instant) -> Void) {
    self.loop = loop
    self.action = action
  }

  public func set(at deadline: Instant) {
    self.deadline = deadline
    if let queuedDeadline, queuedDeadline <= deadline { return }
    queuedDeadline = deadline
    loop.schedule(self, at: deadline)
  }

  public func set(after delay: Duration) { set(at: loop.now + delay) }

  public func cancel() { deadline = nil }

  func fire(queuedFor entry: Instant, _ now: Instant) {
    // Another heap entry than the queued one is left over from before a move: ignore it.
    guard entry == queuedDeadline else { return }
    queuedDeadline = nil
    guard let deadline else { return }
    if deadline > now {
      queuedDeadline = deadline
      loop.schedule(self, at: deadline)
      return
    }
    self.deadline = nil
    action(now)
  }
}

/// A binary heap of deadlines.
struct TimerHeap {
  private struct Entry {
    var deadline: Instant
    var timer: LoopTimer
  }
  private var entries: [Entry] = []

  var nextDeadline: Instant? { entries.first?.deadline }

  mutating func push(_ timer: LoopTimer, _ deadline: Instant) {
    entries.append(Entry(deadline: deadline, timer: timer))
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if entries[parent].deadline <= entries[child].deadline { break }
      entries.swapAt(parent, child)
      child = parent
    }
  }

  mutating func popDue(_ now: Instant) -> (LoopTimer, Instant)? {
    guard let first = entries.first, first.deadline <= now else { return nil }
    let last = entries.removeLast()
    if !entries.isEmpty {
      entries[0] = last
      siftDown()
    }
    return (first.timer, first.deadline)
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var child = parent * 2 + 1
      if child >= entries.count { return }
      if child + 1 < entries.count && entries[child + 1].deadline < entries[child].deadline { child += 1 }
      if entries[parent].deadline <= entries[child].deadline { return }
      entries.swapAt(parent, child)
      parent = child
    }
  }
}
