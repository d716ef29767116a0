internal import CLinux
internal import CausewayBase
internal import Glibc

/// A thread of our own: named, with a small stack. Whoever starts it joins it or lets it go.
package struct Thread: @unchecked Sendable {  // pthread_t is a number that any thread may use
  /// Enough for event handlers; address space until touched.
  package static let stackByteCount = 512 * 1024

  private let handle: pthread_t

  /// `name` shows in `top -H`; 15 bytes of it count.
  package init(name: String, stackByteCount: Int = Thread.stackByteCount, detached: Bool = false, _ body: @escaping @Sendable () -> Void)
    throws(SystemError)
  {
    // SAFETY: +1 for the new thread, which takes it; given back here when there is none.
    let context = unsafe Unmanaged.passRetained(Start(name: name, body: body))
    var handle = pthread_t()
    let result = unsafe shim_start_thread(
      &handle, stackByteCount, detached ? 1 : 0,
      { context in
        let start = unsafe Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
        unsafe shim_name_thread(start.name)
        start.body()
        return nil
      }, context.toOpaque())
    if result < 0 {
      unsafe context.release()
      throw SystemError(-result, "pthread_create \(name)")
    }
    self.handle = handle
  }

  package func join() { _ = pthread_join(handle, nil) }

  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}

/// A mutex, with a condition for threads that sleep until another one brings work. Event loops lock it and never wait.
// @unchecked Sendable: pthread's own objects, at one address for life.
@safe final class Gate: @unchecked Sendable {
  private let gate: UnsafeMutablePointer<shim_gate>

  init() {
    // SAFETY: initialised here, destroyed in deinit, used only between.
    unsafe gate = .allocate(capacity: 1)
    unsafe gate.initialize(to: shim_gate())
    unsafe shim_gate_init(gate)
  }

  deinit {
    unsafe shim_gate_destroy(gate)
    unsafe gate.deallocate()
  }

  @inline(__always) func withLock<R>(_ body: () -> R) -> R {
    lock()
    defer { unlock() }
    return body()
  }

  func lock() { unsafe _ = pthread_mutex_lock(&gate.pointee.mutex) }
  func unlock() { unsafe _ = pthread_mutex_unlock(&gate.pointee.mutex) }
  func wakeOne() { unsafe _ = pthread_cond_signal(&gate.pointee.condition) }

  /// Lock held. Returns false when `limit` passed; may return early, so look at the state again.
  func wait(atMost limit: Duration? = nil) -> Bool {
    let deadline = limit.map { shim_monotonic_ns() &+ UInt64(max(0, $0.wholeNanoseconds)) } ?? .max
    return unsafe shim_gate_wait(gate, deadline) != 0
  }
}
