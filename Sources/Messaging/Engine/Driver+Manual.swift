internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// A program that drives by itself (`ProgressMode.manual`). Its turns let guests take the driver's lock between two polls; the loop stays
/// with the thread that turns it until the turn is over.
extension Driver {
  /// One turn, unless another thread is at it or holds the lock.
  func turn() {
    guard beginTurning() else { return }
    defer { turner.store(0, ordering: .releasing) }
    guard !hasEnded.load(ordering: .acquiring), tryAcquire() else { return }
    isParked.store(false, ordering: .relaxed)
    var rounds = 0
    var isBusy = false
    repeat {
      loop.turnOnce()
      // What descriptors ended may need UCX once more, without which arming says nothing of it, and has callbacks.
      isBusy = progress()
      settle()
      if runCallbacks() { isBusy = true }
      if let closeAll = unsafe work.pointee.closeAll.take() {
        closeAll()
        return end()
      }
      rounds += isReading ? Self.readRound : 1
    } while rounds < 64 && (unsafe isBusy || cucx_arm(table, worker) != 0)
    sleepsUntil.store(min(unsafe core.pointee.nextDeadline, loop.nextTurn ?? .distantFuture).nanoseconds, ordering: .relaxed)
    isParked.store(true, ordering: .sequentiallyConsistent)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if !submissions.isEmpty || isReading { loop.interrupt() }
    release()
  }

  /// As the last turn left it; what is handed over later makes the descriptor readable.
  var timeUntilTurn: Duration {
    let left = Instant(nanoseconds: sleepsUntil.load(ordering: .relaxed)) - Instant(nanoseconds: cucx_boot_ns())
    return min(max(.zero, left), Self.longestSleep)
  }

  /// The last turn, after the one that is under way. Of the thread that turns, which is in a callback then: when that turn is over.
  /// - Parameter closeAll: Closes what is open on the engine.
  func endTurns(_ closeAll: @escaping () -> Void) {
    if turner.load(ordering: .relaxed) == UInt(pthread_self()) {
      unsafe work.pointee.closeAll = closeAll
      return
    }
    while !beginTurning() { sched_yield() }
    acquire()
    closeAll()
    end()
    turner.store(0, ordering: .releasing)
  }

  private func beginTurning() -> Bool {
    turner.compareExchange(expected: 0, desired: UInt(pthread_self()), ordering: .acquiring).exchanged
  }
}
