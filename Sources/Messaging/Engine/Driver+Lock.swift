internal import CUCX
internal import Glibc
internal import Synchronization

/// The lock around the worker and the core, which whoever drives holds for a whole turn.
extension Driver {
  /// Whether the caller holds the lock.
  @inline(__always) var isOwner: Bool { owner.load(ordering: .relaxed) == UInt(pthread_self()) }

  func tryAcquire() -> Bool {
    owner.compareExchange(expected: 0, desired: UInt(pthread_self()), ordering: .acquiring).exchanged
  }

  func acquire() {
    var attempts = 0
    while !tryAcquire() {
      attempts += 1
      if attempts > 100 { sched_yield() }
    }
  }

  func release() { owner.store(0, ordering: .releasing) }

  /// Runs a short `body` under the lock, on any thread: the engine's thread lets guests in between two polls.
  func asGuest<R>(_ body: () -> R) -> R {
    if isOwner { return body() }
    guests.add(1, ordering: .sequentiallyConsistent)
    acquire()
    guests.subtract(1, ordering: .relaxed)
    defer { release() }
    return body()
  }

  @inline(never) func letGuestsIn() {
    release()
    while guests.load(ordering: .relaxed) != 0 { sched_yield() }
    acquire()
  }
}
