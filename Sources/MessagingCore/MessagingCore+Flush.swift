public import CausewayBase

extension MessagingCore {
  /// Waits until every earlier send of the connection left its buffer and the peer has it in memory.
  public mutating func flush(_ id: ConnectionID, deadline: Instant = .distantFuture) -> FlushOutcome {
    let connection = slot(of: id)
    guard connection != .none else { return .refused(.peerLost) }
    guard connections[connection].state.isLiving else { return .refused(connections[connection].state.refusal) }
    if isFlushed(connection) { return .done }
    let flush = flushing.begin()
    addPart(flush, connection)
    flushing.flushes[flush].timer = deadlines.insert(deadline, .flush, flush)
    return .waiting(flushing.id(flush))
  }

  /// The same for all living connections of the mailbox.
  public mutating func flush(_ id: MailboxID, deadline: Instant = .distantFuture) -> FlushOutcome {
    guard mailboxes.holds(id.slot, id.generation), !mailboxes[id.slot].isClosed else { return .refused(.closed) }
    if let ended = mailboxes[id.slot].ended { return .refused(ended) }
    var flush: Slot = .none
    var connection = mailboxes[id.slot].connections.head
    while connection != .none {
      if connections[connection].state.isLiving && !isFlushed(connection) {
        if flush == .none { flush = flushing.begin() }
        addPart(flush, connection)
      }
      connection = siblings.next(connection)
    }
    if flush == .none { return .done }
    flushing.flushes[flush].timer = deadlines.insert(deadline, .flush, flush)
    return .waiting(flushing.id(flush))
  }

  /// Gives a flush up; nothing more will name it.
  public mutating func cancel(_ id: FlushID) -> CancelOutcome {
    guard flushing.flushes.holds(id.slot, id.generation), !flushing.flushes[id.slot].isLeaving else { return .unknown }
    removeParts(id.slot)
    deadlines.remove(flushing.flushes[id.slot].timer)
    flushing.flushes.free(id.slot)
    return .cancelled
  }

  // MARK: Shared

  private func isFlushed(_ connection: Slot) -> Bool {
    connections[connection].sends.isEmpty && connections[connection].flush.covers(connections[connection].nextSequence)
  }

  private mutating func addPart(_ flush: Slot, _ connection: Slot) {
    flushing.addPart(to: flush, connection, order: connections[connection].submitted, list: &connections[connection].flush.parts)
    advanceFlushes(connection)
  }

  /// Asks the peer where a flush's sends have all started, and ends those that are complete.
  mutating func advanceFlushes(_ connection: Slot) {
    let queued = connections[connection].firstQueued
    let firstQueued = queued == .none ? UInt64.max : sending[queued].order
    let unfinished = connections[connection].sends.head
    let firstUnfinished = unfinished == .none ? UInt64.max : sending[unfinished].order
    var part = connections[connection].flush.parts.head
    while part != .none {
      let next = flushing.connectionLinks.next(part)
      if !flushing.parts[part].hasTarget {
        if firstQueued <= flushing.parts[part].order { return }
        flushing.parts[part].hasTarget = true
        flushing.parts[part].target = connections[connection].nextSequence
        if connections[connection].flush.ask(connections[connection].nextSequence) { makeDue(.flush, connection) }
      }
      if firstUnfinished > flushing.parts[part].order && connections[connection].flush.covers(flushing.parts[part].target) {
        let flush = flushing.parts[part].flush
        flushing.removePart(part, list: &connections[connection].flush.parts)
        if flushing.flushes[flush].parts.isEmpty { endFlush(flush, .ok) }
      }
      part = next
    }
  }

  /// When a connection ends, so do all flushes that wait for it.
  mutating func endFlushes(_ connection: Slot, _ result: FlushResult) {
    while connections[connection].flush.parts.head != .none {
      endFlush(flushing.parts[connections[connection].flush.parts.head].flush, result)
    }
  }

  mutating func endFlush(_ flush: Slot, _ result: FlushResult) {
    removeParts(flush)
    deadlines.remove(flushing.flushes[flush].timer)
    flushing.flushes[flush].timer = .none
    flushing.flushes[flush].isLeaving = true
    effects.append(.flushDone(flushing.id(flush), result))
  }

  private mutating func removeParts(_ flush: Slot) {
    while flushing.flushes[flush].parts.head != .none {
      let part = flushing.flushes[flush].parts.head
      flushing.removePart(part, list: &connections[flushing.parts[part].connection].flush.parts)
    }
  }
}
