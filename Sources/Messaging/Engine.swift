internal import CUCX
internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Glibc
internal import Synchronization

/// One thread, one UCX worker, one set of descriptors. Servers, clients and endpoints live on it; most programs need one.
///
/// It is a `TaskExecutor`: a task on it (`Task(executorPreference: engine)`) sends and receives without leaving the thread. Completion
/// callbacks run there too; neither may block.
public final class Engine: TaskExecutor, @unchecked Sendable {  // the thread handle is written in `init`
  public struct Options: Sendable {
    public var progress = ProgressMode.standard
    /// Which UCX; nil asks `CAUSEWAY_UCX` and `STARWAY_USE_SYSTEM_UCX`. One for the whole process.
    public var source: UCXSource?
    /// Folders of a `libucx` wheel's libraries, tried before the usual site-packages.
    public var wheelFolders: [String] = []
    /// UCX's own settings, without their "UCX_": ("TLS", "posix,tcp").
    public var settings: [(name: String, value: String)] = []
    /// Sends and receives under way at once.
    public var inFlightLimit = 65_536
    /// What unreceived messages of all endpoints may cost, and the least and most of it that one endpoint is granted, in bytes.
    public var unreceivedByteLimit = 64 << 20
    public var minimumGrant = 64 << 10
    public var maximumGrant = 4 << 20
    /// How long the host of a silent peer may be gone unnoticed; whole seconds, at least 2.
    public var hostTimeout = Duration.seconds(5)
    public var name = "messaging"

    public init() {}
  }

  public let options: Options
  let driver: Driver
  let library: UCXLibrary
  /// Peers on this host may read its memory, and it theirs (cma).
  let readsMemory: Bool
  /// The user who made it: the shared memory is theirs.
  private let owner = geteuid()
  let registry: Registry
  private let forkDepth: UInt32
  private let thread: Thread?
  private let isStopped = Atomic<Bool>(false)
  private let operationCount = Atomic<UInt64>(0)

  public init(_ options: Options = Options()) throws(MessagingError) {
    if case .busy(let core?) = options.progress, cucx_may_use_core(Int32(clamping: core)) == 0 {
      throw MessagingError(.invalidArgument, "engine", cause: "core \(core) is none that this process may use")
    }
    self.options = options
    library = try UCXLibrary.load(options.source, wheelFolders: options.wheelFolders)
    forkDepth = cucx_fork_depth()
    // Each connection takes descriptors. What the process may have anyway is allowed at once; where it can't be, less is left.
    _ = try? ProcessLimits.raiseDescriptorLimit()
    let (context, worker, efd, sharesMemory, transports) = try unsafe Self.openWorker(library, options)
    readsMemory = MemoryPlace.isAllowed(by: transports)
    do throws(SystemError) {
      let loop = try EventLoop()
      var limits = MessagingLimits()
      limits.inFlight = options.inFlightLimit
      limits.unreceivedByteCount = options.unreceivedByteLimit
      limits.minimumGrant = options.minimumGrant
      limits.maximumGrant = options.maximumGrant
      let driver = unsafe Driver(
        loop: loop, library: library, context: context, worker: worker, name: options.name, limits: limits,
        seed: .random(in: 0 ... .max), mode: options.progress)
      self.driver = driver
      registry = Registry(driver)
      driver.sharesMemory = sharesMemory
      try driver.start(efd)
      if options.progress == .manual {
        thread = nil
      } else {
        let mode = options.progress
        let registry = registry
        thread = try Thread(name: options.name, stackByteCount: 2 << 20) {
          if case .busy(let core?) = mode { _ = cucx_bind_to_core(Int32(clamping: core)) }
          driver.begin()
          loop.run()
          registry.shutDown()
          driver.end()
        }
      }
    } catch {
      throw MessagingError(.limitReached, "cannot start an engine", cause: error.description)
    }
    unsafe driver.loop.setJobExecutor(asUnownedTaskExecutor())
  }

  deinit { stop() }

  /// Closes everything on it at once and ends its thread. Operations end as `closed`. Again does nothing. In a callback it ends when that
  /// has returned.
  public func shutdown() { stop() }

  private func stop() {
    guard !isStopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
    if isForked { return }
    if let thread {
      driver.loop.stop()
      // The last reference may die on its own thread, which ends by itself then.
      if !driver.loop.isCurrent { thread.join() }
    } else {
      driver.endTurns(registry.shutDown)
    }
  }

  // MARK: UCX

