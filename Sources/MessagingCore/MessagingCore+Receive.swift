public import CausewayBase

extension MessagingCore {
  /// Takes the oldest stored message that fits, or waits for one.
  /// - Parameters:
  ///   - connection: Only messages of this one, or nil for all of the mailbox.
  ///   - tag: Matches a message when both agree in every bit of `mask`.
  ///   - capacity: Bytes of the buffer; `Int.max` when the shell allocates at the match.
  ///   - drops: A message that is too long for it is thrown away, and counts as received to its sender.
  public mutating func receive(
    in mailboxID: MailboxID, from connection: ConnectionID? = nil, tag: UInt64, mask: UInt64 = .max, capacity: Int,
    drops: Bool = false, deadline: Instant = .distantFuture
  ) -> ReceiveOutcome {
    let mailbox = mailboxID.slot
    guard mailboxes.holds(mailbox, mailboxID.generation), !mailboxes[mailbox].isClosed else { return .refused(.closed) }
    var from: Slot = .none
    if let connection {
      from = slot(of: connection)
      // Forgotten means that all of it has been received, too.
      guard from != .none else { return .refused(.peerLost) }
      precondition(connections[from].mailbox == mailbox, "a receive is tied to a connection of its own mailbox")
    }
    if inFlight >= limits.inFlight { return .refused(.wouldBlock) }
    let message = firstStored(mailbox, from, tag, mask)
    if message != .none {
      let info = info(message)
      if info.length > capacity {
        if drops { discard(message) }
        return .truncated(info)
      }
      let scope = from == .none ? mailbox : from | PostedScope.connectionBit
      let receive = posted.allocate(tag: tag, mask: mask, capacity: capacity, scope: scope, mailbox: mailbox)
      if info.isRendezvous { posted.receives[receive].timer = deadlines.insert(deadline, .receive, receive) }
      let id = stored.id(message)
      takeStored(message)
      stored.messages.free(message)
      return .matched(posted.id(receive), id, info)
    }
    if from != .none {
      if !connections[from].state.isLiving { return .refused(connections[from].state.refusal) }
      let receive = posted.allocate(
        tag: tag, mask: mask, capacity: capacity, scope: from | PostedScope.connectionBit, mailbox: mailbox)
      if drops { posted.receives[receive].drops = true }
      posted.post(receive, in: &connections[from].posted)
      posted.receives[receive].timer = deadlines.insert(deadline, .receive, receive)
      return .posted(posted.id(receive))
    }
    if let ended = mailboxes[mailbox].ended { return .refused(ended) }
    let receive = posted.allocate(tag: tag, mask: mask, capacity: capacity, scope: mailbox, mailbox: mailbox)
    if drops { posted.receives[receive].drops = true }
    posted.post(receive, in: &mailboxes[mailbox].posted)
    posted.receives[receive].timer = deadlines.insert(deadline, .receive, receive)
    return .posted(posted.id(receive))
  }

  /// Takes a posted receive back; a matched one goes on.
  public mutating func cancel(_ receive: ReceiveID) -> CancelOutcome {
    guard posted.receives.holds(receive.slot, receive.generation) else { return .unknown }
    switch posted.receives[receive.slot].state {
    case .waiting:
      unpost(receive.slot)
      posted.receives.free(receive.slot)
      return .cancelled
    case .matched: return .underWay
    case .overdue, .finished, .leaving: return .unknown
    }
  }

  /// The data of a matched receive are in its buffer (or failed on the way): frees its slot.
  public mutating func finishReceive(_ receive: ReceiveID) {
    let slot = receive.slot
    guard posted.receives.holds(slot, receive.generation) else { return }
    switch posted.receives[slot].state {
    case .matched:
      deadlines.remove(posted.receives[slot].timer)
      posted.receives.free(slot)
    case .overdue: posted.receives[slot].state = .finished
    case .waiting, .finished, .leaving: preconditionFailure("only a matched receive finishes, once")
    }
  }

  /// Whether it was opened and not closed.
  public func isOpen(_ mailbox: MailboxID) -> Bool {
    mailboxes.holds(mailbox.slot, mailbox.generation) && !mailboxes[mailbox.slot].isClosed
  }

