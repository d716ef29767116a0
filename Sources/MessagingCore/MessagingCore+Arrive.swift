extension MessagingCore {
  /// An active message came in. Receives whose buffer is too small end on the way by effects, and the message goes on to the next.
  /// - Parameters:
  ///   - length: Bytes of the payload, header excluded.
  ///   - isRendezvous: The data are still with the sender.
  public mutating func arrive(_ header: MessageHeader, length: Int, rendezvous isRendezvous: Bool) -> Arrival {
    let connection = slot(of: ConnectionID(rawValue: header.connection))
    guard connection != .none, connections[connection].check == header.check else { return .dropped(.unknownConnection) }
    guard connections[connection].state.isLiving else { return arriveLate(connection, header, length: length, rendezvous: isRendezvous) }
    if length < 0 || (header.kind != .data && (length > 0 || isRendezvous)) { return .dropped(.badLength) }
    let hasMoreCredit = connections[connection].credit.takeReport(header.credit)
    if header.kind == .data {
      if hasMoreCredit && connections[connection].firstQueued != .none { startQueued(connection) }
      return arriveData(connection, header, length: length, rendezvous: isRendezvous)
    }
    takeControl(connection, header)
    if connections[connection].firstQueued != .none { startQueued(connection) }
    return .control
  }

  private mutating func arriveData(_ connection: Slot, _ header: MessageHeader, length: Int, rendezvous isRendezvous: Bool) -> Arrival {
    let cost = MessageCost.units(length: length, rendezvous: isRendezvous)
    let place = connections[connection].order.place(header.sequence)
    switch place {
    case .behind: return .dropped(.duplicate)
    case .tooFarAhead: return .dropped(.tooFarAhead)
    case .next, .ahead: if !connections[connection].credit.accepts(cost) { return .dropped(.creditExceeded) }
    }
    let mailbox = connections[connection].mailbox
    if place == .ahead { return park(header, length: length, rendezvous: isRendezvous, cost: cost, mailbox, connection) }
    connections[connection].credit.accept(cost)
    connections[connection].order.advance()
    connections[connection].counters.messagesReceived &+= 1
    connections[connection].counters.bytesReceived &+= UInt64(length)
    let receive = takeReceive(header.tag, length: length, rendezvous: isRendezvous, mailbox, connection)
    let arrival: Arrival
    if receive != .none {
      if connections[connection].credit.free(cost) { makeDue(.credit, connection) }
      if header.flags.contains(.wantsAcknowledgement) { acknowledge(connection, header.sequence) }
      if receive == .discarded {
        arrival = .dropped(.truncated)
      } else {
        arrival = .matched(
          posted.id(receive),
          MessageInfo(tag: header.tag, length: length, connection: connectionID(connection), isRendezvous: isRendezvous))
      }
    } else {
      let message = stored.allocate(header, length: length, rendezvous: isRendezvous, cost: cost, mailbox, connection)
      stored.append(message, mailbox: &mailboxes[mailbox].arrivals, connection: &connections[connection].arrivals)
      connections[connection].arrivalCount &+= 1
      arrival = .stored(stored.id(message))
    }
    if connections[connection].order.parkedCount > 0 { unpark(connection) }
    if connections[connection].flush.isAnswerDue(connections[connection].order) { makeDue(.flushAcknowledgement, connection) }
    return arrival
  }

  /// The oldest posted receive for a message; those too small for it fail on the way. The receive is matched and in no list. Or
  /// `.discarded`, when one of those drops what is too long.
  @inline(__always) private mutating func takeReceive(
    _ tag: UInt64, length: Int, rendezvous isRendezvous: Bool, _ mailbox: Slot, _ connection: Slot
  ) -> Slot {
    while true {
      var receive: Slot = .none
      if !mailboxes[mailbox].posted.isEmpty { receive = posted.first(tag, scope: mailbox, mailboxes[mailbox].posted, before: .max) }
      if !connections[connection].posted.isEmpty {
        let limit = receive == .none ? UInt64.max : posted.receives[receive].order
        let tied = posted.first(tag, scope: connection | PostedScope.connectionBit, connections[connection].posted, before: limit)
        if tied != .none { receive = tied }
      }
      if receive == .none { return .none }
      if posted.receives[receive].capacity >= length {
        unlist(receive: receive)
        posted.receives[receive].state = .matched
        if !isRendezvous {
          deadlines.remove(posted.receives[receive].timer)
          posted.receives[receive].timer = .none
        }
        return receive
      }
      let info = MessageInfo(tag: tag, length: length, connection: connectionID(connection), isRendezvous: isRendezvous)
      let drops = posted.receives[receive].drops
      fail(receive, .truncated(info))
      if drops { return .discarded }
    }
  }

  // MARK: Order

  private mutating func park(
    _ header: MessageHeader, length: Int, rendezvous isRendezvous: Bool, cost: UInt32, _ mailbox: Slot, _ connection: Slot
  ) -> Arrival {
    let message = stored.allocate(header, length: length, rendezvous: isRendezvous, cost: cost, mailbox, connection)
    guard stored.park(message, in: &connections[connection].order.parked) else {
      stored.messages.free(message)
      return .dropped(.duplicate)
    }
    connections[connection].order.parkedCount += 1
    connections[connection].credit.accept(cost)
    return .stored(stored.id(message))
  }

  /// Those whose turn has come go the way of an arrival.
  private mutating func unpark(_ connection: Slot) {
    let mailbox = connections[connection].mailbox
    while true {
      let message = connections[connection].order.parked.head
      guard message != .none, stored.messages[message].sequence == connections[connection].order.expected else { return }
      stored.unpark(message, from: &connections[connection].order.parked)
      connections[connection].order.parkedCount -= 1
      connections[connection].order.advance()
      let info = info(message)
      connections[connection].counters.messagesReceived &+= 1
      connections[connection].counters.bytesReceived &+= UInt64(info.length)
      let receive = takeReceive(info.tag, length: info.length, rendezvous: info.isRendezvous, mailbox, connection)
      if receive != .none {
        settle(message, connection, matched: true)
        let id = stored.id(message)
        effects.append(receive == .discarded ? .release(id) : .deliver(id, to: posted.id(receive), info))
      } else {
        stored.append(message, mailbox: &mailboxes[mailbox].arrivals, connection: &connections[connection].arrivals)
        connections[connection].arrivalCount &+= 1
      }
    }
  }

  // MARK: Giving up

  /// For a connection that has ended: rendezvous of one closed by us are stored and released, behind the word to their sender.
  private mutating func arriveLate(_ connection: Slot, _ header: MessageHeader, length: Int, rendezvous isRendezvous: Bool) -> Arrival {
    guard connections[connection].state == .closed else { return .dropped(.peerLost) }
    guard header.kind == .data, connections[connection].order.place(header.sequence) != .behind else { return .dropped(.closed) }
    if isRendezvous || header.flags.contains(.wantsAcknowledgement) { reject(connection, header.sequence) }
    guard isRendezvous else { return .dropped(.closed) }
    let message = stored.allocate(
      header, length: length, rendezvous: true, cost: 0, connections[connection].mailbox, connection)
    stored.messages[message].state = .leaving
    effects.append(.release(stored.id(message)))
    return .stored(stored.id(message))
  }

  /// A stored message that nobody will receive: its sender is told, then its data are released.
  mutating func giveUp(_ message: Slot) {
    let connection = stored.messages[message].connection
    stored.remove(message, mailbox: &mailboxes[stored.messages[message].mailbox].arrivals, connection: &connections[connection].arrivals)
    connections[connection].arrivalCount &-= 1
    effects.append(.release(stored.id(message)))
    settle(message, connection, matched: false)
  }

  /// When a connection ends: what was parked waits for what will never come; rendezvous of a lost peer cannot be read any more.
  mutating func giveUpArrivals(_ connection: Slot, all: Bool) {
    var message = connections[connection].arrivals.head
    while message != .none {
      let next = stored.next(inConnection: message)
      if all || stored.messages[message].isRendezvous { giveUp(message) }
      message = next
    }
    while connections[connection].order.parked.head != .none {
      let message = connections[connection].order.parked.head
      stored.unpark(message, from: &connections[connection].order.parked)
      connections[connection].order.parkedCount -= 1
      effects.append(.release(stored.id(message)))
      settle(message, connection, matched: false)
    }
  }
}
