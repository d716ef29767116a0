internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

extension Driver {
  private static let lookOutPolls = 64

  /// Suspends the caller, who owns the lock, until the operation in this slot is over. Its task's cancellation cancels it.
  func wait(_ kind: Operation.Cancellable, _ slot: UInt32) async -> Completion {
    if let completion = lookOut(kind, slot) { return completion }
    let number = nextNumber()
    return await withTaskCancellationHandler {
      await unsafe withUnsafeContinuation { (continuation: UnsafeContinuation<Completion, Never>) in
        switch kind {
        case .send:
          unsafe sends.pointer(slot).pointee.target = .continuation(continuation)
          unsafe sends.pointer(slot).pointee.operation = number
        case .receive:
          unsafe receives.pointer(slot).pointee.target = .continuation(continuation)
          unsafe receives.pointer(slot).pointee.operation = number
        case .flush:
          unsafe flushes.pointer(slot).pointee.target = .continuation(continuation)
          unsafe flushes.pointer(slot).pointee.operation = number
        }
      }
    } onCancel: {
      submitCancel(kind, slot, number)
    }
  }

  /// Polls for a moment before the suspension, as the loop would do next: an end that comes meanwhile costs neither a continuation nor a
  /// cancellation handler. Only when nothing else is ready to run, and not for ever: descriptors and timers want their turn.
  private func lookOut(_ kind: Operation.Cancellable, _ slot: UInt32) -> Completion? {
    guard pace.budget > 0, !isElsewhereWanted else { return nil }
    unsafe work.pointee.lookOuts &+= 1
    if unsafe work.pointee.lookOuts & 63 == 0 { return nil }
    switch kind {
    case .send: unsafe sends.pointer(slot).pointee.target = .lookOut
    case .receive: unsafe receives.pointer(slot).pointee.target = .lookOut
    case .flush: return nil
    }
    var polls = 0
    repeat {
      _ = progress()
      settle()
      if let completion = unsafe work.pointee.seen.take() { return completion }
      polls += 1
    } while polls < Self.lookOutPolls && !isElsewhereWanted
    if kind == .send {
      unsafe sends.pointer(slot).pointee.target = .none
    } else {
      unsafe receives.pointer(slot).pointee.target = .none
    }
    return nil
  }

  /// Somebody else waits for the engine's thread, or there is something long to do.
  private var isElsewhereWanted: Bool {
    if isReading { return true }
    if loop.hasWaitingWork || guests.load(ordering: .relaxed) != 0 || !submissions.isEmpty { return true }
    return unsafe !work.pointee.callbacks.isEmpty || work.pointee.isShutDown
  }

  /// From any thread: cancels the operation with this number, if it is not over.
  func submitCancel(_ kind: Operation.Cancellable, _ slot: UInt32?, _ number: UInt64) {
    var operation = Operation(.cancel(kind, slot))
    operation.number = number
    hand(operation)
  }

  /// Hands an operation over, waiting while the ring is full. After the driver's end it ends as `closed`.
  func hand(_ operation: Operation) {
    while !submit(operation) {
      if isOwner { drainSubmissions() } else if hasEnded.load(ordering: .acquiring) { drainAfterEnd() } else { sched_yield() }
    }
    if hasEnded.load(ordering: .sequentiallyConsistent) { drainAfterEnd() }
  }

  private func drainAfterEnd() {
    if isOwner { return drainSubmissions() }
    acquire()
    drainSubmissions()
    // Nobody else would call them.
    while runCallbacks() {}
    release()
  }

  /// Suspends until there may be room for another operation. Returns why the caller waits no longer.
  func waitForRoom(until deadline: Instant) async -> Completion? {
    if Task.isCancelled { return Completion(.cancelled) }
    if Instant(nanoseconds: cucx_boot_ns()) >= deadline { return Completion(.deadlineExceeded) }
    await unsafe withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      asGuest {
        if isShutDown { unsafe continuation.resume() } else { unsafe work.pointee.roomWaiters.append(continuation) }
      }
    }
    return nil
  }

  /// Lets those who wait for room try again: when there is some, and else now and then, as they have deadlines and can be cancelled. The
  /// timer for that ends sleeps only, since each look at the descriptors sets it anew.
  @inline(never) func resumeRoomWaiters(evenWithoutRoom: Bool = false) {
    let isRoom = unsafe core.pointee.inFlight < core.pointee.limits.inFlight
    guard unsafe isRoom || evenWithoutRoom || now() >= work.pointee.nextRoomLook else { return }
    unsafe work.pointee.nextRoomLook = now() &+ UInt64(Self.longestSleep.wholeNanoseconds)
    let waiters = unsafe work.pointee.roomWaiters
    unsafe work.pointee.roomWaiters = []
    for index in unsafe waiters.indices { unsafe waiters[index].resume() }
  }
}

extension Engine {
  /// Starts an operation from wherever the caller is, and suspends it until its end.
  func handOver(_ operation: Operation, _ kind: Operation.Cancellable) async -> Completion {
    if isForked { return Completion(.forked) }
    let number = nextOperation()
    let driver = driver
    return await withTaskCancellationHandler {
      await unsafe withUnsafeContinuation { (continuation: UnsafeContinuation<Completion, Never>) in
        var operation = operation
        operation.number = number
        unsafe operation.target = .continuation(continuation)
        if driver.isOwner { driver.perform(operation) } else { driver.hand(operation) }
        // A cancellation that came before the operation found nothing to cancel.
        if Task.isCancelled { driver.submitCancel(kind, nil, number) }
      }
    } onCancel: {
      driver.submitCancel(kind, nil, number)
    }
  }

  /// The same for an operation whose end is told elsewhere.
  func submit(_ operation: Operation) {
    if isForked {
      if case .callback(let callback) = operation.target { callback(Completion(.forked)) }
      return
    }
    if driver.isOwner { driver.perform(operation) } else { driver.hand(operation) }
  }
}
