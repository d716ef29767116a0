internal import Glibc
internal import Synchronization

/// Nanoseconds for measuring; the beginning means nothing.
enum MonotonicClock {
  static var now: UInt64 {
    var time = timespec()
    // SAFETY: a local that outlives the call.
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}

/// Runs async work for a thread that may block: the main one.
func blockingWait<T: Sendable>(_ body: @escaping @Sendable () async -> T) -> T {
  let handover = Handover<T>()
  Task { handover.give(await body()) }
  return handover.take()
}

// @unchecked Sendable: a semaphore is made for several threads.
@safe private final class Handover<T: Sendable>: @unchecked Sendable {
  private let value = Mutex<T?>(nil)
  private let semaphore: UnsafeMutablePointer<sem_t>

  init() {
    // SAFETY: destroyed and freed in deinit; never moves.
    unsafe semaphore = .allocate(capacity: 1)
    unsafe sem_init(semaphore, 0, 0)
  }

  deinit {
    unsafe sem_destroy(semaphore)
    unsafe semaphore.deallocate()
  }

  func give(_ given: T) {
    value.withLock { $0 = given }
    unsafe _ = sem_post(semaphore)
  }

  func take() -> T {
    while unsafe sem_wait(semaphore) != 0 {}
    return value.withLock { $0! }
  }
}
