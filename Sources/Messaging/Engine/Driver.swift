internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// A UCX worker, the core that decides, and what belongs to the core's slots: all behind one lock, which whoever drives the worker holds
/// for its whole turn. The engine's thread holds it while it is awake.
///
/// No method here is re-entered through a running change of the core: UCX is called between the core's calls, never inside one, because
/// UCX may call back at once (a message to ourselves).
// @unchecked Sendable: everything but the atomics and the submission ring is touched by the owner of the lock only.
@safe final class Driver: LoopCompanion, @unchecked Sendable {
  /// The active message that carries ours.
  static let messageID: UInt32 = 1
  /// The longest time between two looks at descriptors while the thread spins.
  static let lookInterval: UInt64 = 50_000
  /// Of the 64 rounds of a program's own turn: what one that reads a peer's memory counts for.
  static let readRound = 16
  /// The longest sleep: a safety net under UCX's wake-ups.
  static let longestSleep = Duration.milliseconds(100)

  let loop: EventLoop
  let table: UnsafePointer<cucx_library>
  let context: ucp_context_h
  /// What the worker is called.
  let name: String
  /// Of the worker that there is now (Driver+Renewal). A pointer, as a field of a class is checked for exclusive access at each look.
  let workerPlace: UnsafeMutablePointer<ucp_worker_h>
  @inline(__always) var worker: ucp_worker_h { unsafe workerPlace.pointee }
  /// Longest payload that goes in one piece with its header.
  let eagerLimit: Int
  let core: UnsafeMutablePointer<MessagingCore>
  let receives = SlotTable<ReceiveSlot>(limit: 1 << 22) { ReceiveSlot() }
  let sends = SlotTable<SendSlot>(limit: 1 << 22) { SendSlot() }
  let messages = SlotTable<MessageSlot>(limit: 1 << 24) { MessageSlot() }
  let flushes = SlotTable<FlushSlot>(limit: 1 << 22) { FlushSlot() }
  let connections = SlotTable<ConnectionSlot>(limit: ConnectionID.limit) { ConnectionSlot() }
  let controls = SlotTable<ControlSlot>(limit: 1 << 20) { ControlSlot() }
  /// Those under way come first.
  let reads = SlotTable<ReadSlot>(limit: 1 << 22) { ReadSlot() }
  let work: UnsafeMutablePointer<Work>
  let submissions = SubmissionRing(capacity: 1 << 14)
  let pace: Pace
  /// Tells large pages from small ones, where the kernel does.
  var pageMap = PageMap()
  /// Helps with long reads, from the first one on.
  var readingThread: ReadingThread?
  var hasTriedHelp = false

  let owner = Atomic<UInt>(0)
  /// The thread that turns the loop of a program that drives by itself (Driver+Manual).
  let turner = Atomic<UInt>(0)
  let isParked = Atomic<Bool>(true)
  let guests = Atomic<Int>(0)
  /// Other threads that drive, and when one did last (Driver+Guests).
  let drivers = Atomic<Int>(0)
  let lastDrive = Atomic<UInt64>(0)
  let crowd = Crowd()
  /// The engine's thread wants the lock back.
  let isWanted = Atomic<Bool>(false)
  /// It sleeps without having armed the worker, because others drive.
  let sleepsOnLease = Atomic<Bool>(false)
  /// When it wakes at the latest.
  let sleepsUntil = Atomic<UInt64>(0)
  /// Nobody drives any more; what comes is refused by whoever brings it.
  let hasEnded = Atomic<Bool>(false)

  /// What the owner of the lock has before it.
  @safe struct Work: ~Copyable {
    var callbacks = CallbackList()
    var runningCallbacks = CallbackList()
    /// Connections to be torn down outside UCX's callbacks.
    var lost: [ConnectionID] = []
    /// Reads of peers' memory that are under way, and whose turn it is.
    var readCount = 0
    var nextRead = 0
    /// Messages that peers may read from us.
    var offerCount = 0
    /// The last offer's; odd, so never 0.
    var ticket = UInt64.random(in: 0 ... .max) | 1
    var freeControls: [UInt32] = []
    var controlCount: UInt32 = 0
    var blocks = BlockPool()
    var operationCount: UInt64 = 0
    var polls: UInt64 = 0
    /// Whether nobody drove before the guest that drives now.
    var wasParked = false
    var nextLook: UInt64 = 0
    var idleSince: UInt64 = 0
    /// What ended for the task that looks out, and how often one did.
    var seen: Completion?
    var lookOuts: UInt64 = 0
    /// Times that UCX would not be armed, one after the other with nothing to do between them.
    var refusedSleeps = 0
    /// Endpoints that UCX is closing.
    var closing = 0
    var roomWaiters: [UnsafeContinuation<Void, Never>] = unsafe []
    /// When they try again, room or not.
    var nextRoomLook: UInt64 = 0
    var dropped: [UInt64] = [UInt64](repeating: 0, count: 256)
    var safetyWakes: UInt64 = 0
    /// The timers end the next sleep as early as a lease asks for.
    var isSetForLease = false
    var queueWatch = QueueWatch()
    /// Where peers find the worker, and how many workers there were before.
    var addresses = WorkerAddresses()
    var renewals: UInt32 = 0
    var isShutDown = false
    /// A callback ended the engine whose turn it runs in.
    var closeAll: (() -> Void)?
  }

