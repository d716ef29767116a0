import CausewayBase

@testable import CausewayMessagingCore

extension NaiveTwin {
  func way(_ connection: Connection, _ length: Int) -> Bool? {
    let room = connection.grant - (connection.charged - connection.returned)
    if length <= connection.eagerLimit && Self.cost(length, false) <= room { return false }
    if length <= connection.eagerLimit && Self.cost(length, false) <= 8 { return nil }
    return room >= 8 ? true : nil
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

  mutating func answer(_ connection: Connection, _ sequences: [Int], isMatch: Bool) {
    for sequence in sequences {
      guard
        let send = (sends + awaiting).first(where: {
          $0.connection === connection && $0.sequence == sequence && ($0.state == .started || $0.state == .awaiting)
            && ($0.isSynchronous || $0.isRendezvous)
        })
      else { continue }
      if isMatch { send.isAcknowledged = true } else { send.isRejected = true }
      if send.state == .awaiting { conclude(send, isMatch ? .ok : .rejected) }
    }
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

  // MARK: Ends

  mutating func end(_ connection: Connection, _ state: Connection.State) {
    guard connection.isLiving else { return }
    connection.isMute = state == .failed || connection.state == .connecting
    connection.state = state
    connection.acknowledgements = []
    connection.owesFlushAnswer = false
    if connection.isMute { connection.rejections = [] }
    let failure: ReceiveFailure = state == .failed ? .peerLost : .closed
    while let index = posted.firstIndex(where: { $0.from === connection }) { fail(index, failure) }
    if connection.mailbox.isClient {
      connection.mailbox.ended = connection.refusal
      failReceives(connection.mailbox, failure)
    }
    for message in stored where message.connection === connection && (state == .closed || message.info.isRendezvous) { giveUp(message) }
    for message in connection.parked.sorted(by: { $0.sequence < $1.sequence }) {
      effects.append(.release(message.id!))
      settle(message, isMatched: false)
    }
    connection.parked = []
    for send in sends where send.connection === connection && send.state == .queued { conclude(send, connection.result) }
    for send in awaiting where send.connection === connection { conclude(send, connection.result) }
    let over: FlushResult = state == .failed ? .peerLost : .closed
    let ended = flushes.filter { $0.parts.contains { $0.connection === connection } }
    for flush in ended { end(flush, over) }
    forget(connection)
  }

  mutating func failReceives(_ mailbox: Mailbox, _ failure: ReceiveFailure) {
    while let index = posted.firstIndex(where: { $0.mailbox === mailbox && $0.from == nil }) { fail(index, failure) }
  }

  mutating func giveUp(_ message: Message) {
    stored.removeAll { $0 === message }
    effects.append(.release(message.id!))
    settle(message, isMatched: false)
  }

  mutating func close(_ mailbox: Mailbox) {
    if mailbox.isClosed { return }
    mailbox.isClosed = true
    for connection in connections where connection.mailbox === mailbox { end(connection, .closed) }
    failReceives(mailbox, .closed)
    for message in stored where message.connection.mailbox === mailbox { giveUp(message) }
  }

  mutating func forget(_ connection: Connection) {
    if connection.isReleased && !stored.contains(where: { $0.connection === connection })
      && !sends.contains(where: { $0.connection === connection })
    {
      connections.removeAll { $0 === connection }
    }
  }

  /// Deadlines in order; `due` breaks no ties, so tests use different ones.
  mutating func advance(_ now: Instant) {
    while true {
      let receive = (posted + matched).filter { $0.deadline <= now }.min { $0.deadline < $1.deadline }
      let send = (sends + awaiting).filter { $0.deadline <= now && $0.state != .reported }.min { $0.deadline < $1.deadline }
      let flush = flushes.filter { $0.deadline <= now }.min { $0.deadline < $1.deadline }
      let first = min(
        receive?.deadline ?? .distantFuture, min(send?.deadline ?? .distantFuture, flush?.deadline ?? .distantFuture))
      if first == .distantFuture { return }
      if let receive, receive.deadline == first {
        receive.deadline = .distantFuture
        if let index = posted.firstIndex(where: { $0 === receive }) {
          fail(index, .deadline)
        } else {
          receive.isOverdueOnWay = true
          effects.append(.receiveOverdue(receive.id!))
        }
      } else if let send, send.deadline == first {
        send.deadline = .distantFuture
        if send.state == .started {
          send.state = .reported
          send.isResultOnWay = true
          effects.append(.sendDone(send.id!, .deadline, pinned: true))
        } else {
          conclude(send, .deadline)
        }
      } else if let flush {
        end(flush, .deadline)
      }
    }
  }

  var nextDeadline: Instant {
    var first = Instant.distantFuture
    for receive in posted where receive.deadline < first { first = receive.deadline }
    for receive in matched where receive.deadline < first { first = receive.deadline }
    for send in sends where send.state != .reported && send.deadline < first { first = send.deadline }
    for send in awaiting where send.deadline < first { first = send.deadline }
    for flush in flushes where flush.deadline < first { first = flush.deadline }
    return first
  }

  /// The next effect but for control messages, as the shell gets it.
  mutating func nextEffect() -> Effect? {
    while !effects.isEmpty {
      let effect = effects.removeFirst()
      switch effect {
      case .receiveFailed: leavingReceives -= 1
      case .receiveOverdue(let id):
        guard let receive = matched.first(where: { $0.id == id }) else {
          leavingReceives -= 1
          continue
        }
        receive.isOverdueOnWay = false
      case .start(let id, _, _):
        guard let send = sends.first(where: { $0.id == id }) else { continue }
        send.isStartOnWay = false
        if send.connection.state != .open {
          guard case .done(let result) = finished(send, failed: true) else { continue }
          return .sendDone(id, result, pinned: false)
        }
      case .sendDone(let id, let result, _):
        if let send = sends.first(where: { $0.id == id && $0.isResultOnWay }) {
          send.isResultOnWay = false
          return .sendDone(id, result, pinned: true)
        }
        leavingSends -= 1
        return .sendDone(id, result, pinned: false)
      default: break
      }
      return effect
    }
    return nil
  }
}
