internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore

extension Driver {
  // MARK: Sends

  func send(
    on connection: ConnectionID, _ bytes: SendBytes, count: Int, tag: UInt64, synchronous isSynchronous: Bool, keeper: AnyObject?,
    deadline: Instant
  ) -> Started {
    switch unsafe core.pointee.send(on: connection, tag: tag, length: count, synchronous: isSynchronous, deadline: deadline) {
    case .eager(let id, let header): return transmit(id, header, connection, bytes, rendezvous: false, keeper)
    case .rendezvous(let id, let header): return transmit(id, header, connection, bytes, rendezvous: true, keeper)
    case .queued(let id):
      unsafe fill(sends.pointer(id.slot), id, connection, bytes, keeper)
      return .pending(id.slot)
    case .refused(let refusal): return .done(Completion(Self.code(refusal)))
    }
  }

  @inline(__always)
  private func fill(
    _ slot: UnsafeMutablePointer<SendSlot>, _ id: SendID, _ connection: ConnectionID, _ bytes: SendBytes, _ keeper: AnyObject?
  ) {
    unsafe slot.pointee.driver = Unmanaged.passUnretained(self)
    unsafe slot.pointee.id = id
    unsafe slot.pointee.bytes = bytes
    unsafe slot.pointee.connection = connection.rawValue
    if let keeper { unsafe slot.pointee.keeper = keeper }
  }

  /// Gives header and payload to UCX.
  @inline(__always)
  private func transmit(
    _ id: SendID, _ header: MessageHeader, _ connection: ConnectionID, _ bytes: SendBytes, rendezvous: Bool, _ keeper: AnyObject?
  ) -> Started {
    let slot = unsafe sends.pointer(id.slot)
    if rendezvous, let (base, count) = unsafe offerable(bytes, connection) {
      unsafe fill(slot, id, connection, bytes, keeper)
      unsafe offer(slot, id, header, connection, base, count)
      return .pending(id.slot)
    }
    let status = unsafe hand(slot, header, connection, bytes, rendezvous)
    if status == 1 {
      unsafe fill(slot, id, connection, bytes, keeper)
      unsafe slot.pointee.isUnderWay = true
      unsafe connections.pointer(connection.slot).pointee.requests += 1
      return .pending(id.slot)
    }
    if status < 0 { _ = lost(status, connection) }
    switch unsafe core.pointee.sendFinished(id, failed: status < 0) {
    case .done(let result): return .done(Self.outcome(result))
    case .awaitsMatch:
      unsafe fill(slot, id, connection, .contiguous(nil, 0), nil)
      return .pending(id.slot)
    case .reported: return .done(Completion(.cancelled))
    }
  }

  @inline(__always)
  private func hand(
    _ slot: UnsafeMutablePointer<SendSlot>, _ header: MessageHeader, _ connection: ConnectionID, _ bytes: SendBytes, _ rendezvous: Bool
  ) -> Int32 {
    guard let endpoint = unsafe connections.pointer(connection.slot).pointee.endpoint else { return cucxNotConnected }
    unsafe slot.pointee.header = header.words
    unsafe slot.pointee.driver = Unmanaged.passUnretained(self)
    // SAFETY: the header is the slot's first field, the inline bytes follow it; slot and memory stay until the send is over.
    switch bytes {
    case .contiguous(let base, let count):
      if count <= SendSlot.inlineLimit && !rendezvous {
        let memory = UnsafeMutableRawPointer(slot)
        if count > 0, let base = unsafe base { unsafe (memory + MessageHeader.byteCount).copyMemory(from: base, byteCount: count) }
        return unsafe cucx_am_send(table, endpoint, Self.messageID, nil, 0, memory, MessageHeader.byteCount + count, 0, onSent, slot)
      }
      return unsafe cucx_am_send(
        table, endpoint, Self.messageID, slot, MessageHeader.byteCount, base, count, rendezvous ? 1 : 0, onSent, slot)
    case .pieces(let pieces, let count):
      return unsafe cucx_am_send_pieces(
        table, endpoint, Self.messageID, slot, MessageHeader.byteCount, pieces, count, rendezvous ? 1 : 0, onSent, slot)
    }
  }

  static func outcome(_ result: SendResult) -> Completion {
    switch result {
    case .ok: Completion()
    case .failed: Completion(.ucxFailed)
    case .peerLost: Completion(.peerLost)
    case .closed: Completion(.closed)
    case .deadline: Completion(.deadlineExceeded)
    case .rejected: Completion(.closed)
    }
  }

  /// A send that waited may go.
  private func start(_ id: SendID, _ rendezvous: Bool, _ header: MessageHeader) {
    let slot = unsafe sends.pointer(id.slot)
    let connection = ConnectionID(rawValue: unsafe slot.pointee.connection)
    if rendezvous, let (base, count) = unsafe offerable(slot.pointee.bytes, connection) {
      return unsafe offer(slot, id, header, connection, base, count)
    }
    let status = unsafe hand(slot, header, connection, slot.pointee.bytes, rendezvous)
    if status == 1 {
      unsafe slot.pointee.isUnderWay = true
      unsafe connections.pointer(connection.slot).pointee.requests += 1
      return
    }
    if status < 0 { _ = lost(status, connection) }
    unsafe finish(slot, failed: status < 0)
  }

  /// UCX gave header and memory back.
  func sent(_ slot: UnsafeMutablePointer<SendSlot>, _ status: Int32) {
    let connection = ConnectionID(rawValue: unsafe slot.pointee.connection)
    unsafe slot.pointee.isUnderWay = false
    if status < 0 { _ = lost(status, connection) }
    unsafe finish(slot, failed: status < 0)
    requestCameBack(connection)
  }

