internal import Synchronization

/// An event loop on a thread of its own: for a relay's further loops, and for tests.
public final class EventLoopThread: Sendable {
  public let loop: EventLoop
  private let thread: Thread
  private let isJoined = Atomic<Bool>(false)

  /// Starts at once. `name` shows in `top -H`; 15 bytes of it count.
  public init(name: String, stackByteCount: Int = 512 * 1024) throws(SystemError) {
    let loop = try EventLoop()
    self.loop = loop
    thread = try Thread(name: name, stackByteCount: stackByteCount) { loop.run() }
  }

  deinit { stop() }

  /// Ends the loop after what was posted to it, and waits for its thread. Not from that thread. Again does nothing.
  public func stop() {
    precondition(!loop.isCurrent, "a loop cannot wait for its own end")
    guard !isJoined.exchange(true, ordering: .acquiringAndReleasing) else { return }
    loop.stop()
    thread.join()
  }

  /// Runs `body` on the loop and waits for its result: for starting and ending, never in traffic, never from another loop.
  public func sync<R>(_ body: @escaping @Sendable () -> sending R) -> sending R {
    precondition(!loop.isCurrent, "a loop cannot wait for itself")
    let gate = Gate()
    let result = SyncResult<R>()
    loop.post {
      let value = body()
      gate.withLock {
        result.value = value
        gate.wakeOne()
      }
    }
    gate.lock()
    while result.value == nil { _ = gate.wait() }
    gate.unlock()
    return result.value!
  }
}

// @unchecked Sendable: written and read under the gate's lock.
private final class SyncResult<R>: @unchecked Sendable {
  var value: R?
}
