import CausewayBase

@testable import CausewayMessagingCore

extension NaiveTwin {
  func way(_ connection: Connection, _ length: Int) -> Bool? {
    let room = connection.grant - (connection.charged - connection.returned)
    if length <= connection.eagerLimit && Self.cost(length, false) <= room { return false }
    if length <= connection.eagerLimit && Self.cost(length, false) <= 20 { return nil }
    return room >= 20 ? true : nil
  }

  func header(_ send: Send) -> MessageHeader {
    MessageHeader(
      kind: .data, tag: send.tag, connection: send.connection.peer.identifier, sequence: start &+ UInt32(send.sequence),
      credit: start &+ UInt32(send.connection.freed), flags: send.isSynchronous ? .wantsAcknowledgement : [],
      check: send.connection.peer.check)
  }

  mutating func begin(_ send: Send, rendezvous isRendezvous: Bool) -> MessageHeader {
    let connection = send.connection
    send.state = .started
    send.isRendezvous = isRendezvous
    send.sequence = connection.nextSequence
    connection.nextSequence += 1
    connection.charged += Self.cost(send.length, isRendezvous)
    connection.reported = connection.freed
    if let wanted = connection.wanted, connection.freed >= wanted { connection.wanted = nil }
    return header(send)
  }

  mutating func send(_ send: Send, got: SendOutcome) -> SendOutcome {
    let connection = send.connection
    guard connections.contains(where: { $0 === connection }) else { return .refused(.peerLost) }
    guard connection.isLiving else { return .refused(connection.refusal) }
    if inFlight >= limits.inFlight { return .refused(.wouldBlock) }
    switch got {
    case .eager(let id, _), .rendezvous(let id, _), .queued(let id): send.id = id
    case .refused: return .queued(SendID(slot: 0, generation: 0))
    }
    let isFirst = !sends.contains { $0.connection === connection && $0.state == .queued }
    sends.append(send)
    if connection.state == .open, isFirst, let isRendezvous = way(connection, send.length) {
      let header = begin(send, rendezvous: isRendezvous)
      return isRendezvous ? .rendezvous(send.id!, header) : .eager(send.id!, header)
    }
    return .queued(send.id!)
  }

  mutating func startQueued(_ connection: Connection) {
    guard connection.state == .open else { return }
    while let send = sends.first(where: { $0.connection === connection && $0.state == .queued }),
      let isRendezvous = way(connection, send.length)
    {
      let header = begin(send, rendezvous: isRendezvous)
      send.isStartOnWay = true
      effects.append(.start(send.id!, rendezvous: isRendezvous, header))
    }
    advanceFlushes(connection)
  }

  mutating func finished(_ send: Send, failed: Bool) -> SendFinish {
    let connection = send.connection
    sends.removeAll { $0 === send }
    advanceFlushes(connection)
    defer { forget(connection) }
    if send.state == .reported {
      if send.isResultOnWay {
        send.state = .over
        leavingSends += 1
      }
      return .reported
    }
    if failed { return .done(connection.isLiving ? .failed : connection.result) }
    if send.isRejected { return .done(.rejected) }
    if send.isSynchronous && !send.isAcknowledged {
      if !connection.isLiving { return .done(connection.result) }
      send.state = .awaiting
      awaiting.append(send)
      return .awaitsMatch
    }
    return .done(.ok)
  }

  mutating func cancel(_ send: Send) -> CancelOutcome {
    switch send.state {
    case .queued:
      let connection = send.connection
      let wasFirst = sends.first { $0.connection === connection && $0.state == .queued } === send
      sends.removeAll { $0 === send }
      send.state = .over
      if wasFirst { startQueued(connection) }
      advanceFlushes(connection)
      return .cancelled
    case .awaiting:
      awaiting.removeAll { $0 === send }
      send.state = .over
      return .cancelled
    case .started:
      send.state = .reported
      return .underWay
    case .reported, .over: return .unknown
    }
  }

  mutating func conclude(_ send: Send, _ result: SendResult) {
    effects.append(.sendDone(send.id!, result, pinned: false))
    leavingSends += 1
    let connection = send.connection
    let wasFirst = sends.first { $0.connection === connection && $0.state == .queued } === send
    let wasQueued = send.state == .queued
    send.state = .over
    sends.removeAll { $0 === send }
    awaiting.removeAll { $0 === send }
    if wasQueued && connection.isLiving {
      // The effect of its end comes behind those that its leaving starts.
      let done = effects.removeLast()
      if wasFirst { startQueued(connection) }
      advanceFlushes(connection)
      effects.append(done)
    }
  }

  mutating func answer(_ connection: Connection, _ sequences: [Int], _ kind: MessageKind) {
    for sequence in sequences {
      guard
        let send = (sends + awaiting).first(where: {
          $0.connection === connection && $0.sequence == sequence
            && ($0.state == .started || $0.state == .awaiting || $0.isOffered) && ($0.isSynchronous || $0.isRendezvous)
        })
      else { continue }
      switch kind {
      case .acknowledgement: send.isAcknowledged = true
      case .rejection: send.isRejected = true
      default: break
      }
      if send.state == .awaiting && kind != .returned { conclude(send, kind == .acknowledgement ? .ok : .rejected) }
      if kind != .acknowledgement { takeBack(send, failed: false) }
    }
  }

  mutating func takeBack(_ send: Send, failed: Bool) {
    guard send.isOffered else { return }
    send.isOffered = false
    send.isReturnOnWay = true
    effects.append(.returned(send.id!, failed: failed))
  }

  // MARK: Flushes

  func isFlushed(_ connection: Connection) -> Bool {
    !sends.contains { $0.connection === connection } && connection.confirmed >= connection.nextSequence
  }

  mutating func flush(_ targets: [Connection], _ deadline: Instant, got: FlushOutcome) -> FlushOutcome {
    let waiting = targets.filter { $0.isLiving && !isFlushed($0) }
    if waiting.isEmpty { return .done }
    guard case .waiting(let id) = got else { return .waiting(FlushID(slot: 0, generation: 0)) }
    let flush = Flush(deadline)
    flush.id = id
    flush.parts = waiting.map { connection in (connection, sends.filter { $0.connection === connection }, nil) }
    flushes.append(flush)
    for connection in waiting { advanceFlushes(connection) }
    return got
  }

  mutating func advanceFlushes(_ connection: Connection) {
    for flush in flushes {
      guard let index = flush.parts.firstIndex(where: { $0.connection === connection }) else { continue }
      if flush.parts[index].target == nil && !flush.parts[index].sends.contains(where: { $0.state == .queued }) {
        flush.parts[index].target = connection.nextSequence
        if connection.nextSequence > connection.confirmed {
          connection.askedFlush = max(connection.askedFlush, connection.nextSequence)
        }
      }
      let isFree = !flush.parts[index].sends.contains { part in sends.contains { $0 === part } }
      if isFree, let target = flush.parts[index].target, connection.confirmed >= target {
        flush.parts.remove(at: index)
        if flush.parts.isEmpty { end(flush, .ok) }
      }
    }
  }

  mutating func end(_ flush: Flush, _ result: FlushResult) {
    effects.append(.flushDone(flush.id!, result))
    flushes.removeAll { $0 === flush }
  }
}
