import CausewayBase

@testable import CausewayMessagingCore

extension NaiveTwin {
  mutating func end(_ connection: Connection, _ state: Connection.State) {
    guard connection.isLiving else { return }
    connection.isMute = state == .failed || connection.state == .connecting
    connection.state = state
    connection.acknowledgements = []
    connection.returns = []
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
    for send in sends where send.connection === connection { takeBack(send, failed: true) }
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
