extension MessagingCore {
  /// Opens a matching domain.
  public mutating func openMailbox(_ kind: MailboxKind) -> MailboxID {
    let slot = mailboxes.allocate()
    var mailbox = MailboxRecord()
    mailbox.generation = mailboxes[slot].generation
    mailbox.isLive = true
    mailbox.kind = kind
    mailboxes[slot] = mailbox
    return MailboxID(slot: slot, generation: mailbox.generation)
  }

  /// Ends everything of the mailbox and its connections with `closed`; peers learn what was given up unread. Closing again does nothing.
  public mutating func closeMailbox(_ id: MailboxID) {
    let mailbox = id.slot
    guard mailboxes.holds(mailbox, id.generation), !mailboxes[mailbox].isClosed else { return }
    mailboxes[mailbox].isClosed = true
    var connection = mailboxes[mailbox].connections.head
    while connection != .none {
      let next = siblings.next(connection)
      end(connection, .closed)
      connection = next
    }
    failReceives(ofMailbox: mailbox, .closed)
    while mailboxes[mailbox].arrivals.head != .none { giveUp(mailboxes[mailbox].arrivals.head) }
    freeMailboxIfEmpty(mailbox)
  }

  /// A connection whose handshake begins. Arrivals are taken from now on (the peer may know the id before we know its answer); sends
  /// queue until `establish`. Nil when the table is full or the mailbox closed.
  /// - Parameter check: Random bits that each header of the peer must repeat.
  public mutating func openConnection(in id: MailboxID, check: UInt16) -> ConnectionID? {
    guard mailboxes.holds(id.slot, id.generation), !mailboxes[id.slot].isClosed, connections.count < ConnectionID.limit else { return nil }
    precondition(mailboxes[id.slot].kind == .server || mailboxes[id.slot].connections.isEmpty, "a client has one connection")
    let slot = connections.allocate()
    siblings.cover(slot)
    let old = connections[slot]
    var fresh = ConnectionRecord()
    fresh.generation = old.generation & ConnectionID.generationMask
    fresh.isLive = true
    fresh.isListed = old.isListed
    fresh.nextListed = old.nextListed
    fresh.check = check
    fresh.mailbox = id.slot
    livingCount += 1
    shareGrant()
    fresh.credit = CreditLedger(grant: grant, start: limits.counterStart)
    fresh.order = SequenceCheck(start: limits.counterStart)
    fresh.flush = FlushState(start: limits.counterStart)
    fresh.nextSequence = limits.counterStart
    connections[slot] = fresh
    mailboxes[id.slot].connections.append(slot, &siblings)
    return connectionID(slot)
  }

  /// What to tell the peer of this connection in the handshake.
  public func address(of connection: ConnectionID) -> ConnectionAddress {
    let slot = slot(of: connection)
    precondition(slot != .none, "a connection that is there")
    return ConnectionAddress(
      identifier: connection.rawValue, check: connections[slot].check, grant: connections[slot].credit.announcedGrant)
  }

  /// The handshake is over: headers can be addressed. Queued sends start by effects.
  /// - Parameters:
  ///   - peer: What the peer told of itself.
  ///   - eagerLimit: Longest payload that goes in one piece with its header, in bytes.
  public mutating func establish(_ connection: ConnectionID, peer: ConnectionAddress, eagerLimit: Int) {
    let slot = slot(of: connection)
    guard slot != .none, connections[slot].state == .connecting else { return }
    connections[slot].state = .open
    connections[slot].peer = peer
    connections[slot].eagerLimit = eagerLimit
    connections[slot].credit.setPeerGrant(peer.grant)
    if connections[slot].credit.announcedGrant != grant || connections[slot].credit.isReportDue {
      connections[slot].due.insert(.credit)
    }
    if connections[slot].hasControls { list(slot) }
    while let control = early.take() { overflow.append(control) }
    startQueued(slot)
  }

  /// The peer is gone. Everything that waits for it ends with `peerLost`; its held rendezvous are released; its stored eager messages
  /// stay receivable. Sends that the transport has end by `sendFinished`. Failing again does nothing.
  public mutating func connectionFailed(_ connection: ConnectionID) {
    let slot = slot(of: connection)
    if slot != .none { end(slot, .failed) }
  }

  /// Closed by us: the same with `closed`; every stored message of it is given up, and the peer is told of those it waits for.
  public mutating func closeConnection(_ connection: ConnectionID) {
    let slot = slot(of: connection)
    if slot != .none { end(slot, .closed) }
  }

  /// The transport has given everything back. The slot is reused when its last stored message is received. Before it, the connection
  /// must have failed or been closed.
  public mutating func releaseConnection(_ connection: ConnectionID) {
    let slot = slot(of: connection)
    guard slot != .none else { return }
    precondition(!connections[slot].state.isLiving, "a connection is released after it failed or was closed")
    connections[slot].isReleased = true
    freeIfForgotten(slot)
  }

