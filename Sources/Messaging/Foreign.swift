internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Synchronization

/// How operations start for other languages: on the spot when the driver's lock can be had, with a number instead of a task, and an end
/// that goes into a queue or to a callback.
package enum Outlet {
  case queue(CompletionQueue, UInt64)
  case callback(@Sendable (Completion) -> Void)
  case share(SharedEnd, Int)

  @inline(__always) var target: CompletionTarget {
    switch self {
    case .queue(let queue, let user): .queue(queue, user)
    case .callback(let callback): .callback(callback)
    case .share(let share, let index): .share(share, index)
    }
  }
}

/// What became of a start.
package enum Submission {
  /// Over: the outlet hears nothing.
  case done(Completion)
  /// The outlet will hear of it; the number names it for `Engine.cancel`.
  case pending(UInt64)
}

extension Engine {
  /// Takes an operation back. False when it is over, or its data are on their way.
  package func cancel(_ request: UInt64) -> Bool {
    guard !isForked, let (kind, slot, number) = RequestNumber.decode(request) else { return false }
    let visit = driver.enter()
    if case .none = visit {
      let driver = driver
      driver.hand(Operation(.run { repeat {} while driver.cancel(kind, slot, number) && RequestNumber.isOfMany(request) }))
      return true
    }
    var found = false
    if !driver.isShutDown {
      found = driver.cancel(kind, slot, number)
      if RequestNumber.isOfMany(request) { while driver.cancel(kind, slot, number) {} }
    }
    driver.leave(visit)
    return found
  }

  /// Runs `now` under the driver's lock when that can be had, and returns its answer; else `soon` runs under it later, and the answer is
  /// false.
  package func nowOrSoon(timeout: UInt64, _ now: () -> Bool, soon: @escaping @Sendable () -> Void) -> Bool {
    let visit = driver.enter()
    if case .none = visit {
      driver.hand(Operation(.run(soon)))
      return false
    }
    let answer = now()
    driver.leave(visit, mustGoOn: !answer, deadline: answer ? .distantFuture : MessageReceiver.deadline(timeout))
    return answer
  }

  package func newNumber() -> UInt64 { nextOperation() }
  package func onLoop(_ body: @escaping @Sendable () -> Void) { onThread(body) }
  package var isOnLoop: Bool { driver.isOwner }
  package var isInChild: Bool { isForked }
  package var hasEnded: Bool { driver.hasEnded.load(ordering: .acquiring) }
  package var libraryVersion: String { library.version }
  package var libraryPath: String { library.path }

  /// Drives on the calling thread, or waits for who drives, until the queue holds something or the time is over. Nanoseconds; nil: for ever.
  package func wait(for queue: CompletionQueue, atMost nanoseconds: UInt64) -> Bool {
    if !queue.isEmpty { return true }
    let start = cucx_now_ns()
    let end = nanoseconds == .max ? .max : start &+ nanoseconds
    let spin = driver.crowd.budget(driver.pace.guestBudget, start)
    if spin > 0 && options.progress != .manual {
      if driver.drive(for: queue, until: min(end, start &+ spin)) { return true }
      let now = cucx_now_ns()
      if now &- start >= spin { driver.crowd.noteVain(now) }
    }
    while cucx_now_ns() < end {
      if options.progress == .manual {
        driver.turn()
        if !queue.isEmpty { return true }
        if hasEnded { break }
        continue
      }
      if !queue.prepareToSleep() { return true }
      driver.consumerSleeps()
      let left = end == .max ? UInt64.max : end &- min(end, cucx_now_ns())
      cucx_wait_readable(queue.descriptor, left == .max ? -1 : Int32(clamping: left / 1_000_000 + 1))
      if !queue.isEmpty { return true }
      if hasEnded || nanoseconds == .max { break }
    }
    return !queue.isEmpty
  }

  /// The consumer of a queue found nothing and will wait for its descriptor. False: there is something now.
  package func prepareToSleep(_ queue: CompletionQueue) -> Bool {
    guard queue.prepareToSleep() else { return false }
    driver.consumerSleeps()
    return true
  }
}

/// Stands for memory of another language until the driver lets go of it. When an operation's end was told before that, its own end says
/// that the memory is free.
// @unchecked Sendable: touched by the owner of the driver's lock.
package final class ForeignKeeper: @unchecked Sendable {
  private let release: () -> Void
  /// An end was told while the memory was in use.
  package fileprivate(set) var wasReported = false

  package init(_ release: @escaping () -> Void) { self.release = release }

  deinit { if wasReported { release() } }

  static func report(_ keeper: AnyObject?) {
    if let keeper = keeper as? ForeignKeeper { keeper.wasReported = true }
    if let list = keeper as? PieceList, let keeper = list.keeper as? ForeignKeeper { keeper.wasReported = true }
  }
}

extension CompletionQueue {
  /// Adds an entry that no operation of the driver's stands for. The owner of the driver's lock only.
  package func add(_ user: UInt64, _ completion: Completion) { push(user, completion) }
}

extension Completion {
  package init(foreign code: MessagingError.Code?, tag: UInt64 = 0, byteCount: Int = 0) { self.init(code, tag: tag, byteCount: byteCount) }
}

extension MessageReceiver {
  /// Flushes for so many nanoseconds, then ends `core`; `completion` hears of the flush, on the engine's thread, when all is closed.
  fileprivate func close(
    _ core: some Closable & Sendable, after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void
  ) {
    let engine = engine
    let end: @Sendable (Completion) -> Void = { flushed in engine.end(core) { completion(flushed) } }
    if case .done = start(flush: nanoseconds, to: .callback(end)) { end(Completion()) }
  }
}

extension Client {
  /// Ends a connect that is under way.
  package func cancelConnect() {
    let core = core
    engine.onThread { core.cancel() }
  }

  package func close(after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void) {
    close(core, after: nanoseconds) { [self] flushed in
      forgetConnection()
      completion(flushed)
    }
  }

  /// Ends it without waiting for anybody.
  package func closeByForce() { engine.end(core) }
}

extension Server {
  package func close(after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void) {
    core.isClosed.store(true, ordering: .releasing)
    close(core, after: nanoseconds, completion)
  }

  package func closeByForce() { engine.end(core) }

  /// The answer comes on the engine's thread.
  package func listenAddress(tcp: Bool, key: MessagingKey?, _ completion: @escaping @Sendable (Result<[UInt8], MessagingError>) -> Void) {
    let core = core
    engine.onThread { completion(core.listenAddress(tcp, key)) }
  }
}
