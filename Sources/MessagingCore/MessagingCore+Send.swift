public import CausewayBase

extension MessagingCore {
  /// - Parameters:
  ///   - length: Bytes of the payload.
  ///   - isSynchronous: Done only when the message has been matched.
  public mutating func send(
    on connectionID: ConnectionID, tag: UInt64, length: Int, synchronous isSynchronous: Bool = false, deadline: Instant = .distantFuture
  ) -> SendOutcome {
    precondition(length >= 0, "a length is not negative")
    let connection = slot(of: connectionID)
    guard connection != .none else { return .refused(.peerLost) }
    guard connections[connection].state.isLiving else { return .refused(connections[connection].state.refusal) }
    if inFlight >= limits.inFlight { return .refused(.wouldBlock) }
    let send = sending.allocate()
    connections[connection].submitted &+= 1
    connections[connection].counters.sendsInFlight &+= 1
    var record = SendRecord()
    record.generation = sending[send].generation
    record.isLive = true
    record.tag = tag
    record.length = length
    record.order = connections[connection].submitted
    record.connection = connection
    record.isSynchronous = isSynchronous
    record.timer = deadlines.insert(deadline, .send, send)
    sending[send] = record
    connections[connection].sends.append(send, &sending.links)
    if connections[connection].firstQueued == .none && connections[connection].state == .open {
      if let isRendezvous = way(length, connection) {
        let header = start(send, connection, rendezvous: isRendezvous)
        return isRendezvous ? .rendezvous(sending.id(send), header) : .eager(sending.id(send), header)
      }
    }
    if connections[connection].firstQueued == .none { connections[connection].firstQueued = send }
    connections[connection].counters.sendsQueued &+= 1
    askForCredit(connection)
    return .queued(sending.id(send))
  }

  /// Instead of handing a rendezvous' data to the transport the shell tells the peer where they are: `Effect.returned` follows. Right
  /// after the header was given out.
  public mutating func offer(_ id: SendID) {
    let send = id.slot
    // Its result may have been given while its start was on the way to the shell.
    precondition(
      sending.sends.holds(send, id.generation) && (sending[send].state == .started || sending[send].state == .reported),
      "a rendezvous that just started")
    sending[send].isOffered = true
    if !sending[send].isListed { sending.list(send) }
  }

  /// The transport gave the buffer back: eager, the data left; rendezvous, they were read.
  /// - Parameter failed: It could not send them. That leaves a hole in the order, so the shell fails the connection, too.
  public mutating func sendFinished(_ id: SendID, failed: Bool = false) -> SendFinish {
    let send = id.slot
    guard sending.sends.holds(send, id.generation) else { return .reported }
    let state = sending[send].state
    precondition(state == .started || state == .reported, "only a started send finishes, once")
    let connection = sending[send].connection
    connections[connection].sends.remove(send, &sending.links)
    if !connections[connection].flush.parts.isEmpty { advanceFlushes(connection) }
    defer { if connections[connection].isReleased { freeIfForgotten(connection) } }
    if state == .reported {
      if sending[send].hasResultOnWay { sending[send].state = .leaving } else { sending.free(send) }
      return .reported
    }
    let result: SendResult
    if failed {
      result = connections[connection].state.isLiving ? .failed : connections[connection].state.sendResult
    } else if sending[send].isRejected {
      result = .rejected
    } else if sending[send].isSynchronous && !sending[send].isAcknowledged {
      if connections[connection].state.isLiving {
        sending[send].state = .awaitingMatch
        connections[connection].awaiting.append(send, &sending.links)
        return .awaitsMatch
      }
      result = connections[connection].state.sendResult
    } else {
      result = .ok
    }
    deadlines.remove(sending[send].timer)
    connections[connection].counters.sendsInFlight &-= 1
    sending.free(send)
    return .done(result)
  }

  /// Takes a queued or unmatched send back. One that the transport has counts as over, but its slot stays until `sendFinished`.
  public mutating func cancel(_ id: SendID) -> CancelOutcome {
    let send = id.slot
    guard sending.sends.holds(send, id.generation) else { return .unknown }
    switch sending[send].state {
    case .queued, .awaitingMatch:
      unlink(send)
      sending.free(send)
      return .cancelled
    case .started:
      deadlines.remove(sending[send].timer)
      report(send)
      return .underWay
    case .reported, .leaving: return .unknown
    }
  }

  // MARK: Starting

  /// How a message may go now: false eager, true rendezvous, nil not yet.
  @inline(__always) private func way(_ length: Int, _ connection: Slot) -> Bool? {
    if length <= connections[connection].eagerLimit {
      let cost = MessageCost.units(length: length, rendezvous: false)
      if connections[connection].credit.fits(cost) { return false }
      if cost <= MessageCost.rendezvous { return nil }
    }
    return connections[connection].credit.fits(MessageCost.rendezvous) ? true : nil
  }

  @inline(__always) private mutating func start(_ send: Slot, _ connection: Slot, rendezvous isRendezvous: Bool) -> MessageHeader {
    let length = sending[send].length
    let sequence = connections[connection].nextSequence
    connections[connection].nextSequence &+= 1
    connections[connection].credit.charge(MessageCost.units(length: length, rendezvous: isRendezvous))
    connections[connection].counters.messagesSent &+= 1
    connections[connection].counters.bytesSent &+= UInt64(length)
    sending[send].state = .started
    sending[send].sequence = sequence
    if sending[send].isSynchronous || isRendezvous { sending.list(send) }
    return connections[connection].header(
      .data, tag: sending[send].tag, sequence: sequence, flags: sending[send].isSynchronous ? .wantsAcknowledgement : [])
  }

