internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore

/// What became of an operation's start.
enum Started {
  /// Over: nobody else is told.
  case done(Completion)
  /// Its target, put into this slot now, is told later.
  case pending(UInt32)
}

extension Driver {
  func receive(
    in mailbox: MailboxID, from connection: ConnectionID?, tag: UInt64, mask: UInt64, base: UnsafeMutableRawPointer?, capacity: Int,
    allocates: Bool, keeper: AnyObject?, drops: Bool = false, deadline: Instant
  ) -> Started {
    if connection == MessagePort.nothing { return .done(Completion(.closed)) }
    let outcome = unsafe core.pointee.receive(
      in: mailbox, from: connection, tag: tag, mask: mask, capacity: capacity, drops: drops, deadline: deadline)
    switch outcome {
    case .posted(let id):
      unsafe fill(id, base, allocates, keeper)
      return .pending(id.slot)
    case .matched(let id, let message, let info):
      let slot = unsafe fill(id, base, allocates, keeper)
      if let outcome = unsafe take(message, info, into: slot) { return .done(outcome) }
      return .pending(id.slot)
    case .truncated(let info):
      return .done(Completion(.truncated, tag: info.tag, byteCount: info.length, connection: info.connection.rawValue))
    case .refused(let refusal): return .done(Completion(Self.code(refusal)))
    }
  }

  @discardableResult @inline(__always)
  private func fill(_ id: ReceiveID, _ base: UnsafeMutableRawPointer?, _ allocates: Bool, _ keeper: AnyObject?)
    -> UnsafeMutablePointer<ReceiveSlot>
  {
    let slot = unsafe receives.pointer(id.slot)
    unsafe slot.pointee.driver = Unmanaged.passUnretained(self)
    unsafe slot.pointee.id = id
    unsafe slot.pointee.base = base
    unsafe slot.pointee.allocates = allocates
    if let keeper { unsafe slot.pointee.keeper = keeper }
    return unsafe slot
  }

  static func code(_ refusal: Refusal) -> MessagingError.Code {
    switch refusal {
    case .closed: .closed
    case .peerLost: .peerLost
    case .wouldBlock: .wouldBlock
    }
  }

  /// An active message, inside UCX. Returns UCS_INPROGRESS when the data are kept.
  @inline(__always)
  func arrive(_ header: UnsafeRawPointer?, _ headerLength: Int, _ data: UnsafeMutableRawPointer?, _ length: Int, _ flags: UInt64)
    -> ucs_status_t
  {
    if headerLength == 0 {
      // A very short one: the header is at the front of the data.
      let isShort = length >= MessageHeader.byteCount && length <= MessageHeader.byteCount + SendSlot.inlineLimit
      guard isShort, flags & UInt64(CUCX_FLAG_RENDEZVOUS) == 0, let data = unsafe data else { return drop(.badLength, nil) }
      let rest = unsafe data + MessageHeader.byteCount
      return unsafe take(data, rest, length - MessageHeader.byteCount, 0)
    }
    guard headerLength == MessageHeader.byteCount, let header = unsafe header else { return drop(.badLength, nil) }
    return unsafe take(header, data, length, flags)
  }

  @inline(__always)
  private func take(_ header: UnsafeRawPointer, _ data: UnsafeMutableRawPointer?, _ length: Int, _ flags: UInt64) -> ucs_status_t {
    // SAFETY: a header's bytes, at any alignment.
    let words = unsafe (
      header.loadUnaligned(as: UInt64.self), header.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      header.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
    )
    guard let header = MessageHeader(words: words) else { return drop(.badLength, nil) }
    let isRendezvous = flags & UInt64(CUCX_FLAG_RENDEZVOUS) != 0
    if header.flags.contains(.offered) { return unsafe takeOffer(header, data, length, rendezvous: isRendezvous) }
    switch unsafe core.pointee.arrive(header, length: length, rendezvous: isRendezvous) {
    case .matched(let id, let info):
      let slot = unsafe receives.pointer(id.slot)
      if isRendezvous {
        if let outcome = unsafe fetch(data, info, into: slot) { unsafe end(slot, outcome) }
        return UCS_INPROGRESS
      }
      let outcome = unsafe copy(data, info, into: slot)
      unsafe end(slot, outcome)
      return UCS_OK
    case .stored(let id): return unsafe store(id, header.connection, data, length, flags)
    case .control: return UCS_OK
    case .dropped(let reason): return drop(reason, header)
    }
  }

  @inline(never) func drop(_ reason: DropReason, _ header: MessageHeader?) -> ucs_status_t {
    unsafe work.pointee.dropped[Int(reason.rawValue)] &+= 1
    if reason.isViolation, let header, header.connection < UInt32.max {
      let slot = unsafe connections.pointer(ConnectionID(rawValue: header.connection).slot)
      if let id = unsafe slot.pointee.id, id.rawValue == header.connection { fail(id) }
    }
    return UCS_OK
  }

  /// Eager data into the receive's memory.
  @inline(__always)
  func copy(_ data: UnsafeMutableRawPointer?, _ info: MessageInfo, into slot: UnsafeMutablePointer<ReceiveSlot>) -> Completion {
    if unsafe slot.pointee.allocates && !allocate(slot, info.length) {
      return Completion(.limitReached, tag: info.tag, byteCount: info.length, connection: info.connection.rawValue)
    }
    if info.length > 0, let data = unsafe data, let base = unsafe slot.pointee.base {
      // SAFETY: the core matched by the room of the memory, which its owner keeps until the receive ends.
      unsafe base.copyMemory(from: data, byteCount: info.length)
    }
    return Completion(tag: info.tag, byteCount: info.length, connection: info.connection.rawValue)
  }

