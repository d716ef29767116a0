/// The life of a connection.
enum ConnectionState: UInt8, BitwiseCopyable {
  /// In the handshake: arrivals are taken, nothing can be sent.
  case connecting
  case open
  /// The peer is gone.
  case failed
  /// Closed by us.
  case closed

  @inline(__always) var isLiving: Bool { self == .connecting || self == .open }

  /// How what waits for it ends.
  var refusal: Refusal { self == .failed ? .peerLost : .closed }
  var sendResult: SendResult { self == .failed ? .peerLost : .closed }
}

/// Control messages that are due besides acknowledgements and rejections.
struct DueControls: OptionSet, BitwiseCopyable {
  let rawValue: UInt8
  static let credit = DueControls(rawValue: 1)
  static let ask = DueControls(rawValue: 2)
  static let flush = DueControls(rawValue: 4)
  static let flushAcknowledgement = DueControls(rawValue: 8)
}

/// A connection's half of everything.
struct ConnectionRecord: SlotRecord {
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var state = ConnectionState.connecting
  /// The shell has everything back.
  var isReleased = false
  /// Ended, and the peer is gone or cannot be addressed.
  var isMute = false
  /// In the list of those with control messages due.
  var isListed = false
  var nextListed: Slot = .none

  /// What every header to us repeats.
  var check: UInt16 = 0
  var peer = ConnectionAddress(identifier: 0, check: 0, grant: 0)
  var mailbox: Slot = .none
  var eagerLimit = 0

  var credit = CreditLedger(grant: 0, start: 0)
  var order = SequenceCheck(start: 0)
  var posted = PostedScope()
  /// Stored messages in order of arrival.
  var arrivals = SlotList()
  var arrivalCount = 0

  var nextSequence: UInt32 = 0
  /// Numbers the sends in the order of the calls.
  var submitted: UInt64 = 0
  /// Sends whose buffer is not back, in order: first those the transport has, from `firstQueued` on those that wait for credit.
  var sends = SlotList()
  var firstQueued: Slot = .none
  /// Sends that wait for their match only.
  var awaiting = SlotList()

  var due: DueControls = []
  var acknowledgements = AcknowledgementBatch()
  var rejections = AcknowledgementBatch()
  var returns = AcknowledgementBatch()
  var flush = FlushState(start: 0)
  var counters = MessagingCounters()

  @inline(__always) var hasControls: Bool { due != [] || !acknowledgements.isEmpty || !rejections.isEmpty || !returns.isEmpty }

  /// A header to the peer. It reports what was freed.
  @inline(__always) mutating func header(_ kind: MessageKind, tag: UInt64, sequence: UInt32, flags: MessageFlags = []) -> MessageHeader {
    MessageHeader(
      kind: kind, tag: tag, connection: peer.identifier, sequence: sequence, credit: credit.report(), flags: flags, check: peer.check)
  }

  /// The next control message that is due.
  mutating func nextControl(grant: UInt32) -> MessageHeader? {
    if !rejections.isEmpty && !isMute {
      defer { rejections.clear() }
      return header(.rejection, tag: rejections.bits, sequence: rejections.base)
    }
    guard state == .open else { return nil }
    if !acknowledgements.isEmpty {
      defer { acknowledgements.clear() }
      return header(.acknowledgement, tag: acknowledgements.bits, sequence: acknowledgements.base)
    }
    if !returns.isEmpty {
      defer { returns.clear() }
      return header(.returned, tag: returns.bits, sequence: returns.base)
    }
    if due.contains(.flush) {
      due.remove(.flush)
      return header(.flush, tag: 0, sequence: flush.asked)
    }
    if due.contains(.flushAcknowledgement) {
      due.remove(.flushAcknowledgement)
      return header(.flushAcknowledgement, tag: 0, sequence: order.expected)
    }
    let isAsking = due.contains(.ask)
    let isReporting = due.contains(.credit) && (credit.reported != credit.freed || credit.announcedGrant != grant)
    due.subtract([.ask, .credit])
    guard isAsking || isReporting else { return nil }
    var tag: UInt64 = 0
    if credit.announcedGrant != grant {
      credit.announce(grant)
      tag = UInt64(grant)
    }
    if isAsking { tag |= UInt64(credit.askedTotal) &<< 32 }
    return header(.credit, tag: tag, sequence: 0, flags: isAsking ? .wantsCredit : [])
  }
}

/// A Server's or Client's matching domain.
struct MailboxRecord: SlotRecord {
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var isClosed = false
  var kind = MailboxKind.server
  var posted = PostedScope()
  /// Stored messages of all its connections in order of arrival.
  var arrivals = SlotList()
  var connections = SlotList()
  /// Of a client: how its connection ended.
  var ended: Refusal?
}
