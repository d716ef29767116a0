internal import CUCX
internal import CausewayMessagingCore

/// Messages that nobody waited for when they came: their data, until a receive takes them or they are let go.
extension Driver {
  /// Keeps the data of a message that nobody waits for yet.
  func store(_ id: MessageID, _ connection: UInt32, _ data: UnsafeMutableRawPointer?, _ length: Int, _ flags: UInt64)
    -> ucs_status_t
  {
    let slot = unsafe messages.pointer(id.slot)
    unsafe slot.pointee.length = length
    unsafe slot.pointee.connection = connection
    if flags & UInt64(CUCX_FLAG_RENDEZVOUS) != 0 {
      unsafe slot.pointee.data = .rendezvous(data!)
      return UCS_INPROGRESS
    }
    guard length > 0, let data = unsafe data else {
      unsafe slot.pointee.data = .none
      return UCS_OK
    }
    if length > BlockPool.limit && flags & UInt64(CUCX_FLAG_DATA) != 0 {
      unsafe slot.pointee.data = .held(data)
      return UCS_INPROGRESS
    }
    // SAFETY: memory for `length` bytes, given back when the message is taken or released.
    let copy =
      unsafe length <= BlockPool.limit
      ? work.pointee.blocks.take(length) : UnsafeMutableRawPointer.allocate(byteCount: length, alignment: 64)
    unsafe copy.copyMemory(from: data, byteCount: length)
    unsafe slot.pointee.data = .copied(copy)
    return UCS_OK
  }

  /// Brings a stored message into its receive. Returns how that ended when it did so at once; the receive's slot is free then.
  func take(_ message: MessageID, _ info: MessageInfo, into slot: UnsafeMutablePointer<ReceiveSlot>) -> Completion? {
    let stored = unsafe messages.pointer(message.slot)
    let data = unsafe stored.pointee.data
    unsafe stored.pointee.data = .none
    var outcome: Completion
    switch data {
    case .rendezvous(let data):
      guard let ended = unsafe fetch(data, info, into: slot) else { return nil }
      outcome = ended
    case .offered(let block):
      let offered = unsafe takeBack(block)
      guard let ended = unsafe read(offered.offer, offered.sequence, info, into: slot) else { return nil }
      outcome = ended
    case .copied(let memory):
      outcome = unsafe copy(memory, info, into: slot)
      unsafe free(memory, info.length)
    case .held(let memory):
      outcome = unsafe copy(memory, info, into: slot)
      unsafe cucx_am_release(table, worker, memory)
    case .none: outcome = unsafe copy(nil, info, into: slot)
    }
    guard let id = unsafe slot.pointee.id else { return outcome }
    outcome = unsafe clean(slot, outcome)
    unsafe core.pointee.finishReceive(id)
    return outcome
  }

  /// Moves a message that is in UCX's memory to our own, before the worker ends.
  func keep(_ slot: UnsafeMutablePointer<MessageSlot>) {
    guard case .held(let data) = unsafe slot.pointee.data else { return }
    // SAFETY: as in `store`: held messages are beyond the pool's limit.
    let copy = UnsafeMutableRawPointer.allocate(byteCount: unsafe slot.pointee.length, alignment: 64)
    unsafe copy.copyMemory(from: data, byteCount: slot.pointee.length)
    unsafe cucx_am_release(table, worker, data)
    unsafe slot.pointee.data = .copied(copy)
  }

  private func free(_ memory: UnsafeMutableRawPointer, _ length: Int) {
    if length <= BlockPool.limit { unsafe work.pointee.blocks.give(memory, length) } else { unsafe memory.deallocate() }
  }

  /// Lets go of a message's data. After the worker's end UCX has taken its own back.
  func release(slot: UnsafeMutablePointer<MessageSlot>) {
    switch unsafe slot.pointee.data {
    case .none: break
    case .copied(let memory): unsafe free(memory, slot.pointee.length)
    case .offered(let block):
      let offered = unsafe takeBack(block)
      unsafe core.pointee.offerEnded(ConnectionID(rawValue: slot.pointee.connection), sequence: offered.sequence)
    case .held(let data), .rendezvous(let data): if !isShutDown { unsafe cucx_am_release(table, worker, data) }
    }
    unsafe slot.pointee.data = .none
  }
}
