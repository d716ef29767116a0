internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// Threads that drive the worker in the engine's stead while they wait for a completion, and those that start an operation on the spot.
///
/// While somebody drives, or did a moment ago, the engine's thread sleeps on *lease*: it has not armed the worker (each message would wake
/// it for nothing) and looks every millisecond whether the others are still at it. A consumer that goes to sleep itself ends the lease.
extension Driver {
  static let lease = Duration.milliseconds(1)
  private static let leaseNanoseconds: UInt64 = 1_000_000
  /// How often a guest asks for the lock before it leaves its operation in the ring.
  private static let attempts = 200
  /// A thread that spins and does not run for so long was pushed off its core.
  private static let absence: UInt64 = 500_000

  /// For the engine's thread, which holds the lock.
  var isDrivenByOthers: Bool {
    if drivers.load(ordering: .relaxed) != 0 { return true }
    let last = lastDrive.load(ordering: .relaxed)
    return last != 0 && cucx_now_ns() &- last < Self.leaseNanoseconds
  }

  /// After a sleep: whether anybody drives is looked at afresh.
  func endLease() {
    let last = lastDrive.load(ordering: .relaxed)
    if last != 0 && drivers.load(ordering: .relaxed) == 0 && cucx_now_ns() &- last >= Self.leaseNanoseconds {
      lastDrive.store(0, ordering: .relaxed)
    }
  }

  // MARK: A short visit

  enum Visit { case owner, guest, none }

  /// Takes the lock when it can be had within a microsecond or so. What was handed over before goes first.
  @inline(__always) func enter() -> Visit {
    let visit = tryAcquire() ? .guest : isOwner ? .owner : enterSlowly()
    if visit != .none && !submissions.isEmpty { drainSubmissions() }
    return visit
  }

  @inline(never) private func enterSlowly() -> Visit {
    guests.add(1, ordering: .sequentiallyConsistent)
    defer { guests.subtract(1, ordering: .relaxed) }
    for _ in 0..<Self.attempts {
      if tryAcquire() { return .guest }
      cucx_pause()
    }
    return .none
  }

  /// - Parameter mustGoOn: What was started needs somebody to drive.
  @inline(__always) func leave(_ visit: Visit, mustGoOn: Bool = false, deadline: Instant = .distantFuture) {
    settle()
    let hasCallbacks = unsafe !work.pointee.callbacks.isEmpty
    let hasReads = isReading
    if case .guest = visit { release() }
    if mustGoOn || hasCallbacks || hasReads || deadline != .distantFuture { ensureDriven(hasCallbacks, deadline) }
  }

  @inline(never) private func ensureDriven(_ hasCallbacks: Bool, _ deadline: Instant) {
    if isOwner { return }
    if pace.isManual {
      // Its program waits by the time that its last turn left.
      if deadline.nanoseconds < sleepsUntil.load(ordering: .relaxed) { wake() }
      return
    }
    if !hasCallbacks {
      if deadline != .distantFuture && deadline.nanoseconds < sleepsUntil.load(ordering: .relaxed) { return wake() }
      if drivers.load(ordering: .relaxed) != 0 || sleepsOnLease.load(ordering: .relaxed) { return }
    }
    wake()
  }

  private func wake() {
    if isParked.load(ordering: .relaxed), isParked.exchange(false, ordering: .sequentiallyConsistent) { loop.interrupt() }
  }

  // MARK: Driving

  /// The consumer of a queue sleeps from now on: the engine's thread takes over.
  func consumerSleeps() {
    // Also of one that never got the lock: the engine's thread may sleep because it was about to drive.
    if lastDrive.load(ordering: .relaxed) != 0 { lastDrive.store(0, ordering: .relaxed) }
    // Against `willWait`: either it sees that nobody drives, or we see that it counts on somebody.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if sleepsOnLease.load(ordering: .relaxed) { loop.interrupt() }
  }

  /// Drives on the calling thread until `queue` holds something (true) or `deadline` of the monotonic clock has passed.
  func drive(for queue: CompletionQueue, until deadline: UInt64) -> Bool {
    if !queue.isEmpty { return true }
    if isOwner { return false }
    drivers.add(1, ordering: .sequentiallyConsistent)
    defer { drivers.subtract(1, ordering: .relaxed) }
    var attempts = 0
    while !hasEnded.load(ordering: .relaxed) {
      // The engine's thread gets its chance, but is not waited for: it may have no core.
      if engineWantsIn { for _ in 0..<100 where engineWantsIn { cucx_pause() } }
      if tryAcquire() {
        if isShutDown {
          release()
          break
        }
        driveAsOwner(queue, deadline)
      } else {
        cucx_pause()
        // Whoever has the lock, or wants it, may need this very core.
        attempts += 1
        if attempts & 511 == 0 { sched_yield() }
      }
      if !queue.isEmpty { return true }
      if cucx_now_ns() >= deadline { break }
    }
    return !queue.isEmpty
  }

  private func driveAsOwner(_ queue: CompletionQueue, _ deadline: UInt64) {
    beginTurn()
    var polls = 0
    var lastLook = cucx_now_ns()
    repeat {
      let wasReading = isReading
      _ = progress()
      drainSubmissions()
      settle()
      polls += 1
      if polls & 15 == 0 || wasReading {
        let now = cucx_now_ns()
        if !wasReading && now &- lastLook > Self.absence { crowd.note(now) }
        lastLook = now
        if now >= deadline { break }
        if unsafe core.pointee.nextDeadline != .distantFuture { advance() }
      }
    } while queue.isEmpty && (polls < 16 || !engineWantsIn)
    endTurn()
  }

  /// A guest has the lock and drives.
  private func beginTurn() { unsafe work.pointee.wasParked = isParked.exchange(false, ordering: .sequentiallyConsistent) }

  /// Gives the lock back. Returns whether there is something to read.
  @discardableResult private func endTurn() -> Bool {
    lastDrive.store(cucx_now_ns(), ordering: .relaxed)
    let hasCallbacks = unsafe !work.pointee.callbacks.isEmpty
    let wasParked = unsafe work.pointee.wasParked
    if wasParked {
      isParked.store(true, ordering: .sequentiallyConsistent)
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
    drainSubmissions()
    settle()
    let hasReads = isReading
    release()
    // A thread that sleeps on an armed worker would miss what comes now: it learns that others drive.
    if wasParked && (hasCallbacks || !sleepsOnLease.load(ordering: .relaxed)) { wake() }
    return hasReads
  }

  // MARK: For calls that block

  /// The lock for a thread that drives the worker; the engine's thread sleeps meanwhile, and a while longer.
  func beginDriving() {
    drivers.add(1, ordering: .sequentiallyConsistent)
    acquire()
    beginTurn()
  }

  /// - Parameter isDone: Else the engine's thread goes on at once.
  func endDriving(isDone: Bool) {
    let hasReads = endTurn()
    drivers.subtract(1, ordering: .sequentiallyConsistent)
    if !isDone || hasReads { consumerSleeps() }
  }

  var engineWantsIn: Bool { isWanted.load(ordering: .relaxed) }

  /// The engine's thread gets its chance, but is not waited for: it may have no core.
  func yieldToEngine() {
    let wasParked = unsafe work.pointee.wasParked
    release()
    for _ in 0..<100 where engineWantsIn { cucx_pause() }
    acquire()
    unsafe work.pointee.wasParked = wasParked
  }

  private func advance() {
    let now = Instant(nanoseconds: cucx_boot_ns())
    if unsafe core.pointee.nextDeadline <= now {
      unsafe core.pointee.advance(to: now)
      settle()
    }
  }
}
