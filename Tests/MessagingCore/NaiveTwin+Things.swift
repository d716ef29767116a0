import CausewayBase

@testable import CausewayMessagingCore

extension NaiveTwin {
  final class Mailbox {
    let id: MailboxID
    let isClient: Bool
    var isClosed = false
    var ended: Refusal?
    init(_ id: MailboxID, isClient: Bool) {
      self.id = id
      self.isClient = isClient
    }
  }

  final class Connection {
    enum State { case connecting, open, failed, closed }
    let id: ConnectionID
    let check: UInt16
    let mailbox: Mailbox
    var state = State.connecting
    var isMute = false
    var isReleased = false
    var peer = ConnectionAddress(identifier: 0, check: 0, grant: 0)
    var eagerLimit = 0
    // Receiving. Totals count from zero; the wire adds the start and wraps.
    var expected = 0
    var parked: [Message] = []
    var accepted = 0
    var freed = 0
    var reported = 0
    var announced: Int
    var greatest: Int
    var wanted: Int?
    var acknowledgements: [Int] = []
    var returns: [Int] = []
    /// Those not yet told, and all that ever were to be: a peer that sends a number twice may hear of it twice.
    var rejections: [Int] = [] { didSet { rejected.formUnion(rejections) } }
    var rejected: Set<Int> = []
    var flushWanted: Int?
    var owesFlushAnswer = false
    // Sending.
    var nextSequence = 0
    var charged = 0
    var returned = 0
    var grant = 0
    var confirmed = 0
    var askedFlush = 0
    var lastAsk: Int?

    init(_ id: ConnectionID, check: UInt16, _ mailbox: Mailbox, announced: Int) {
      self.id = id
      self.check = check
      self.mailbox = mailbox
      self.announced = announced
      greatest = announced
    }
    var isLiving: Bool { state == .connecting || state == .open }
    var refusal: Refusal { state == .failed ? .peerLost : .closed }
    var result: SendResult { state == .failed ? .peerLost : .closed }
  }

  final class Receive {
    var id: ReceiveID?
    let mailbox: Mailbox
    let from: Connection?
    let tag: UInt64
    let mask: UInt64
    let capacity: Int
    var deadline: Instant
    var drops = false
    var isMatched = false
    var isOverdueOnWay = false
    init(_ mailbox: Mailbox, _ from: Connection?, _ tag: UInt64, _ mask: UInt64, _ capacity: Int, _ deadline: Instant) {
      self.mailbox = mailbox
      self.from = from
      self.tag = tag
      self.mask = mask
      self.capacity = capacity
      self.deadline = deadline
    }
  }

  final class Message {
    var id: MessageID?
    let info: MessageInfo
    let connection: Connection
    let sequence: Int
    let cost: Int
    let wantsAcknowledgement: Bool
    init(_ info: MessageInfo, _ connection: Connection, sequence: Int, cost: Int, wantsAcknowledgement: Bool) {
      self.info = info
      self.connection = connection
      self.sequence = sequence
      self.cost = cost
      self.wantsAcknowledgement = wantsAcknowledgement
    }
  }

  final class Send {
    enum State { case queued, started, awaiting, reported, over }
    var id: SendID?
    let connection: Connection
    let tag: UInt64
    let length: Int
    let isSynchronous: Bool
    var deadline: Instant
    var state = State.queued
    var isStartOnWay = false
    var isResultOnWay = false
    var isRendezvous = false
    var sequence = 0
    var isAcknowledged = false
    var isRejected = false
    /// The peer reads it where it is; over when `returned` was told, or is about to be.
    var isOffered = false
    var isReturnOnWay = false
    init(_ connection: Connection, _ tag: UInt64, _ length: Int, _ isSynchronous: Bool, _ deadline: Instant) {
      self.connection = connection
      self.tag = tag
      self.length = length
      self.isSynchronous = isSynchronous
      self.deadline = deadline
    }
  }

  final class Flush {
    var id: FlushID?
    var deadline: Instant
    /// For each connection: the sends it waits for, and the number to be confirmed once all have started.
    var parts: [(connection: Connection, sends: [Send], target: Int?)] = []
    init(_ deadline: Instant) { self.deadline = deadline }
  }
}
