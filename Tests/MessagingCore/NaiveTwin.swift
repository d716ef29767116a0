import CausewayBase

@testable import CausewayMessagingCore

/// What `MessagingCore` should do, the slow and plain way: lists and linear search, one object for each thing. It takes over the ids that
/// the core gave out, and predicts outcomes and effects.
struct NaiveTwin {
  let start: UInt32
  let limits: MessagingLimits
  var mailboxes: [Mailbox] = []
  var connections: [Connection] = []
  /// Posted ones in order, then those whose end the shell has not seen.
  var posted: [Receive] = []
  var matched: [Receive] = []
  /// In order of arrival.
  var stored: [Message] = []
  /// In order of the calls; those awaiting a match in the order of their finish in a list of their own.
  var sends: [Send] = []
  var awaiting: [Send] = []
  var flushes: [Flush] = []
  var effects: [Effect] = []
  var leavingReceives = 0
  var leavingSends = 0

  init(start: UInt32, limits: MessagingLimits) {
    self.start = start
    self.limits = limits
  }

  var inFlight: Int { posted.count + matched.count + sends.count + awaiting.count + leavingReceives + leavingSends }

  /// What each connection is granted, in units.
  var share: Int {
    let count = max(1, connections.count(where: \.isLiving))
    precondition(count < 9, "the plain rule")
    return min(max(limits.unreceivedByteCount / count, limits.minimumGrant), limits.maximumGrant) / 64
  }

  static func cost(_ length: Int, _ isRendezvous: Bool) -> Int {
    if isRendezvous { return 20 }
    let plain = 2 + length / 64 + (length % 64 > 0 ? 1 : 0)
    return length > 2048 ? max(136, plain) : plain
  }

  static func takes(_ tag: UInt64, _ mask: UInt64, _ other: UInt64) -> Bool { tag & mask == other & mask }

  // MARK: Receiving

  mutating func receive(
    _ mailbox: Mailbox, _ from: Connection?, _ tag: UInt64, _ mask: UInt64, _ capacity: Int, drops: Bool, _ deadline: Instant,
    got: ReceiveOutcome
  ) -> ReceiveOutcome {
    if mailbox.isClosed { return .refused(.closed) }
    if let from, !connections.contains(where: { $0 === from }) { return .refused(.peerLost) }
    if inFlight >= limits.inFlight { return .refused(.wouldBlock) }
    let receive = Receive(mailbox, from, tag, mask, capacity, deadline)
    receive.drops = drops
    if let index = firstStored(mailbox, from, tag, mask) {
      let message = stored[index]
      if message.info.length > capacity {
        if drops {
          stored.remove(at: index)
          effects.append(.release(message.id!))
          settle(message, isMatched: true)
        }
        return .truncated(message.info)
      }
      guard case .matched(let id, _, _) = got else { return .matched(ReceiveID(slot: 0, generation: 0), message.id!, message.info) }
      stored.remove(at: index)
      receive.id = id
      receive.isMatched = true
      if !message.info.isRendezvous { receive.deadline = .distantFuture }
      matched.append(receive)
      settle(message, isMatched: true)
      return .matched(id, message.id!, message.info)
    }
    if let from, !from.isLiving { return .refused(from.refusal) }
    if from == nil, let ended = mailbox.ended { return .refused(ended) }
    guard case .posted(let id) = got else { return .posted(ReceiveID(slot: 0, generation: 0)) }
    receive.id = id
    posted.append(receive)
    return got
  }

  func firstStored(_ mailbox: Mailbox, _ from: Connection?, _ tag: UInt64, _ mask: UInt64) -> Int? {
    stored.firstIndex {
      $0.connection.mailbox === mailbox && (from == nil || $0.connection === from!) && Self.takes(tag, mask, $0.info.tag)
    }
  }

  mutating func cancel(_ receive: Receive) -> CancelOutcome {
    if let index = posted.firstIndex(where: { $0 === receive }) {
      posted.remove(at: index)
      return .cancelled
    }
    return matched.contains { $0 === receive && !$0.isOverdueOnWay } ? .underWay : .unknown
  }