  func finish(_ slot: UnsafeMutablePointer<SendSlot>, failed: Bool) {
    guard let id = unsafe slot.pointee.id else { return }
    let withheld = unsafe slot.pointee.withheld
    switch unsafe core.pointee.sendFinished(id, failed: failed) {
    case .done(let result): unsafe end(slot, withheld ?? Self.outcome(result))
    case .awaitsMatch: unsafe slot.pointee.keeper = nil
    case .reported: unsafe end(slot, withheld ?? Completion(.cancelled))
    }
  }

  /// Tells a send's end, unless that was told before, and empties its slot.
  func end(_ slot: UnsafeMutablePointer<SendSlot>, _ outcome: Completion) {
    unsafe slot.pointee.id = nil
    unsafe slot.pointee.operation = 0
    unsafe slot.pointee.withheld = nil
    unsafe slot.pointee.isUnderWay = false
    let target = unsafe take(&slot.pointee.target)
    if unsafe slot.pointee.keeper != nil { unsafe slot.pointee.keeper = nil }
    tell(target, outcome)
  }

  /// A result that comes while UCX still has the memory: told now when somebody else than the caller keeps that, else withheld.
  func pin(_ slot: UnsafeMutablePointer<SendSlot>, _ outcome: Completion) {
    guard unsafe slot.pointee.keeper != nil else {
      unsafe slot.pointee.withheld = outcome
      return
    }
    let target = unsafe take(&slot.pointee.target)
    unsafe ForeignKeeper.report(slot.pointee.keeper)
    var outcome = outcome
    outcome.isKept = true
    tell(target, outcome)
  }

  // MARK: Effects

  @inline(never) func perform(_ effect: Effect) {
    switch effect {
    case .receiveFailed(let id, let failure): receiveFailed(id, failure)
    case .receiveOverdue(let id): report(id.slot, .deadlineExceeded)
    case .deliver(let message, let id, let info):
      let slot = unsafe receives.pointer(id.slot)
      let target = unsafe slot.pointee.target
      if let outcome = unsafe take(message, info, into: slot) {
        unsafe slot.pointee.target = .none
        tell(target, outcome)
      }
    case .release(let message): unsafe release(slot: messages.pointer(message.slot))
    case .start(let id, let rendezvous, let header): start(id, rendezvous, header)
    case .sendDone(let id, let result, let pinned):
      let slot = unsafe sends.pointer(id.slot)
      if pinned { unsafe pin(slot, Self.outcome(result)) } else { unsafe end(slot, Self.outcome(result)) }
    case .flushDone(let id, let result): flushDone(id, result)
    case .returned(let id, let failed): returned(id, failed: failed)
    case .control(let connection, let header): _ = post(header, nil, connection)
    }
  }

  private func flushDone(_ id: FlushID, _ result: FlushResult) {
    let slot = unsafe flushes.pointer(id.slot)
    let target = unsafe slot.pointee.target
    unsafe slot.pointee = FlushSlot()
    switch result {
    case .ok: tell(target, Completion())
    case .deadline: tell(target, Completion(.deadlineExceeded))
    case .peerLost: tell(target, Completion(.peerLost))
    case .closed: tell(target, Completion(.closed))
    }
  }

  /// Sends a header without data, or with an offer. Returns a negative status when it could not.
  func post(_ header: MessageHeader, _ offer: Offer?, _ connection: ConnectionID) -> Int32 {
    guard let endpoint = unsafe connections.pointer(connection.slot).pointee.endpoint else { return cucxNotConnected }
    let index: UInt32
    if let free = unsafe work.pointee.freeControls.popLast() {
      index = free
    } else {
      index = unsafe work.pointee.controlCount
      unsafe work.pointee.controlCount += 1
    }
    let slot = unsafe controls.pointer(index)
    unsafe slot.pointee.header = header.words
    unsafe slot.pointee.driver = Unmanaged.passUnretained(self)
    unsafe slot.pointee.connection = connection.rawValue
    unsafe slot.pointee.index = index
    if let offer { unsafe slot.pointee.offer = offer.words }
    let count = MessageHeader.byteCount + (offer == nil ? 0 : Offer.byteCount)
    // SAFETY: the header is the slot's first field and the offer its second; the slot is not given out again before they are sent.
    let status = unsafe cucx_am_send(table, endpoint, Self.messageID, nil, 0, slot, count, 0, onControlSent, slot)
    if status == 1 {
      unsafe connections.pointer(connection.slot).pointee.requests += 1
      return status
    }
    unsafe work.pointee.freeControls.append(index)
    if status < 0 { _ = lost(status, connection) }
    return status
  }

  func controlSent(_ slot: UnsafeMutablePointer<ControlSlot>, _ status: Int32) {
    let connection = ConnectionID(rawValue: unsafe slot.pointee.connection)
    unsafe work.pointee.freeControls.append(slot.pointee.index)
    if status < 0 { _ = lost(status, connection) }
    requestCameBack(connection)
  }
}

/// As UCS_ERR_NOT_CONNECTED.
let cucxNotConnected: Int32 = -24

private let onSent: ucp_send_nbx_callback_t = { request, status, argument in
  let slot = unsafe argument!.assumingMemoryBound(to: SendSlot.self)
  unsafe slot.pointee.driver!._withUnsafeGuaranteedRef { driver in
    unsafe cucx_request_free(driver.table, request)
    unsafe driver.sent(slot, Int32(status.rawValue))
  }
}

private let onControlSent: ucp_send_nbx_callback_t = { request, status, argument in
  let slot = unsafe argument!.assumingMemoryBound(to: ControlSlot.self)
  unsafe slot.pointee.driver!._withUnsafeGuaranteedRef { driver in
    unsafe cucx_request_free(driver.table, request)
    unsafe driver.controlSent(slot, Int32(status.rawValue))
  }
}
