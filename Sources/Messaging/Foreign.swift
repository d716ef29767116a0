internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Synchronization

/// How operations start for other languages: on the spot when the driver's lock can be had, with a number instead of a task, and an end
/// that goes into a queue or to a callback.
package enum Outlet {
  case queue(CompletionQueue, UInt64)
  case callback(@Sendable (Completion) -> Void)
  case share(SharedEnd, Int)

  @inline(__always) var target: CompletionTarget {
    switch self {
    case .queue(let queue, let user): .queue(queue, user)
    case .callback(let callback): .callback(callback)
    case .share(let share, let index): .share(share, index)
    }
  }
}

/// What became of a start.
package enum Submission {
  /// Over: the outlet hears nothing.
  case done(Completion)
  /// The outlet will hear of it; the number names it for `Engine.cancel`.
  case pending(UInt64)
}

/// The number of an operation: its kind, its slot when that is known, and what tells it from others in that slot.
package struct RequestNumber {
  static let slotBits: UInt64 = 22
  static let numberBits: UInt64 = 39
  static let numberMask: UInt64 = (1 << 39) - 1
  private static let many: UInt64 = 1 << 60

  /// Of several operations that were started together.
  package static func ofMany(sends: Bool, _ number: UInt64) -> UInt64 { encode(sends ? .send : .receive, nil, number) | many }
  static func isOfMany(_ request: UInt64) -> Bool { request >> 60 & 3 == 1 }

  @inline(__always) static func encode(_ kind: Operation.Cancellable, _ slot: UInt32?, _ number: UInt64) -> UInt64 {
    let kindBits: UInt64 =
      switch kind {
      case .send: 1
      case .receive: 2
      case .flush: 3
      }
    let slotPart = slot.map { UInt64($0) << numberBits | 1 << 61 } ?? 0
    return kindBits << 62 | slotPart | number & numberMask
  }

  static func decode(_ request: UInt64) -> (kind: Operation.Cancellable, slot: UInt32?, number: UInt64)? {
    let kind: Operation.Cancellable
    switch request >> 62 {
    case 1: kind = .send
    case 2: kind = .receive
    case 3: kind = .flush
    default: return nil
    }
    let slot = request >> 61 & 1 == 1 ? UInt32(request >> numberBits & (1 << slotBits - 1)) : nil
    return (kind, slot, request & numberMask)
  }
}

extension Engine {
  /// Takes an operation back. False when it is over, or its data are on their way.
  package func cancel(_ request: UInt64) -> Bool {
    guard !isForked, let (kind, slot, number) = RequestNumber.decode(request) else { return false }
    let visit = driver.enter()
    if case .none = visit {
      let driver = driver
      driver.hand(Operation(.run { repeat {} while driver.cancel(kind, slot, number) && RequestNumber.isOfMany(request) }))
      return true
    }
    var found = false
    if !driver.isShutDown {
      found = driver.cancel(kind, slot, number)
      if RequestNumber.isOfMany(request) { while driver.cancel(kind, slot, number) {} }
    }
    driver.leave(visit)
    return found
  }

  /// Runs `now` under the driver's lock when that can be had, and returns its answer; else `soon` runs under it later, and the answer is
  /// false.
  package func nowOrSoon(timeout: UInt64, _ now: () -> Bool, soon: @escaping @Sendable () -> Void) -> Bool {
    let visit = driver.enter()
    if case .none = visit {
      driver.hand(Operation(.run(soon)))
      return false
    }
    let answer = now()
    driver.leave(visit, mustGoOn: !answer, deadline: answer ? .distantFuture : MessageReceiver.deadline(timeout))
    return answer
  }

  package func newNumber() -> UInt64 { nextOperation() }
  package func onLoop(_ body: @escaping @Sendable () -> Void) { onThread(body) }
  package var isOnLoop: Bool { driver.isOwner }
  package var isInChild: Bool { isForked }
  package var hasEnded: Bool { driver.hasEnded.load(ordering: .acquiring) }
  package var libraryVersion: String { library.version }
  package var libraryPath: String { library.path }