  private static func openWorker(_ library: UCXLibrary, _ options: Options) throws(MessagingError)
    -> (ucp_context_h, ucp_worker_h, CInt, sharesMemory: Bool, transports: String)
  {
    // Without it UCX takes no shared memory for peers whose death it must notice. Without shared memory it warns of it.
    var settings = options.settings
    let wanted = settings.last { $0.name == "TLS" }?.value ?? UCXLibrary.environment("UCX_TLS") ?? "all"
    let transports = try SharedMemoryRoom(settings).transports(wanted, unreceivedByteLimit: options.unreceivedByteLimit)
    if transports != wanted { settings.append(("TLS", transports)) }
    let isShared = transports.hasPrefix("^") || transports.split(separator: ",").contains { !["tcp", "self", "cma", "cuda"].contains($0) }
    if isShared && !settings.contains(where: { $0.name == "MM_ERROR_HANDLING" }) { settings.append(("MM_ERROR_HANDLING", "y")) }
    var context: ucp_context_h?
    var failed: CInt = -1
    let names = unsafe settings.map { unsafe strdup($0.name) }
    let values = unsafe settings.map { unsafe strdup($0.value) }
    defer {
      for index in unsafe names.indices { unsafe free(names[index]) }
      for index in unsafe values.indices { unsafe free(values[index]) }
    }
    // SAFETY: the strings are freed above, after the call, which copies them.
    let status = unsafe names.withUnsafeBufferPointer { names in
      unsafe values.withUnsafeBufferPointer { values in
        unsafe names.withMemoryRebound(to: UnsafePointer<CChar>?.self) { names in
          unsafe values.withMemoryRebound(to: UnsafePointer<CChar>?.self) { values in
            unsafe cucx_context_create(
              library.table, names.baseAddress, values.baseAddress, CInt(settings.count), 1, options.name, &context, &failed)
          }
        }
      }
    }
    if status != 0 && failed >= 0 {
      let setting = settings[Int(failed)]
      throw MessagingError(
        .invalidArgument, "UCX setting \(setting.name)='\(setting.value)'", cause: "\(library.text(of: status)) (UCX \(library.version))")
    }
    guard status == 0, let context = unsafe context else {
      throw MessagingError(
        .ucxFailed, "cannot initialise UCX \(library.version)",
        cause: "\(library.text(of: status)); look at TLS and NET_DEVICES, `ucx_info -d` lists what there is")
    }
    var worker: ucp_worker_h?
    var efd: CInt = -1
    let made = unsafe cucx_worker_create(library.table, context, options.name, &worker, &efd)
    guard made == 0, let worker = unsafe worker else {
      unsafe library.table.pointee.cleanup(context)
      throw MessagingError(.ucxFailed, "cannot make a UCX worker", cause: library.text(of: made))
    }
    return unsafe (context, worker, efd, isShared, transports)
  }

  // MARK: The executor

  /// After the engine's end its tasks go on elsewhere.
  public func enqueue(_ job: consuming ExecutorJob) {
    if driver.hasEnded.load(ordering: .acquiring) { globalConcurrentExecutor.enqueue(job) } else { driver.loop.enqueue(job) }
  }

  /// Whether the caller is on the engine's thread.
  public var isCurrent: Bool { driver.isOwner }

  // MARK: Manual progress

  /// One turn on the calling thread, for engines in `.manual`; elsewhere nothing, and nothing while another thread takes one.
  public func progress() throws(MessagingError) {
    try checkFork("progress")
    guard options.progress == .manual, !driver.isOwner else { return }
    driver.turn()
  }

  /// Readable when `progress` has something to do. Call it also when `timeUntilProgress` has passed.
  public var descriptor: CInt { driver.loop.descriptor }

  /// How long a program in `.manual` may wait for `descriptor`, at most.
  public var timeUntilProgress: Duration { driver.timeUntilTurn }

  // MARK: Figures

  /// Sends and receives under way.
  public func inFlight() throws(MessagingError) -> Int {
    try checkFork("inFlight")
    let driver = driver
    return driver.asGuest { unsafe driver.core.pointee.inFlight }
  }

  // MARK: Inside

  /// What peers need to have in common for shared memory.
  var sharing: [UInt8] { HostDigest.sharing(owner: owner) }

  var isForked: Bool { cucx_fork_depth() != forkDepth }

  func checkFork(_ what: @autoclosure () -> String) throws(MessagingError) {
    if isForked {
      throw MessagingError(
        .forked, what(), cause: "this engine belongs to the process that made it; make another one in the child, or start it by exec")
    }
  }

  /// The first of so many numbers, which are two apart.
  func nextOperations(_ count: Int) -> UInt64 { operationCount.add(UInt64(count) &* 2, ordering: .relaxed).oldValue &+ 2 }

  func nextOperation() -> UInt64 { operationCount.add(2, ordering: .relaxed).newValue }

  /// Runs `body` on the engine's thread, which owns the lock; never inside this call. After the engine's end there is no such thread:
  /// whatever the body ends is ended by the caller then, under the lock.
  func onThread(_ body: @escaping @Sendable () -> Void) {
    let driver = driver
    let isTaken = Flag()
    driver.loop.post {
      guard isTaken.raise() else { return }
      if driver.hasEnded.load(ordering: .acquiring) { return driver.asGuest(body) }
      driver.drainSubmissions()
      body()
      driver.settle()
    }
    // Looked at after the post: either the thread's last turns see that, or this sees their end.
    if driver.hasEnded.load(ordering: .sequentiallyConsistent), isTaken.raise() { driver.asGuest(body) }
  }

  private final class Flag: Sendable {
    private let isRaised = Atomic<Bool>(false)
    /// True the first time.
    func raise() -> Bool { !isRaised.exchange(true, ordering: .acquiringAndReleasing) }
  }
}

/// What must be closed before the engine's worker may go. The engine's thread only.
// @unchecked Sendable: see above.
final class Registry: @unchecked Sendable {
  private let driver: Driver
  private var objects: [ObjectIdentifier: any Closable] = [:]
  var random = SystemRandomNumberGenerator()

  init(_ driver: Driver) { self.driver = driver }

  func add(_ object: any Closable) { objects[ObjectIdentifier(object)] = object }
  func remove(_ object: any Closable) { objects[ObjectIdentifier(object)] = nil }

  func shutDown() {
    let all = objects.values
    objects = [:]
    for object in all { object.closeNow() }
  }
}

protocol Closable: AnyObject {
  /// Ends it without waiting for anybody.
  func closeNow()
}

extension Engine {
  /// Ends `core` on the engine's thread, and then calls `completion` there. In a forked child, which has no such thread and perhaps a lock
  /// that this thread held, nothing: there objects are only let go.
  func end(_ core: some Closable & Sendable, _ completion: (@Sendable () -> Void)? = nil) {
    if isForked { return }
    onThread {
      core.closeNow()
      completion?()
    }
  }
}