  /// Asks UCX for a rendezvous' data. Returns how the receive ended when it did so at once.
  func fetch(_ data: UnsafeMutableRawPointer?, _ info: MessageInfo, into slot: UnsafeMutablePointer<ReceiveSlot>) -> Completion? {
    var outcome = Completion(tag: info.tag, byteCount: info.length, connection: info.connection.rawValue)
    if unsafe slot.pointee.allocates && !allocate(slot, info.length) {
      unsafe cucx_am_release(table, worker, data)
      outcome.status = MessagingError.Code.limitReached.rawValue
      return outcome
    }
    unsafe slot.pointee.outcome = outcome
    let connection = unsafe connections.pointer(info.connection.slot)
    unsafe connection.pointee.requests += 1
    let status = unsafe cucx_am_receive(table, worker, data, slot.pointee.base, info.length, onReceived, slot)
    if status == 1 {
      unsafe slot.pointee.isUnderWay = true
      return nil
    }
    unsafe connection.pointee.requests -= 1
    if status < 0 { outcome.status = lost(status, info.connection).rawValue }
    return outcome
  }

  @inline(never) func allocate(_ slot: UnsafeMutablePointer<ReceiveSlot>, _ count: Int) -> Bool {
    guard let buffer = MessageBuffer(unwritten: count) else { return false }
    unsafe slot.pointee.keeper = buffer
    unsafe slot.pointee.base = buffer.base
    return true
  }

  /// UCX has fetched a rendezvous, or could not.
  func received(_ slot: UnsafeMutablePointer<ReceiveSlot>, _ status: Int32) {
    var outcome = unsafe slot.pointee.outcome
    let connection = ConnectionID(rawValue: outcome.sender.rawValue)
    if status < 0 { outcome.status = lost(status, connection).rawValue }
    unsafe end(slot, outcome)
    requestCameBack(connection)
  }

  /// Tells a receive's end and frees its slot.
  @inline(__always) func end(_ slot: UnsafeMutablePointer<ReceiveSlot>, _ outcome: Completion) {
    guard let id = unsafe slot.pointee.id else { return }
    let outcome = unsafe clean(slot, outcome)
    let isReported = unsafe slot.pointee.isReported
    unsafe slot.pointee.isReported = false
    let target = unsafe take(&slot.pointee.target)
    unsafe core.pointee.finishReceive(id)
    if isReported { unsafe outcome.unownedBuffer?.release() } else { tell(target, outcome) }
  }

  /// Takes what the slot holds out of it; an allocated buffer goes along with the outcome.
  @inline(__always) func clean(_ slot: UnsafeMutablePointer<ReceiveSlot>, _ outcome: Completion) -> Completion {
    var outcome = outcome
    unsafe slot.pointee.id = nil
    unsafe slot.pointee.isUnderWay = false
    unsafe slot.pointee.operation = 0
    if unsafe slot.pointee.keeper != nil {
      if unsafe slot.pointee.allocates, outcome.isDone, let buffer = unsafe slot.pointee.keeper as? MessageBuffer {
        unsafe outcome.unownedBuffer = Unmanaged.passRetained(buffer)
      }
      unsafe slot.pointee.keeper = nil
    }
    return outcome
  }

  /// A receive that ended in the core without a message.
  func receiveFailed(_ id: ReceiveID, _ failure: ReceiveFailure) {
    let outcome =
      switch failure {
      case .truncated(let info): Completion(.truncated, tag: info.tag, byteCount: info.length, connection: info.connection.rawValue)
      case .deadline: Completion(.deadlineExceeded)
      case .peerLost: Completion(.peerLost)
      case .closed: Completion(.closed)
      }
    abandon(id.slot, outcome)
  }

  /// Tells the end of a receive that the core has forgotten.
  func abandon(_ index: UInt32, _ outcome: Completion) {
    let slot = unsafe receives.pointer(index)
    let outcome = unsafe clean(slot, outcome)
    let target = unsafe take(&slot.pointee.target)
    tell(target, outcome)
  }

  /// The result comes before the data: only when somebody else than the caller keeps the memory.
  func report(_ index: UInt32, _ code: MessagingError.Code) {
    let slot = unsafe receives.pointer(index)
    guard unsafe slot.pointee.keeper != nil, unsafe !slot.pointee.isReported else { return }
    unsafe slot.pointee.isReported = true
    unsafe haltRead(into: slot)
    let target = unsafe take(&slot.pointee.target)
    unsafe ForeignKeeper.report(slot.pointee.keeper)
    var outcome = Completion(code)
    outcome.isKept = true
    tell(target, outcome)
    unsafe stopRead(into: slot)
  }
}

// SAFETY of UCX's callbacks: `argument` is what we gave with the call: a driver that outlives its worker, or a slot, which never moves.

let onMessage: ucp_am_recv_callback_t = { argument, header, headerLength, data, length, parameters in
  unsafe Unmanaged<Driver>.fromOpaque(argument!)._withUnsafeGuaranteedRef {
    unsafe $0.arrive(header, headerLength, data, length, parameters!.pointee.recv_attr)
  }
}

private let onReceived: ucp_am_recv_data_nbx_callback_t = { request, status, length, argument in
  let slot = unsafe argument!.assumingMemoryBound(to: ReceiveSlot.self)
  unsafe slot.pointee.driver!._withUnsafeGuaranteedRef { driver in
    unsafe cucx_request_free(driver.table, request)
    unsafe driver.received(slot, Int32(status.rawValue))
  }
}