  /// Drives on the calling thread, or waits for who drives, until the queue holds something or the time is over. Nanoseconds; nil: for ever.
  package func wait(for queue: CompletionQueue, atMost nanoseconds: UInt64) -> Bool {
    if !queue.isEmpty { return true }
    let start = cucx_now_ns()
    let end = nanoseconds == .max ? .max : start &+ nanoseconds
    let spin = cucx_core_count() > 1 || options.progress == .manual ? driver.crowd.budget(driver.pace.guestBudget, start) : 0
    if spin > 0 && options.progress != .manual, driver.drive(for: queue, until: min(end, start &+ spin)) { return true }
    while cucx_now_ns() < end {
      if options.progress == .manual {
        driver.turn()
        if !queue.isEmpty { return true }
        continue
      }
      if !queue.prepareToSleep() { return true }
      driver.consumerSleeps()
      let left = end == .max ? UInt64.max : end &- min(end, cucx_now_ns())
      cucx_wait_readable(queue.descriptor, left == .max ? -1 : Int32(clamping: left / 1_000_000 + 1))
      if !queue.isEmpty { return true }
      if hasEnded || nanoseconds == .max { break }
    }
    return !queue.isEmpty
  }

  /// The consumer of a queue found nothing and will wait for its descriptor. False: there is something now.
  package func prepareToSleep(_ queue: CompletionQueue) -> Bool {
    guard queue.prepareToSleep() else { return false }
    driver.consumerSleeps()
    return true
  }
}

extension MessagePort {
  package var isConnected: Bool { connection != Self.nothing }

  /// Why there is no connection: not yet, or no longer.
  fileprivate var noConnection: MessagingError.Code { facts == nil ? .notConnected : .closed }

  /// - Parameters:
  ///   - keeper: Keeps the memory until it is let go; nil delays the end till then.
  ///   - timeout: Nanoseconds, `UInt64.max` for none.
  @inline(__always) package final func start(
    send memory: UnsafeRawBufferPointer, tag: UInt64, synchronous isSynchronous: Bool, timeout: UInt64, keeper: AnyObject?,
    to outlet: @autoclosure () -> Outlet
  ) -> Submission {
    unsafe start(.contiguous(memory.baseAddress, memory.count), memory.count, tag, isSynchronous, timeout, keeper, outlet())
  }

  package final func start(
    send pieces: [UnsafeRawBufferPointer], tag: UInt64, synchronous isSynchronous: Bool, timeout: UInt64, keeper: AnyObject?,
    to outlet: Outlet
  ) -> Submission {
    let list = unsafe PieceList(unowned: pieces, keeper: keeper)
    return unsafe start(.pieces(list.pieces, pieces.count), list.byteCount, tag, isSynchronous, timeout, list, outlet)
  }

  @inline(__always) private func start(
    _ bytes: SendBytes, _ count: Int, _ tag: UInt64, _ isSynchronous: Bool, _ timeout: UInt64, _ keeper: AnyObject?,
    _ outlet: @autoclosure () -> Outlet
  ) -> Submission {
    let connection = connection
    if connection == Self.nothing { return .done(Completion(noConnection)) }
    let deadline = Self.deadline(timeout)
    let visit = driver.enter()
    if case .none = visit {
      let number = engine.nextOperation() & RequestNumber.numberMask
      var operation = operation(connection, bytes, count, keeper, tag, isSynchronous, deadline)
      operation.number = number
      operation.target = outlet().target
      driver.hand(operation)
      return .pending(RequestNumber.encode(.send, nil, number))
    }
    if driver.isShutDown {
      driver.leave(visit)
      return .done(Completion(.closed))
    }
    let started = driver.send(
      on: connection, bytes, count: count, tag: tag, synchronous: isSynchronous, keeper: keeper, deadline: deadline)
    switch started {
    case .done(let completion):
      driver.leave(visit)
      return .done(completion)
    case .pending(let slot):
      let number = driver.nextNumber() & RequestNumber.numberMask
      driver.settle(started, outlet().target, number)
      driver.leave(visit, mustGoOn: true, deadline: deadline)
      return .pending(RequestNumber.encode(.send, slot, number))
    }
  }

