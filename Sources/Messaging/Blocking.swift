internal import CLinux
internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// A thread that waits for one operation or for a batch of them.
// @unchecked Sendable: the completion is written before `isDone` and read after it.
final class BlockingWait: @unchecked Sendable {
  private let left: Atomic<Int>
  private let isAsleep = Atomic<Bool>(false)
  /// Made for the sleep.
  private var descriptor: CInt = -1
  private(set) var completion = Completion()
  private var completions: [Completion]

  init(count: Int = 1) {
    left = Atomic(count)
    completions = count == 1 ? [] : [Completion](repeating: Completion(), count: count)
  }

  deinit { if descriptor >= 0 { _ = close(descriptor) } }

  /// The owner of the driver's lock.
  func set(_ index: Int, _ completion: Completion) {
    if completions.isEmpty { self.completion = completion } else { completions[index] = completion }
    guard left.subtract(1, ordering: .sequentiallyConsistent).newValue == 0 else { return }
    if isAsleep.load(ordering: .sequentiallyConsistent) {
      var one: UInt64 = 1
      _ = unsafe write(descriptor, &one, 8)
    }
  }

  var isDone: Bool { left.load(ordering: .acquiring) == 0 }

  func sleep() {
    descriptor = eventfd(0, CInt(EFD_CLOEXEC))
    if descriptor < 0 {
      // No descriptor left: look now and then.
      while !isDone { usleep(1000) }
      return
    }
    isAsleep.store(true, ordering: .sequentiallyConsistent)
    if left.load(ordering: .sequentiallyConsistent) == 0 { return }
    var counter: UInt64 = 0
    while unsafe read(descriptor, &counter, 8) < 0 && errno == EINTR {}
  }

  var results: [Completion] { completions.isEmpty ? [completion] : completions }
}

extension MessageReceiver {
  /// Receives on the calling thread, which drives the engine itself for a moment and sleeps then. Never on the engine's thread.
  public final func receiveBlocking(
    into buffer: MessageBuffer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, timeout: Duration? = nil
  ) throws(MessagingError) -> Received {
    let completion = try unsafe receiveBlocking(
      into: UnsafeMutableRawBufferPointer(start: buffer.base, count: buffer.count), keeper: buffer, tag, mask, endpoint, timeout)
    return try completion.get("receive on \(subject)")
  }

  /// The same in memory that `keeper` keeps valid past the call, or the caller for the call.
  public final func receiveBlocking(
    into memory: UnsafeMutableRawBufferPointer, keeper: AnyObject?, _ tag: Tag, _ mask: TagMask, _ endpoint: Endpoint?, _ timeout: Duration?
  ) throws(MessagingError) -> Completion {
    let wait = BlockingWait()
    try driver.drive(engine, wait, "receive on \(subject)") {
      unsafe post(memory.baseAddress, memory.count, false, keeper, tag, mask, endpoint, timeout, .blocking(wait, 0))
    }
    return wait.completion
  }
}

extension MessagePort {
  /// Sends on the calling thread. As `receiveBlocking`.
  public final func sendBlocking(_ buffer: MessageBuffer, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    throws(MessagingError)
  {
    let completion = try unsafe sendBlocking(
      UnsafeRawBufferPointer(start: buffer.base, count: buffer.count), keeper: buffer, tag, synchronous: isSynchronous, timeout)
    try completion.check("send to \(subject)")
  }

  /// The same of memory that `keeper` keeps valid past the call, or the caller for the call.
  public final func sendBlocking(
    _ memory: UnsafeRawBufferPointer, keeper: AnyObject?, _ tag: Tag, synchronous isSynchronous: Bool, _ timeout: Duration?
  ) throws(MessagingError) -> Completion {
    let wait = BlockingWait()
    try driver.drive(engine, wait, "send to \(subject)") {
      unsafe start(.contiguous(memory.baseAddress, memory.count), memory.count, keeper, tag, isSynchronous, timeout, .blocking(wait, 0))
    }
    return wait.completion
  }
}

extension Driver {
  /// Starts operations on the calling thread and waits for them, driving the worker itself for a while: no other thread is woken for
  /// what is over by then.
  func drive(_ engine: Engine, _ wait: BlockingWait, _ subject: @autoclosure () -> String, _ start: () -> Void) throws(MessagingError) {
    try engine.checkFork(subject())
    if isOwner { throw MessagingError(.invalidArgument, subject(), cause: "a blocking call would stop the engine's own thread") }
    beginDriving()
    start()
    settle()
    let limit = pace.isManual ? .max : crowd.budget(pace.guestBudget, now())
    var begun: UInt64 = 0
    var polls = 0
    while !wait.isDone && !isShutDown {
      if progress() { begun = 0 }
      if !submissions.isEmpty { drainSubmissions() }
      settle()
      if wait.isDone { break }
      polls += 1
      if polls & 15 == 0 || isReading {
        if engineWantsIn { yieldToEngine() }
        let time = now()
        if begun == 0 { begun = time }
        if time &- begun >= limit {
          if limit > 0 { crowd.noteVain(time) }
          break
        }
        if unsafe pace.isManual && core.pointee.nextDeadline != .distantFuture {
          unsafe core.pointee.advance(to: MessageReceiver.deadline(.zero))
        }
      }
    }
    endDriving(isDone: wait.isDone)
    if !wait.isDone { wait.sleep() }
  }
}