  public func counters(of connection: ConnectionID) -> MessagingCounters {
    let slot = slot(of: connection)
    return slot == .none ? MessagingCounters() : figures(slot)
  }

  /// Nil when it is not, or no longer, there.
  public func knownCounters(of connection: ConnectionID) -> MessagingCounters? {
    let slot = slot(of: connection)
    return slot == .none ? nil : figures(slot)
  }

  /// Of all connections that ever were; queues, costs and credits of those that are.
  public var counters: MessagingCounters {
    var sum = retired
    for slot in 0..<connections.used where connections[slot].isLive {
      sum.add(figures(slot))
    }
    return sum
  }

  private func figures(_ slot: Slot) -> MessagingCounters {
    var figures = connections[slot].counters
    figures.unreceivedMessages = connections[slot].arrivalCount + connections[slot].order.parkedCount
    figures.unreceivedByteCount = Int(connections[slot].credit.held) * MessageCost.unit
    figures.creditByteCount = connections[slot].state == .open ? max(0, Int(connections[slot].credit.available)) * MessageCost.unit : 0
    return figures
  }

  // MARK: Shared

  @inline(__always) func connectionID(_ slot: Slot) -> ConnectionID { ConnectionID(slot: slot, generation: connections[slot].generation) }

  /// None when it is not, or no longer, there.
  @inline(__always) func slot(of id: ConnectionID) -> Slot {
    connections.holds(id.slot, id.generation) ? id.slot : .none
  }

  /// Puts a connection among those with control messages due.
  mutating func list(_ slot: Slot) {
    if connections[slot].isListed { return }
    connections[slot].isListed = true
    connections[slot].nextListed = .none
    if lastListed == .none { firstListed = slot } else { connections[lastListed].nextListed = slot }
    lastListed = slot
  }

  @inline(__always) mutating func makeDue(_ control: DueControls, _ slot: Slot) {
    connections[slot].due.insert(control)
    list(slot)
  }

  mutating func nextControl() -> Effect? {
    while firstListed != .none {
      let slot = firstListed
      if connections[slot].isLive, connections[slot].state != .connecting, let header = connections[slot].nextControl(grant: grant) {
        return .control(connectionID(slot), header)
      }
      connections[slot].isListed = false
      firstListed = connections[slot].nextListed
      if firstListed == .none { lastListed = .none }
    }
    return nil
  }

  /// Divides the limit anew, and announces it when it changed.
  private mutating func shareGrant() {
    let share = limits.grant(connections: livingCount)
    if share == grant { return }
    grant = share
    for slot in 0..<connections.used where connections[slot].isLive && connections[slot].state == .open { makeDue(.credit, slot) }
  }

  private mutating func end(_ slot: Slot, _ state: ConnectionState) {
    guard connections[slot].state.isLiving else { return }
    let mailbox = connections[slot].mailbox
    connections[slot].isMute = state == .failed || connections[slot].state == .connecting
    connections[slot].state = state
    connections[slot].due = []
    connections[slot].acknowledgements.clear()
    connections[slot].returns.clear()
    if connections[slot].isMute { connections[slot].rejections.clear() }
    livingCount -= 1
    shareGrant()
    failReceives(ofConnection: slot, state == .failed ? .peerLost : .closed)
    if mailboxes[mailbox].kind == .client {
      mailboxes[mailbox].ended = state.refusal
      failReceives(ofMailbox: mailbox, state == .failed ? .peerLost : .closed)
    }
    giveUpArrivals(slot, all: state == .closed)
    endSends(slot)
    endFlushes(slot, state == .failed ? .peerLost : .closed)
    freeIfForgotten(slot)
  }

  /// Frees a slot that nothing names any more.
  mutating func freeIfForgotten(_ slot: Slot) {
    guard connections[slot].isReleased, connections[slot].arrivalCount == 0, connections[slot].sends.isEmpty else { return }
    let counters = connections[slot].counters
    retired.messagesSent &+= counters.messagesSent
    retired.bytesSent &+= counters.bytesSent
    retired.messagesReceived &+= counters.messagesReceived
    retired.bytesReceived &+= counters.bytesReceived
    let mailbox = connections[slot].mailbox
    mailboxes[mailbox].connections.remove(slot, &siblings)
    connections.free(slot)
    freeMailboxIfEmpty(mailbox)
  }

  private mutating func freeMailboxIfEmpty(_ mailbox: Slot) {
    if mailboxes[mailbox].isLive && mailboxes[mailbox].isClosed && mailboxes[mailbox].connections.isEmpty { mailboxes.free(mailbox) }
  }
}