  /// Several sends with one end each; under the driver's lock. Returns the number that names them all.
  package final func start(
    sendMany count: Int, synchronous isSynchronous: Bool, timeout: UInt64, share: SharedEnd, number: UInt64,
    _ message: (Int) -> (memory: UnsafeRawBufferPointer, tag: UInt64)
  ) {
    let (connection, deadline) = (connection, Self.deadline(timeout))
    for index in 0..<count {
      if connection == Self.nothing || driver.isShutDown {
        share.end(index, Completion(connection == Self.nothing ? noConnection : .closed))
        continue
      }
      let (memory, tag) = unsafe message(index)
      let started = unsafe driver.send(
        on: connection, .contiguous(memory.baseAddress, memory.count), count: memory.count, tag: tag, synchronous: isSynchronous,
        keeper: share.keeper, deadline: deadline)
      switch started {
      case .done(let completion): share.end(index, completion)
      case .pending: driver.settle(started, .share(share, index), number & RequestNumber.numberMask)
      }
    }
  }
}

extension MessageReceiver {
  static func deadline(_ nanoseconds: UInt64) -> Instant {
    nanoseconds == .max ? .distantFuture : Instant(nanoseconds: cucx_boot_ns() &+ min(nanoseconds, 1 << 62))
  }

  /// - Parameters:
  ///   - memory: With a nil base and `allocates` a message of any size, in memory of the library.
  ///   - drops: A message that is too long is thrown away instead of waiting for another receive.
  @inline(__always) package final func start(
    receive memory: UnsafeMutableRawBufferPointer, allocates: Bool, drops: Bool, tag: UInt64, mask: UInt64, from endpoint: Endpoint?,
    timeout: UInt64, keeper: AnyObject?, to outlet: @autoclosure () -> Outlet
  ) -> Submission {
    let deadline = Self.deadline(timeout)
    let capacity = allocates ? Int.max : memory.count
    let visit = driver.enter()
    if case .none = visit {
      let number = engine.nextOperation() & RequestNumber.numberMask
      var operation = unsafe operation(
        source(endpoint), memory.baseAddress, capacity, allocates, keeper, tag, mask, deadline)
      operation.number = number
      operation.drops = drops
      operation.target = outlet().target
      driver.hand(operation)
      return .pending(RequestNumber.encode(.receive, nil, number))
    }
    if driver.isShutDown {
      driver.leave(visit)
      return .done(Completion(.closed))
    }
    let started = unsafe driver.receive(
      in: mailbox, from: source(endpoint), tag: tag, mask: mask, base: memory.baseAddress, capacity: capacity,
      allocates: allocates, keeper: keeper, drops: drops, deadline: deadline)
    switch started {
    case .done(let completion):
      driver.leave(visit)
      return .done(completion)
    case .pending(let slot):
      let number = driver.nextNumber() & RequestNumber.numberMask
      driver.wait(started, outlet().target, number)
      let isUnderWay = unsafe driver.receives.pointer(slot).pointee.isUnderWay
      driver.leave(visit, mustGoOn: isUnderWay, deadline: deadline)
      return .pending(RequestNumber.encode(.receive, slot, number))
    }
  }