  var efdRegistration: EventLoop.Registration?
  var deadlineTimer: LoopTimer?
  var safetyTimer: LoopTimer?
  var queueTimer: LoopTimer?
  /// Peers of this host may write into our memory.
  var sharesMemory = true
  let efdHandler = Quiet()
  final class Quiet: EventHandler { func handle(_ readiness: Readiness) {} }

  init(
    loop: EventLoop, library: UCXLibrary, context: ucp_context_h, worker: ucp_worker_h, name: String, limits: MessagingLimits,
    seed: UInt64, mode: ProgressMode
  ) {
    self.loop = loop
    unsafe table = library.table
    unsafe self.context = context
    self.name = name
    let header = unsafe cucx_worker_max_header(library.table, worker)
    eagerLimit = min(8192, max(64, header)) - MessageHeader.byteCount
    // SAFETY: all three live as long as the driver.
    unsafe workerPlace = .allocate(capacity: 1)
    unsafe workerPlace.initialize(to: worker)
    unsafe core = .allocate(capacity: 1)
    unsafe core.initialize(to: MessagingCore(limits: limits, seed: seed))
    unsafe work = .allocate(capacity: 1)
    unsafe work.initialize(to: Work())
    pace = Pace(mode)
    loop.attach(self)
  }

  deinit {
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
    unsafe work.deinitialize(count: 1)
    unsafe work.deallocate()
    unsafe workerPlace.deallocate()
  }

  /// On the loop's thread, or before it runs.
  /// - Parameter efd: The worker's descriptor.
  func start(_ efd: CInt) throws(SystemError) {
    unsafe work.pointee.addresses = try prepare(worker)
    // By edges: a worker that others drive is not armed, and its descriptor stays readable meanwhile.
    efdRegistration = try loop.register(efd, efdHandler)
    deadlineTimer = LoopTimer(loop) { [unowned self] now in unsafe core.pointee.advance(to: now) }
    safetyTimer = LoopTimer(loop) { [unowned self] _ in
      unsafe work.pointee.safetyWakes += 1
      resumeRoomWaiters(evenWithoutRoom: true)
    }
  }

  /// Everything is closed; destroys the worker. The owner of the lock, on the loop's thread.
  func shutDown() {
    guard unsafe !work.pointee.isShutDown else { return }
    unsafe work.pointee.isShutDown = true
    if let efdRegistration { loop.deregister(efdRegistration) }
    efdRegistration = nil
    deadlineTimer = nil
    safetyTimer = nil
    queueTimer = nil
    endProbe()
    while isReading { unsafe stopReads(of: reads.pointer(0).pointee.connection, .closed) }
    readingThread?.stop()
    readingThread = nil
    finishClosing(atMost: 200_000_000)
    // SAFETY: nobody calls UCX with them again: `isShutDown` is looked at by every turn and submission.
    unsafe table.pointee.worker_destroy(worker)
    unsafe table.pointee.cleanup(context)
    unsafe messages.visit { unsafe release(slot: $0) }
  }

  var isShutDown: Bool { unsafe work.pointee.isShutDown }

  /// One step of the transport, and of what is read from peers. Returns whether there was anything to do.
  @inline(__always) func progress() -> Bool {
    let isBusy = unsafe cucx_progress(table, worker) != 0
    if unsafe work.pointee.readCount == 0 { return isBusy }
    readOn()
    return true
  }

  /// Descriptors and timers are looked at between two pieces of a long read.
  @inline(__always) var isReading: Bool { unsafe work.pointee.readCount > 0 }

  /// Everything that came in is given to the core.
  func progressToEnd() {
    var rounds = 0
    while unsafe cucx_progress(table, worker) != 0 && rounds < 10_000 {
      settle()
      rounds += 1
    }
    settle()
  }

  /// The engine's thread, before and after its loop.
  func begin() {
    acquire()
    isParked.store(false, ordering: .relaxed)
  }

  func end() {
    drainSubmissions()
    settle()
    _ = runCallbacks()
    shutDown()
    loop.detachCompanion()
    while runCallbacks() {}
    hasEnded.store(true, ordering: .sequentiallyConsistent)
    drainSubmissions()
    resumeRoomWaiters(evenWithoutRoom: true)
    while runCallbacks() {}
    release()
    // Tasks that ended above still want to run here.
    for _ in 0..<64 { loop.turnOnce() }
  }

  func drainSubmissions() { if !submissions.isEmpty { submissions.drain { perform($0) } } }

  // MARK: From other threads

  /// Hands an operation over; false when the ring is full. Wakes the engine's thread if it sleeps.
  func submit(_ operation: consuming Operation) -> Bool {
    guard submissions.push(operation) else { return false }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if isParked.load(ordering: .relaxed), isParked.exchange(false, ordering: .sequentiallyConsistent) { loop.interrupt() }
    return true
  }

  // MARK: Effects

  @inline(__always) func settle() {
    if unsafe core.pointee.hasEffects { performAll() }
    if unsafe !work.pointee.lost.isEmpty { tearDownLost() }
  }

  @inline(never) private func performAll() { while let effect = unsafe core.pointee.nextEffect() { perform(effect) } }
}