  /// Starts what waits, in order, as far as credit goes.
  mutating func startQueued(_ connection: Slot) {
    guard connections[connection].state == .open, connections[connection].firstQueued != .none else { return }
    while connections[connection].firstQueued != .none {
      let send = connections[connection].firstQueued
      guard let isRendezvous = way(sending[send].length, connection) else { break }
      connections[connection].firstQueued = sending.links.next(send)
      connections[connection].counters.sendsQueued &-= 1
      let header = start(send, connection, rendezvous: isRendezvous)
      effects.append(.start(sending.id(send), rendezvous: isRendezvous, header))
    }
    if connections[connection].firstQueued == .none { connections[connection].credit.stopAsking() } else { askForCredit(connection) }
    if !connections[connection].flush.parts.isEmpty { advanceFlushes(connection) }
  }

  /// Tells the peer what the first in the queue waits for.
  private mutating func askForCredit(_ connection: Slot) {
    let send = connections[connection].firstQueued
    guard connections[connection].state == .open, send != .none else { return }
    var cost = MessageCost.rendezvous
    if sending[send].length <= connections[connection].eagerLimit {
      cost = min(cost, MessageCost.units(length: sending[send].length, rendezvous: false))
    }
    if connections[connection].credit.ask(for: cost) != nil { makeDue(.ask, connection) }
  }

  /// Whether a queued send may still go when the shell takes it.
  func isStartable(_ id: SendID) -> Bool { connections[sending[id.slot].connection].state == .open }

  /// Its connection ended before the shell took it.
  mutating func failToStart(_ id: SendID) -> Effect? {
    guard case .done(let result) = sendFinished(id, failed: true) else { return nil }
    return .sendDone(id, result, pinned: false)
  }

  // MARK: Ending

  mutating func matched(_ send: Slot) {
    sending[send].isAcknowledged = true
    if sending[send].state == .awaitingMatch { finish(send, .ok) }
  }

  mutating func rejected(_ send: Slot) {
    sending[send].isRejected = true
    if sending[send].state == .awaitingMatch { finish(send, .rejected) }
    takeBack(send, failed: false)
  }

  /// The peer reads an offered send's memory no more: once.
  mutating func takeBack(_ send: Slot, failed: Bool) {
    guard sending[send].isOffered else { return }
    sending[send].isOffered = false
    effects.append(.returned(sending.id(send), failed: failed))
  }

  mutating func sendExpired(_ send: Slot) {
    sending[send].timer = .none
    if sending[send].state == .started {
      report(send)
      sending[send].hasResultOnWay = true
      effects.append(.sendDone(sending.id(send), .deadline, pinned: true))
    } else {
      finish(send, .deadline)
    }
  }

  /// When a connection ends: those the transport has end by `sendFinished`, those that were offered are taken back.
  mutating func endSends(_ connection: Slot) {
    let result = connections[connection].state.sendResult
    var send = connections[connection].sends.head
    while send != connections[connection].firstQueued {
      takeBack(send, failed: true)
      send = sending.links.next(send)
    }
    while connections[connection].firstQueued != .none { finish(connections[connection].firstQueued, result) }
    while connections[connection].awaiting.head != .none { finish(connections[connection].awaiting.head, result) }
  }

  /// `sendDone` reaches the shell. Returns whether the transport still has the buffer.
  mutating func concludeSend(_ send: Slot) -> Bool {
    if sending[send].state == .leaving {
      sending.free(send)
      return false
    }
    sending[send].hasResultOnWay = false
    return true
  }

  /// The result of one that the transport has is given before its buffer is back.
  private mutating func report(_ send: Slot) {
    sending[send].timer = .none
    sending[send].state = .reported
    if !sending[send].isOffered { sending.unlist(send) }
    connections[sending[send].connection].counters.sendsInFlight &-= 1
  }

  /// Ends one that the transport does not have; the effect frees its slot.
  private mutating func finish(_ send: Slot, _ result: SendResult) {
    unlink(send)
    sending[send].state = .leaving
    effects.append(.sendDone(sending.id(send), result, pinned: false))
  }

  /// Takes a queued or unmatched one out of its list, off the clock and out of reach of acknowledgements.
  private mutating func unlink(_ send: Slot) {
    let connection = sending[send].connection
    deadlines.remove(sending[send].timer)
    sending[send].timer = .none
    sending.unlist(send)
    connections[connection].counters.sendsInFlight &-= 1
    if sending[send].state == .awaitingMatch {
      connections[connection].awaiting.remove(send, &sending.links)
      return
    }
    let wasFirst = connections[connection].firstQueued == send
    if wasFirst { connections[connection].firstQueued = sending.links.next(send) }
    connections[connection].sends.remove(send, &sending.links)
    connections[connection].counters.sendsQueued &-= 1
    if connections[connection].state.isLiving {
      // A smaller one may fit where the first did not.
      if wasFirst { startQueued(connection) }
      if !connections[connection].flush.parts.isEmpty { advanceFlushes(connection) }
    }
  }
}