  /// Several receives with one end each; under the driver's lock.
  package final func start(
    receiveMany count: Int, from endpoint: Endpoint?, timeout: UInt64, share: SharedEnd, number: UInt64,
    _ message: (Int) -> (memory: UnsafeMutableRawBufferPointer, tag: UInt64, mask: UInt64)
  ) {
    let (connection, deadline) = (source(endpoint), Self.deadline(timeout))
    for index in 0..<count {
      if driver.isShutDown {
        share.end(index, Completion(.closed))
        continue
      }
      let (memory, tag, mask) = unsafe message(index)
      let started = unsafe driver.receive(
        in: mailbox, from: connection, tag: tag, mask: mask, base: memory.baseAddress, capacity: memory.count, allocates: false,
        keeper: share.keeper, deadline: deadline)
      switch started {
      case .done(let completion): share.end(index, completion)
      case .pending: driver.wait(started, .share(share, index), number & RequestNumber.numberMask)
      }
    }
  }

  package final func start(flush timeout: UInt64, to outlet: Outlet) -> Submission {
    let number = engine.nextOperation() & RequestNumber.numberMask
    let port = self as? MessagePort
    let own = port?.connection
    if let port, own == MessagePort.nothing { return .done(Completion(port.noConnection)) }
    var operation = Operation((own ?? source).map { .flushConnection($0) } ?? .flush(mailbox))
    operation.deadline = Self.deadline(timeout)
    operation.number = number
    operation.target = outlet.target
    driver.hand(operation)
    return .pending(RequestNumber.encode(.flush, nil, number))
  }
}

/// Stands for memory of another language until the driver lets go of it. When an operation's end was told before that, its own end says
/// that the memory is free.
// @unchecked Sendable: touched by the owner of the driver's lock.
package final class ForeignKeeper: @unchecked Sendable {
  private let release: () -> Void
  /// An end was told while the memory was in use.
  package fileprivate(set) var wasReported = false

  package init(_ release: @escaping () -> Void) { self.release = release }

  deinit { if wasReported { release() } }

  static func report(_ keeper: AnyObject?) {
    if let keeper = keeper as? ForeignKeeper { keeper.wasReported = true }
    if let list = keeper as? PieceList, let keeper = list.keeper as? ForeignKeeper { keeper.wasReported = true }
  }
}

extension CompletionQueue {
  /// Adds an entry that no operation of the driver's stands for. The owner of the driver's lock only.
  package func add(_ user: UInt64, _ completion: Completion) { push(user, completion) }
}

extension Completion {
  package init(foreign code: MessagingError.Code?, tag: UInt64 = 0, byteCount: Int = 0) { self.init(code, tag: tag, byteCount: byteCount) }
}

extension MessageReceiver {
  /// Flushes for so many nanoseconds, then ends `core`; `completion` hears of the flush, on the engine's thread, when all is closed.
  fileprivate func close(
    _ core: some Closable & Sendable, after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void
  ) {
    let engine = engine
    let end: @Sendable (Completion) -> Void = { flushed in engine.end(core) { completion(flushed) } }
    if case .done = start(flush: nanoseconds, to: .callback(end)) { end(Completion()) }
  }
}

extension Client {
  /// Ends a connect that is under way.
  package func cancelConnect() {
    let core = core
    engine.onThread { core.cancel() }
  }

  package func close(after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void) {
    close(core, after: nanoseconds) { [self] flushed in
      forgetConnection()
      completion(flushed)
    }
  }

  /// Ends it without waiting for anybody.
  package func closeByForce() { engine.end(core) }
}

extension Server {
  package func close(after nanoseconds: UInt64, _ completion: @escaping @Sendable (Completion) -> Void) {
    core.isClosed.store(true, ordering: .releasing)
    close(core, after: nanoseconds, completion)
  }

  package func closeByForce() { engine.end(core) }

  /// The answer comes on the engine's thread.
  package func listenAddress(tcp: Bool, key: MessagingKey?, _ completion: @escaping @Sendable (Result<[UInt8], MessagingError>) -> Void) {
    let core = core
    engine.onThread { completion(core.listenAddress(tcp, key)) }
  }
}
