internal import CLinux
package import CausewayLinuxIO
package import CausewayRelayCore
internal import Glibc
internal import Synchronization

/// One thread that owns the store, so that no event loop ever waits for a disk. Work is done in the order of its asking.
///
/// At most `queueLimit` pieces of work wait or run; one more is refused at once (`submit` answers false, `perform` throws
/// `StoreError.busy`), and the relay says "busy, later" to that client. Nothing that was accepted is dropped.
package final class StoreThread: Sendable {
  /// At 1 ms for a commit, the last in the queue waits about one second: less than a client's patience with a login.
  package static let queueLimit = 1024
  static let stackByteCount = 512 * 1024

  private let queue: WorkQueue
  private let thread = Mutex<pthread_t?>(nil)

  /// Starts the thread and gives it the store.
  package init(_ store: sending any AccountStore) throws(SystemError) {
    let queue = try WorkQueue()
    self.queue = queue
    let start = ThreadStart(store: store, queue: queue)
    var attributes = pthread_attr_t()
    var thread = pthread_t()
    // SAFETY: the attributes live until destroyed; the +1 on `start` is taken back by the new thread, or here if there is none.
    let context = unsafe Unmanaged.passRetained(start)
    unsafe pthread_attr_init(&attributes)
    unsafe pthread_attr_setstacksize(&attributes, Self.stackByteCount)
    let result = unsafe pthread_create(
      &thread, &attributes,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context.toOpaque())
    unsafe pthread_attr_destroy(&attributes)
    guard result == 0 else {
      unsafe context.release()
      throw SystemError(result, "pthread_create")
    }
    self.thread.withLock { [thread] in $0 = thread }
  }

  deinit {
    queue.close()
    thread.withLock { if let thread = $0 { pthread_detach(thread) } }
  }

  /// Does `work` on the store's thread, then `completion` on the loop's.
  /// - Returns: False when the queue is full or closed: neither of the two will be called.
  package func submit<Answer: Sendable>(
    on loop: EventLoop, _ work: @escaping @Sendable (any AccountStore) -> Answer, _ completion: @escaping @Sendable (Answer) -> Void
  ) -> Bool {
    let completion = OnceCompletion(completion)
    return queue.push { store in
      let answer = work(store)
      loop.post { completion.take()?(answer) }
    }
  }

  /// Pieces of work that wait or run.
  package var queuedCount: Int { queue.count }

  /// Does `work` without telling anybody (uses of names and tokens). False: as in the other `submit`.
  package func submit(_ work: @escaping @Sendable (any AccountStore) -> Void) -> Bool { queue.push(work) }

  /// Does `work` on the store's thread and resumes the caller where it was. Throws what `work` throws, or `StoreError.busy`. A
  /// cancelled caller still gets the answer: what was asked for is being written.
  package func perform<Answer: Sendable>(
    _ work: @escaping @Sendable (any AccountStore) throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    let result: Result<Answer, StoreError> = await withCheckedContinuation { continuation in
      let isAccepted = queue.push { store in
        do throws(StoreError) { continuation.resume(returning: .success(try work(store))) } catch {
          continuation.resume(returning: .failure(error))
        }
      }
      if !isAccepted { continuation.resume(returning: .failure(.busy)) }
    }
    return try result.get()
  }

  /// Who holds this token, if he may come in; its use is written down after the answer has gone.
  package func authenticate(_ token: TokenHash, at now: WallTime) async throws(StoreError) -> Authentication {
    let result = try await perform { (store) throws(StoreError) in try store.authenticate(token) }
    if case .accepted(_, let usedAt) = result, usedAt.map({ now - $0 >= TokenUse.granularitySeconds }) ?? true {
      _ = submit { store in
        do throws(StoreError) { try store.noteUse(of: token, at: now) } catch {}  // coarse by promise: the next use writes it
      }
    }
    return result
  }

  /// Refuses new work, finishes what was accepted, closes the store and returns. Never from the store's thread itself.
  package func stop() {
    queue.close()
    let thread = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let thread { _ = pthread_join(thread, nil) }
  }
}

/// A completion that leaves this box on the loop and ends there, with the timers and streams it holds: the store's thread, which may let go
/// of the box last, must not end those.
private final class OnceCompletion<Answer>: Sendable {
  private let body: Mutex<(@Sendable (Answer) -> Void)?>
  init(_ body: @escaping @Sendable (Answer) -> Void) { self.body = Mutex(body) }

  func take() -> (@Sendable (Answer) -> Void)? {
    body.withLock { body in
      defer { body = nil }
      return body
    }
  }
}

/// What the new thread takes over.
// @unchecked Sendable: made on one thread, used on the other, never on both; the store came as a `sending` value.
private final class ThreadStart: @unchecked Sendable {
  private let store: any AccountStore
  private let queue: WorkQueue

  init(store: any AccountStore, queue: WorkQueue) {
    self.store = store
    self.queue = queue
  }

  func run() {
    while let work = queue.pop() { work(store) }
  }
}

/// A bounded queue in front of one thread that sleeps in read(2) of an eventfd.
private final class WorkQueue: Sendable {
  typealias Work = @Sendable (any AccountStore) -> Void

  private struct State {
    var waiting: [Work] = []
    var batch: [Work] = []  // reversed: the next is last
    var count = 0  // waiting, in the batch, or running
    var isRunning = false
    var isClosed = false
  }
  private let state = Mutex(State())
  private let wakeup: FileDescriptor

  init() throws(SystemError) {
    let opened = eventfd(0, CInt(EFD_CLOEXEC))
    if opened < 0 { throw SystemError(errno, "eventfd") }
    wakeup = FileDescriptor(adopting: opened)
  }

  func push(_ work: @escaping Work) -> Bool {
    let (isAccepted, mustSignal) = state.withLock { state in
      if state.isClosed || state.count >= StoreThread.queueLimit { return (false, false) }
      state.count += 1
      state.waiting.append(work)
      return (true, state.waiting.count == 1)
    }
    if mustSignal { signal() }
    return isAccepted
  }

  var count: Int { state.withLock { $0.count } }

  func close() {
    state.withLock { $0.isClosed = true }
    signal()
  }

  /// The next piece of work; waits for one. Nil once closed and empty. Called by one thread, which has finished the one before.
  func pop() -> Work? {
    while true {
      let (work, isOver) = state.withLock { state -> (Work?, Bool) in
        if state.isRunning { state.count -= 1 }
        if state.batch.isEmpty {
          state.batch = state.waiting.reversed()
          state.waiting.removeAll(keepingCapacity: true)
        }
        let work = state.batch.popLast()
        state.isRunning = work != nil
        return (work, state.isClosed)
      }
      if let work { return work }
      if isOver { return nil }
      var counter: UInt64 = 0
      unsafe _ = read(wakeup.rawValue, &counter, 8)
    }
  }

  private func signal() {
    var one: UInt64 = 1
    unsafe _ = write(wakeup.rawValue, &one, 8)
  }
}