  /// The oldest stored message that fits, which stays.
  public func probe(in mailboxID: MailboxID, from connection: ConnectionID? = nil, tag: UInt64, mask: UInt64 = .max) -> MessageInfo? {
    let mailbox = mailboxID.slot
    guard mailboxes.holds(mailbox, mailboxID.generation) else { return nil }
    var from: Slot = .none
    if let connection {
      from = slot(of: connection)
      guard from != .none, connections[from].mailbox == mailbox else { return nil }
    }
    let message = firstStored(mailbox, from, tag, mask)
    return message == .none ? nil : info(message)
  }

  // MARK: Shared

  @inline(__always) private func firstStored(_ mailbox: Slot, _ from: Slot, _ tag: UInt64, _ mask: UInt64) -> Slot {
    if from != .none {
      return stored.first(tag, mask, mailbox: mailbox, connection: from, connections[from].arrivals)
    }
    return mailboxes[mailbox].arrivals.isEmpty ? .none : stored.first(tag, mask, mailbox: mailbox, mailboxes[mailbox].arrivals)
  }

  @inline(__always) func info(_ message: Slot) -> MessageInfo {
    MessageInfo(
      tag: stored.messages[message].tag, length: stored.messages[message].length,
      connection: connectionID(stored.messages[message].connection), isRendezvous: stored.messages[message].isRendezvous)
  }

  /// Takes a matched message out of the queue: what it cost is free, and its sender is told. Its slot stays the caller's.
  @inline(__always) private mutating func takeStored(_ message: Slot) {
    let connection = stored.messages[message].connection
    stored.remove(message, mailbox: &mailboxes[stored.messages[message].mailbox].arrivals, connection: &connections[connection].arrivals)
    connections[connection].arrivalCount &-= 1
    settle(message, connection, matched: true)
  }

  /// A stored message that its receive throws away.
  private mutating func discard(_ message: Slot) {
    let id = stored.id(message)
    takeStored(message)
    effects.append(.release(id))
  }

  /// Frees a message's cost and tells its sender what became of it.
  @inline(__always) mutating func settle(_ message: Slot, _ connection: Slot, matched: Bool) {
    if connections[connection].credit.free(stored.messages[message].cost) && connections[connection].state.isLiving {
      makeDue(.credit, connection)
    }
    if matched {
      if stored.messages[message].wantsAcknowledgement { acknowledge(connection, stored.messages[message].sequence) }
    } else if stored.messages[message].wantsAcknowledgement || stored.messages[message].isRendezvous {
      reject(connection, stored.messages[message].sequence)
    }
    if connections[connection].isReleased { freeIfForgotten(connection) }
  }

  /// Takes a waiting receive out of its lists and off the clock.
  @inline(__always) mutating func unpost(_ receive: Slot) {
    unlist(receive: receive)
    deadlines.remove(posted.receives[receive].timer)
    posted.receives[receive].timer = .none
  }

  @inline(__always) mutating func unlist(receive: Slot) {
    let scope = posted.receives[receive].scope
    if scope & PostedScope.connectionBit != 0 {
      posted.unlink(receive, from: &connections[scope & ~PostedScope.connectionBit].posted)
    } else {
      posted.unlink(receive, from: &mailboxes[scope].posted)
    }
  }

  /// Ends a waiting receive; the effect frees its slot.
  mutating func fail(_ receive: Slot, _ failure: ReceiveFailure) {
    unpost(receive)
    posted.receives[receive].state = .leaving
    effects.append(.receiveFailed(posted.id(receive), failure))
  }

  mutating func failReceives(ofMailbox mailbox: Slot, _ failure: ReceiveFailure) {
    while mailboxes[mailbox].posted.all.head != .none { fail(mailboxes[mailbox].posted.all.head, failure) }
  }

  mutating func failReceives(ofConnection connection: Slot, _ failure: ReceiveFailure) {
    while connections[connection].posted.all.head != .none { fail(connections[connection].posted.all.head, failure) }
  }

  mutating func receiveExpired(_ receive: Slot) {
    posted.receives[receive].timer = .none
    if posted.receives[receive].state == .waiting {
      fail(receive, .deadline)
    } else {
      posted.receives[receive].state = .overdue
      effects.append(.receiveOverdue(posted.id(receive)))
    }
  }

  /// The shell is told once, unless the data came first.
  mutating func overdue(_ receive: ReceiveID) -> Effect? {
    if posted.receives[receive.slot].state == .finished {
      posted.receives.free(receive.slot)
      return nil
    }
    posted.receives[receive.slot].state = .matched
    return .receiveOverdue(receive)
  }
}
