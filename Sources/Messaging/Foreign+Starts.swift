internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore

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
