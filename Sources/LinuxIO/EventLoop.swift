internal import CLinux
public import CausewayBase
internal import Glibc
internal import Synchronization

/// What epoll reported for a descriptor since the last turn (edge-triggered).
public struct Readiness: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Bytes, a connection, or an end of file can be read.
  public static let readable = Readiness(rawValue: 0x001)  // EPOLLIN
  public static let writable = Readiness(rawValue: 0x004)  // EPOLLOUT
  public static let failed = Readiness(rawValue: 0x008)  // EPOLLERR
  /// Both directions are gone.
  public static let hungUp = Readiness(rawValue: 0x010)  // EPOLLHUP
  /// The peer sent its FIN; unread bytes may precede it.
  public static let peerFinished = Readiness(rawValue: 0x2000)  // EPOLLRDHUP
}

/// Whoever owns a registered descriptor. Called on the loop's thread only.
public protocol EventHandler: AnyObject {
  func handle(_ readiness: Readiness)
}

/// Something to do once, after all events of the present turn: a lane writes there what its streams left for it.
public protocol TurnEndHandler: AnyObject {
  func turnWillEnd()
}

/// One thread, one epoll set, timers, and an inbox for other threads.
///
/// It is a `SerialExecutor` and a `TaskExecutor`: async code pinned to it resumes on its thread. Handlers are plain objects that
/// only this thread touches; that is why they need not be `Sendable`. A turn is: wait, events, those who asked to come back, timers,
/// closures and jobs of this thread, turn-end handlers. A warm turn allocates nothing of its own.
// @unchecked Sendable: `inbox` is behind `gate`, the wake-up descriptor is written by anyone and read by the loop, everything
// else belongs to the thread inside `run`, which `preconditionOnLoop` checks.
@safe public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
  /// Events taken from the kernel in one turn.
  public static let eventsPerTurn = 256

  private let epoll: FileDescriptor
  private let wakeup: FileDescriptor
  // A pthread mutex: the thread sanitizer does not see into Synchronization.Mutex once it is contended.
  private let gate = Gate()
  private var inbox = Inbox()
  private let thread = Atomic<UInt>(0)
  /// Whether the inbox holds something, and whether the loop looks at that before it sleeps: only then needs nobody wake it. False for
  /// ever without a companion.
  private let inboxFilled = Atomic<Bool>(false)
  private let looksBeforeSleep = Atomic<Bool>(false)
  /// As `hasLocalWork`, for a companion that asks between any two polls.
  private let localWorkFilled = Atomic<Bool>(false)

  private struct Inbox {
    var jobs: [UnownedJob] = []
    var closures: [@Sendable () -> Void] = []
    var stopRequested = false
    var signalled = false
  }

  // The loop's own. Each queue has a twin, empty between turns: the two are swapped before the work, so that handlers may add to
  // the first while the second is walked, and neither gives its memory away.
  private var slots: [Slot] = []
  private var freeSlots: [UInt32] = []
  private var localJobs: [UnownedJob] = []
  private var runningJobs: [UnownedJob] = []
  private var localClosures: [@Sendable () -> Void] = []
  private var runningClosures: [@Sendable () -> Void] = []
  private var inboxTwin = Inbox()
  private var turnEnd: [any TurnEndHandler] = []
  private var runningTurnEnd: [any TurnEndHandler] = []
  private var soon: [any EventHandler] = []
  private var runningSoon: [any EventHandler] = []
  private var timers = TimerHeap()
  private var dueTimers: [LoopTimer] = []
  private var stopping = false
  private var companion: (any LoopCompanion)?
  /// What jobs are told to run on; nil for the loop itself.
  private var jobExecutor: UnownedTaskExecutor?
  private var events = [shim_event](repeating: shim_event(), count: EventLoop.eventsPerTurn)
  let tlsBuffers = TLSBufferPool()
  /// The time at the start of this turn's work.
  public private(set) var now: Instant

  private struct Slot {
    var handler: (any EventHandler)?
    var generation: UInt32 = 0
  }

  /// A registration's name: slot and generation, never the reusable descriptor number.
  public struct Registration: Equatable {
    fileprivate let slot: UInt32
    fileprivate let generation: UInt32
    fileprivate let descriptor: CInt
  }

  public init() throws(SystemError) {
    epoll = FileDescriptor(adopting: CInt(try SystemError.check(shim_result(Int(epoll_create1(CInt(EPOLL_CLOEXEC)))), "epoll_create1")))
    wakeup = FileDescriptor(
      adopting: CInt(try SystemError.check(shim_result(Int(eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK)))), "eventfd")))
    now = Instant(nanoseconds: shim_now_ns())
    let result = shim_epoll_control(epoll.rawValue, EPOLL_CTL_ADD, wakeup.rawValue, Readiness.readable.rawValue, .max, .max)
    try SystemError.check(Int(result), "epoll_ctl")
  }

  /// Whether the caller is on the loop's thread.
  public var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

  @inline(__always) func preconditionOnLoop() { assert(isCurrent || thread.load(ordering: .relaxed) == 0, "touched off its event loop") }

  // MARK: Descriptors

  /// Watches `descriptor` for every kind of readiness, edge-triggered, once and for all: no later `epoll_ctl` on the hot path.
  /// Level-triggered it is watched for reading only. The loop keeps `handler` alive until `deregister`.
  public func register(_ descriptor: CInt, _ handler: any EventHandler, levelTriggered: Bool = false) throws(SystemError) -> Registration {
    preconditionOnLoop()
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(slots.count)
      slots.append(Slot())
    }
    let generation = slots[Int(slot)].generation &+ 1
    slots[Int(slot)] = Slot(handler: handler, generation: generation)
    let edge: UInt32 = levelTriggered ? 0x001 : (0x001 | 0x004 | 0x2000 | 1 << 31)  // IN, or IN|OUT|RDHUP|ET
    let result = shim_epoll_control(epoll.rawValue, EPOLL_CTL_ADD, descriptor, edge, slot, generation)
    if result < 0 {
      slots[Int(slot)].handler = nil
      freeSlots.append(slot)
      throw SystemError(-result, "epoll_ctl")
    }
    return Registration(slot: slot, generation: generation, descriptor: descriptor)
  }

  /// Stops watching; call it before the descriptor is closed. Events already fetched for it are dropped.
  public func deregister(_ registration: Registration) {
    preconditionOnLoop()
    let index = Int(registration.slot)
    guard slots[index].generation == registration.generation, let handler = slots[index].handler else { return }
    slots[index].handler = nil
    freeSlots.append(registration.slot)
    _ = shim_epoll_control(epoll.rawValue, EPOLL_CTL_DEL, registration.descriptor, 0, 0, 0)
    // The last reference must not die inside the write to `slots`: its deinit may come back here.
    withExtendedLifetime(handler) {}
  }

  /// Pauses or resumes a level-triggered registration (a listener that ran out of descriptors).
  public func setPaused(_ registration: Registration, _ paused: Bool) {
    preconditionOnLoop()
    guard slots[Int(registration.slot)].generation == registration.generation, slots[Int(registration.slot)].handler != nil else { return }
    let events = paused ? 0 : Readiness.readable.rawValue
    _ = shim_epoll_control(epoll.rawValue, EPOLL_CTL_MOD, registration.descriptor, events, registration.slot, registration.generation)
  }

  // MARK: Later

  /// Calls `handler.turnWillEnd()` once after this turn's events. The caller guards against asking twice.
  public func atTurnEnd(_ handler: any TurnEndHandler) {
    preconditionOnLoop()
    turnEnd.append(handler)
  }

  /// Calls `handler.handle([])` in the next turn, before the loop sleeps: a stream that spent its budget comes back this way.
  public func runSoon(_ handler: any EventHandler) {
    preconditionOnLoop()
    soon.append(handler)
  }

  /// Runs `body` on the loop's thread, from any thread, never inside this call. Closures of one thread keep their order. Unbounded:
  /// the caller posts at most a few for each thing it owns.
  public func post(_ body: @escaping @Sendable () -> Void) {
    if isCurrent {
      localClosures.append(body)
      localWorkFilled.store(true, ordering: .relaxed)
      return
    }
    let mustSignal = gate.withLock {
      inbox.closures.append(body)
      defer { inbox.signalled = true }
      return !inbox.signalled
    }
    if mustSignal { wake() }
  }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isCurrent {
      localJobs.append(job)
      localWorkFilled.store(true, ordering: .relaxed)
      return
    }
    let mustSignal = gate.withLock {
      inbox.jobs.append(job)
      defer { inbox.signalled = true }
      return !inbox.signalled
    }
    if mustSignal { wake() }
  }

  /// Sequentially consistent on both sides: either the loop's last look before its sleep finds the inbox filled, or we see it asleep.
  private func wake() {
    inboxFilled.store(true, ordering: .sequentiallyConsistent)
    if !looksBeforeSleep.load(ordering: .sequentiallyConsistent) { signal() }
  }

  private func signal() {
    var one: UInt64 = 1
    unsafe _ = write(wakeup.rawValue, &one, 8)
  }

  func schedule(_ timer: LoopTimer, at deadline: Instant) {
    preconditionOnLoop()
    timers.schedule(timer, deadline)
  }

  func forget(_ timer: LoopTimer) {
    preconditionOnLoop()
    timers.remove(timer)
  }

  // MARK: Isolation

  /// Lets `actor.assumeIsolated` work inside handlers, which are no jobs.
  public func checkIsolated() { precondition(isCurrent, "touched off its event loop") }
  public func isIsolatingCurrentContext() -> Bool? { isCurrent }

  // MARK: Running

  /// Runs until `stop()`, on the calling thread, which becomes the loop's. What was posted before `stop()` still runs.
  public func run() {
    precondition(thread.exchange(UInt(pthread_self()), ordering: .acquiringAndReleasing) == 0, "an event loop runs on one thread at a time")
    stopping = false
    now = Instant(nanoseconds: shim_now_ns())
    if let companion {
      looksBeforeSleep.store(true, ordering: .sequentiallyConsistent)
      while !stopping { turn(with: companion, mayWait: true) }
      looksBeforeSleep.store(false, ordering: .sequentiallyConsistent)
    } else {
      while !stopping { turn(mayWait: true) }
    }
    finishTurns()
    thread.store(0, ordering: .releasing)
  }

  /// Ends `run()` after the present turn, from any thread. Before `run()` it ends that one after its first turn.
  public func stop() {
    gate.withLock { inbox.stopRequested = true }
    inboxFilled.store(true, ordering: .sequentiallyConsistent)
    signal()
  }

  private func turn(mayWait: Bool) {
    let count = wait(mayWait)
    now = Instant(nanoseconds: shim_now_ns())
    // Those who asked in the last turn; who asks during this one waits for the next, behind fresh events.
    swap(&soon, &runningSoon)
    for index in 0..<count {
      let event = events[index]
      if event.slot == .max {
        clearWakeup()
        drainInbox()
        continue
      }
      let slot = slots[Int(event.slot)]
      guard slot.generation == event.generation, let handler = slot.handler else { continue }
      handler.handle(Readiness(rawValue: event.events))
    }
    for handler in runningSoon { handler.handle([]) }
    Self.empty(&runningSoon)
    fireTimers()
    if hasLocalWork { runLocalWork() }
    if !turnEnd.isEmpty { runTurnEnd() }
  }

  private func wait(_ mayWait: Bool) -> Int {
    let timeout: CInt
    if !mayWait || !soon.isEmpty || hasLocalWork || !turnEnd.isEmpty {
      timeout = 0
    } else if let deadline = timers.nextDeadline {
      let current = shim_now_ns()
      // Rounded up: waking a fraction early would spin. epoll counts CLOCK_MONOTONIC: after a suspend it may wake that much late.
      timeout = deadline.nanoseconds <= current ? 0 : CInt(clamping: (deadline.nanoseconds - current).dividedRoundingUp(by: 1_000_000))
    } else {
      timeout = -1
    }
    if let companion { return wait(timeout, with: companion) }
    // SAFETY: the array holds `eventsPerTurn` elements. An interrupted wait is a turn without events.
    return Int(max(0, unsafe shim_epoll_wait(epoll.rawValue, &events, CInt(Self.eventsPerTurn), timeout)))
  }

  /// The companion is told of every sleep, and whoever fills the inbox during one wakes us.
  private func wait(_ timeout: CInt, with companion: any LoopCompanion) -> Int {
    var timeout = timeout
    let sleeps = timeout != 0 && companion.willWait()
    if sleeps {
      looksBeforeSleep.store(false, ordering: .sequentiallyConsistent)
      if inboxFilled.load(ordering: .sequentiallyConsistent) { timeout = 0 }
    } else {
      timeout = 0
    }
    // SAFETY: as above.
    let count = Int(max(0, unsafe shim_epoll_wait(epoll.rawValue, &events, CInt(Self.eventsPerTurn), timeout)))
    if sleeps {
      looksBeforeSleep.store(true, ordering: .relaxed)
      companion.didWait()
    }
    return count
  }

  private func clearWakeup() {
    var counter: UInt64 = 0
    // SAFETY: 8 bytes into a local of 8 bytes.
    unsafe _ = read(wakeup.rawValue, &counter, 8)
  }

  private func drainInbox() {
    inboxFilled.store(false, ordering: .relaxed)
    gate.withLock { swap(&inbox, &inboxTwin) }
    if inboxTwin.stopRequested { stopping = true }
    for closure in inboxTwin.closures { closure() }
    for job in inboxTwin.jobs { run(job) }
    Self.empty(&inboxTwin.closures)
    Self.empty(&inboxTwin.jobs)
    inboxTwin.stopRequested = false
    inboxTwin.signalled = false
  }

  private func run(_ job: UnownedJob) {
    // SAFETY: every job is run once, by the executor it was enqueued on.
    unsafe job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: jobExecutor ?? asUnownedTaskExecutor())
  }

  private func fireTimers() {
    guard let next = timers.nextDeadline, next <= now else { return }
    // All due ones first: a timer that arms itself for now again waits for the next turn.
    while let timer = timers.popDue(now) { dueTimers.append(timer) }
    for timer in dueTimers { timer.fireIfDue(now) }
    Self.empty(&dueTimers)
  }

  // MARK: Companion

  /// Gives the loop somebody to poll, before it runs.
  public func attach(_ companion: any LoopCompanion) {
    preconditionOnLoop()
    self.companion = companion
  }

  /// Jobs run in the name of `executor`, which hands its own to this loop and lives as long as jobs come. Before the first job.
  public func setJobExecutor(_ executor: UnownedTaskExecutor) { unsafe jobExecutor = executor }

  /// The circle between loop and companion ends here, after the loop's last turn.
  public func detachCompanion() {
    preconditionOnLoop()
    companion = nil
  }

  /// Ends a sleep, from any thread.
  public func interrupt() { signal() }

  /// Whether jobs or closures wait for this loop: a companion that spins lets them run.
  public var hasWaitingWork: Bool { localWorkFilled.load(ordering: .relaxed) || inboxFilled.load(ordering: .relaxed) }

  /// Readable when a turn has something to do, timers apart: for a program that runs the turns itself, with a companion's `turnOnce`.
  public var descriptor: CInt { epoll.rawValue }

  /// When a turn is due without an event, for a timer or for what the last one left; nil for never. The other half of `descriptor`, between
  /// turns, for who runs them.
  public var nextTurn: Instant? { !soon.isEmpty || hasLocalWork || !turnEnd.isEmpty ? now : timers.nextDeadline }

  /// One turn without waiting, on a thread that becomes the loop's for so long; inside a turn nothing.
  public func turnOnce() {
    if isCurrent { return }
    precondition(thread.exchange(UInt(pthread_self()), ordering: .acquiringAndReleasing) == 0, "an event loop runs on one thread at a time")
    if let companion { turn(with: companion, mayWait: false) } else { turn(mayWait: false) }
    thread.store(0, ordering: .releasing)
  }

  private func turn(with companion: any LoopCompanion, mayWait: Bool) {
    let answer = companion.poll()
    if inboxFilled.load(ordering: .relaxed) { drainInbox() }
    switch answer {
    case .runWork:
      runLocalWork()
      if !turnEnd.isEmpty { runTurnEnd() }
    case .look: turn(mayWait: false)
    case .wait: turn(mayWait: mayWait)
    }
  }

  private var hasLocalWork: Bool { !localJobs.isEmpty || !localClosures.isEmpty }

  private func runLocalWork() {
    // Work that this work enqueues runs in the same turn, up to a bound that keeps descriptors served.
    var rounds = 0
    while hasLocalWork && rounds < 16 {
      swap(&localClosures, &runningClosures)
      for closure in runningClosures { closure() }
      Self.empty(&runningClosures)
      swap(&localJobs, &runningJobs)
      for index in runningJobs.indices {
        // The last one may ask whether anybody else waits.
        if index == runningJobs.count - 1 { localWorkFilled.store(!localJobs.isEmpty, ordering: .relaxed) }
        run(runningJobs[index])
      }
      Self.empty(&runningJobs)
      rounds += 1
    }
    localWorkFilled.store(hasLocalWork, ordering: .relaxed)
  }

  private func runTurnEnd() {
    var rounds = 0
    while !turnEnd.isEmpty && rounds < 4 {
      swap(&turnEnd, &runningTurnEnd)
      for handler in runningTurnEnd { handler.turnWillEnd() }
      Self.empty(&runningTurnEnd)
      rounds += 1
    }
  }

  /// After the last turn: what is already queued, in bounded rounds; then nothing of this thread is left behind.
  private func finishTurns() {
    var rounds = 0
    repeat {
      clearWakeup()
      drainInbox()
      runLocalWork()
      runTurnEnd()
      rounds += 1
    } while (hasLocalWork || !turnEnd.isEmpty) && rounds < 8
  }

  /// Empties a queue and keeps its memory, unless one burst made it large.
  private static func empty<T>(_ queue: inout [T]) {
    if queue.isEmpty { return }
    queue.removeAll(keepingCapacity: queue.capacity <= 4096)
  }
}

extension UInt64 {
  fileprivate func dividedRoundingUp(by divisor: UInt64) -> UInt64 { self / divisor + (self % divisor == 0 ? 0 : 1) }
}