  mutating func finish(_ receive: Receive) {
    // The slot stays until the effect is passed over.
    if receive.isOverdueOnWay { leavingReceives += 1 }
    matched.removeAll { $0 === receive }
  }
  mutating func fail(_ index: Int, _ failure: ReceiveFailure) {
    effects.append(.receiveFailed(posted[index].id!, failure))
    leavingReceives += 1
    posted.remove(at: index)
  }

  enum Taker {
    case receive(Receive)
    case waste
  }

  /// The way of a message whose turn has come.
  mutating func takeReceive(_ message: Message) -> Taker? {
    while let index = posted.firstIndex(where: {
      $0.mailbox === message.connection.mailbox && ($0.from == nil || $0.from! === message.connection)
        && Self.takes($0.tag, $0.mask, message.info.tag)
    }) {
      if posted[index].capacity >= message.info.length {
        let receive = posted.remove(at: index)
        receive.isMatched = true
        if !message.info.isRendezvous { receive.deadline = .distantFuture }
        matched.append(receive)
        return .receive(receive)
      }
      let drops = posted[index].drops
      fail(index, .truncated(message.info))
      if drops { return .waste }
    }
    return nil
  }

  mutating func arrive(
    _ connection: Connection, sequence: Int, _ info: MessageInfo, synchronous: Bool, got: Arrival
  ) -> Arrival {
    let message = Message(
      info, connection, sequence: sequence, cost: Self.cost(info.length, info.isRendezvous), wantsAcknowledgement: synchronous)
    if case .stored(let id) = got { message.id = id }
    if connection.state == .failed { return .dropped(.peerLost) }
    if connection.state == .closed {
      if sequence < connection.expected { return .dropped(.closed) }
      if (info.isRendezvous || synchronous) && !connection.isMute { connection.rejections.append(sequence) }
      guard info.isRendezvous, let id = message.id else { return .dropped(.closed) }
      effects.append(.release(id))
      return .stored(id)
    }
    if sequence < connection.expected { return .dropped(.duplicate) }
    if sequence > connection.expected + 1024 { return .dropped(.tooFarAhead) }
    if connection.accepted - connection.freed + message.cost > connection.greatest { return .dropped(.creditExceeded) }
    if sequence > connection.expected {
      if connection.parked.contains(where: { $0.sequence == sequence }) { return .dropped(.duplicate) }
      connection.accepted += message.cost
      connection.parked.append(message)
      return message.id.map { .stored($0) } ?? .control
    }
    connection.accepted += message.cost
    connection.expected += 1
    var arrival = Arrival.control
    if let taker = takeReceive(message) {
      settle(message, isMatched: true)
      if case .receive(let receive) = taker { arrival = .matched(receive.id!, info) } else { arrival = .dropped(.truncated) }
    } else {
      stored.append(message)
      if let id = message.id { arrival = .stored(id) }
    }
    while let index = connection.parked.firstIndex(where: { $0.sequence == connection.expected }) {
      let next = connection.parked.remove(at: index)
      connection.expected += 1
      if let taker = takeReceive(next) {
        settle(next, isMatched: true)
        if case .receive(let receive) = taker {
          effects.append(.deliver(next.id!, to: receive.id!, next.info))
        } else {
          effects.append(.release(next.id!))
        }
      } else {
        stored.append(next)
      }
    }
    if let wanted = connection.flushWanted, connection.expected >= wanted {
      connection.flushWanted = nil
      connection.owesFlushAnswer = true
    }
    return arrival
  }

  mutating func settle(_ message: Message, isMatched: Bool) {
    let connection = message.connection
    connection.freed += message.cost
    if isMatched {
      if message.wantsAcknowledgement && connection.isLiving { connection.acknowledgements.append(message.sequence) }
    } else if (message.wantsAcknowledgement || message.info.isRendezvous) && !connection.isMute {
      connection.rejections.append(message.sequence)
    }
    forget(connection)
  }
}
