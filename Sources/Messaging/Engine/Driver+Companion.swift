internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// The engine's thread, between the turns of its loop: it polls, spins for a while, and sleeps.
extension Driver {
  func poll() -> CompanionAnswer {
    if unsafe work.pointee.isShutDown { return .wait }
    while true {
      if guests.load(ordering: .relaxed) != 0 { letGuestsIn() }
      var isBusy = progress()
      if !submissions.isEmpty {
        submissions.drain { perform($0) }
        isBusy = true
      }
      settle()
      if runCallbacks() { isBusy = true }
      if unsafe !work.pointee.roomWaiters.isEmpty { resumeRoomWaiters() }
      if isDrivenByOthers && !loop.hasWaitingWork {
        armTimers()
        return .wait
      }
      if loop.hasWaitingWork {
        unsafe work.pointee.polls &+= 1
        unsafe work.pointee.idleSince = 0
        return unsafe work.pointee.polls & 63 == 0 ? look() : .runWork
      }
      if isBusy {
        unsafe work.pointee.idleSince = 0
        unsafe work.pointee.refusedSleeps = 0
        unsafe work.pointee.polls &+= 1
        if unsafe (work.pointee.polls & 63 == 0 || isReading) && now() >= work.pointee.nextLook { return look() }
        continue
      }
      switch idle() {
      case .spin: continue
      case .look: return look()
      case .sleep:
        armTimers()
        return .wait
      }
    }
  }

  private enum Idleness { case spin, look, sleep }

  private func idle() -> Idleness {
    if pace.budget == 0 { return .sleep }
    unsafe work.pointee.polls &+= 1
    if unsafe work.pointee.polls & 15 != 0 { return .spin }
    let now = now()
    if unsafe work.pointee.idleSince == 0 { unsafe work.pointee.idleSince = now }
    if unsafe now &- work.pointee.idleSince >= pace.budget { return .sleep }
    return unsafe now >= work.pointee.nextLook ? .look : .spin
  }

  private func look() -> CompanionAnswer {
    unsafe work.pointee.nextLook = now() &+ Self.lookInterval
    armTimers()
    return .look
  }

  func now() -> UInt64 { cucx_now_ns() }

  private func armTimers() {
    let deadline = unsafe core.pointee.nextDeadline
    if deadline != .distantFuture {
      if deadlineTimer?.deadline != deadline { deadlineTimer?.set(at: deadline) }
    } else {
      deadlineTimer?.cancel()
    }
    let isLease = isDrivenByOthers
    unsafe work.pointee.isSetForLease = isLease
    let longest = isLease ? Self.lease : Self.longestSleep
    safetyTimer?.set(after: longest)
    sleepsUntil.store(min(deadline.nanoseconds, (Instant(nanoseconds: cucx_boot_ns()) + longest).nanoseconds), ordering: .relaxed)
  }

  func willWait() -> Bool {
    if unsafe work.pointee.isShutDown {
      release()
      return true
    }
    let isOnLease = isDrivenByOthers
    if !isOnLease {
      pace.willSleep()
      if pace.neverSleeps { return false }
      if unsafe cucx_arm(table, worker) != 0 {
        standAside()
        return false
      }
    }
    // The timers were set for a longer sleep than a lease is.
    if unsafe isOnLease && !work.pointee.isSetForLease { return false }
    sleepsOnLease.store(isOnLease, ordering: .relaxed)
    isParked.store(true, ordering: .relaxed)
    // Whoever hands something over, or stops driving, looks at the flags after that; we look at theirs after setting ours.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if !submissions.isEmpty || (isOnLease && !isDrivenByOthers) {
      isParked.store(false, ordering: .relaxed)
      return false
    }
    release()
    return true
  }

  /// UCX will not let us sleep, as while it waits for room in a peer's queue, and yet has had nothing to do for long: that peer may be in
  /// need of this very core.
  private func standAside() {
    unsafe work.pointee.refusedSleeps += 1
    if unsafe work.pointee.refusedSleeps > 1 { sched_yield() }
  }

  func didWait() {
    unsafe work.pointee.refusedSleeps = 0
    isWanted.store(true, ordering: .relaxed)
    acquire()
    isWanted.store(false, ordering: .relaxed)
    isParked.store(false, ordering: .relaxed)
    sleepsOnLease.store(false, ordering: .relaxed)
    endLease()
    unsafe work.pointee.idleSince = 0
    unsafe work.pointee.nextLook = 0
  }
}
