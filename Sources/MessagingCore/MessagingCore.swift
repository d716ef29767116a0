// CausewayMessagingCore: what an engine of Messaging decides, without UCX, sockets, clocks or threads. It matches tags, counts credits,
// keeps order, acknowledges, flushes and watches deadlines; the shell keeps buffers and data at the slots of the ids it is given.
// One thread at a time. After each call, or a batch of them, the shell drains `nextEffect`.
// Start here; then TagTable (posted receives), UnexpectedQueue (stored messages), CreditLedger, FlushTracker.
public import CausewayBase

/// The state of one engine.
public struct MessagingCore: ~Copyable {
  public let limits: MessagingLimits

  /// - Parameter seed: Random and secret, so that no peer can choose tags that collide in the tables.
  public init(limits: MessagingLimits = MessagingLimits(), seed: UInt64) {
    self.limits = limits
  }

  // MARK: Mailboxes and connections

  /// Opens a matching domain.
  public mutating func openMailbox(_ kind: MailboxKind) -> MailboxID { fatalError() }

  /// Ends everything of the mailbox and its connections with `closed`; peers learn what was given up unread. Closing again does nothing.
  public mutating func closeMailbox(_ mailbox: MailboxID) {}

  /// A connection whose handshake begins. Arrivals are taken from now on (the peer may know the id before we know its answer); sends
  /// queue until `establish`. Nil when the table is full or the mailbox closed.
  /// - Parameter check: Random bits that each header of the peer must repeat.
  public mutating func openConnection(in mailbox: MailboxID, check: UInt16) -> ConnectionID? { fatalError() }

  /// What to tell the peer of this connection in the handshake.
  public func address(of connection: ConnectionID) -> ConnectionAddress { fatalError() }

  /// The handshake is over: headers can be addressed. Queued sends start by effects.
  /// - Parameters:
  ///   - peer: What the peer told of itself.
  ///   - eagerLimit: Longest payload that goes in one piece with its header, in bytes.
  public mutating func establish(_ connection: ConnectionID, peer: ConnectionAddress, eagerLimit: Int) {}

  /// The peer is gone. Everything that waits for it ends with `peerLost`; its held rendezvous are released; its stored eager messages
  /// stay receivable. Sends that the transport has end by `sendFinished`. Failing again does nothing.
  public mutating func connectionFailed(_ connection: ConnectionID) {}

  /// Closed by us: the same with `closed`, and the peer is told of what is given up unread.
  public mutating func closeConnection(_ connection: ConnectionID) {}

  /// The transport has given everything back. The slot is reused when its last stored message is received. Before it, the connection
  /// must have failed or been closed.
  public mutating func releaseConnection(_ connection: ConnectionID) {}

  // MARK: Receives

  /// Takes the oldest stored message that fits, or waits for one.
  /// - Parameters:
  ///   - connection: Only messages of this one, or nil for all of the mailbox.
  ///   - tag: Matches a message when both agree in every bit of `mask`.
  ///   - capacity: Bytes of the buffer; `Int.max` when the shell allocates at the match.
  public mutating func receive(
    in mailbox: MailboxID, from connection: ConnectionID? = nil, tag: UInt64, mask: UInt64 = .max, capacity: Int,
    deadline: Instant = .distantFuture
  ) -> ReceiveOutcome { fatalError() }

  /// Takes a posted receive back; a matched one goes on.
  public mutating func cancel(_ receive: ReceiveID) -> CancelOutcome { .unknown }

  /// The data of a matched receive are in its buffer (or failed on the way): frees its slot.
  public mutating func finishReceive(_ receive: ReceiveID) {}

  /// The oldest stored message that fits, which stays.
  public func probe(in mailbox: MailboxID, from connection: ConnectionID? = nil, tag: UInt64, mask: UInt64 = .max) -> MessageInfo? { nil }

  /// An active message came in. Receives whose buffer is too small end on the way by effects, and the message goes on to the next.
  /// - Parameters:
  ///   - length: Bytes of the payload, header excluded.
  ///   - isRendezvous: The data are still with the sender.
  public mutating func arrive(_ header: MessageHeader, length: Int, rendezvous isRendezvous: Bool) -> Arrival { fatalError() }

  // MARK: Sends and flushes

  /// - Parameter isSynchronous: Done only when the message has been matched.
  public mutating func send(
    on connection: ConnectionID, tag: UInt64, length: Int, synchronous isSynchronous: Bool = false, deadline: Instant = .distantFuture
  ) -> SendOutcome { fatalError() }

  /// The transport gave the buffer back: eager, the data left; rendezvous, they were read.
  /// - Parameter failed: It could not send them.
  public mutating func sendFinished(_ send: SendID, failed: Bool = false) -> SendFinish { .reported }

  public mutating func cancel(_ send: SendID) -> CancelOutcome { .unknown }

  /// Waits until every earlier send of the connection left its buffer and the peer has it.
  public mutating func flush(_ connection: ConnectionID, deadline: Instant = .distantFuture) -> FlushOutcome { fatalError() }

  /// The same for all living connections of the mailbox.
  public mutating func flush(_ mailbox: MailboxID, deadline: Instant = .distantFuture) -> FlushOutcome { fatalError() }

  /// Gives a flush up; nothing more will name it.
  public mutating func cancel(_ flush: FlushID) -> CancelOutcome { .unknown }

  // MARK: What follows

  /// The next thing to do, or nil. Control messages of a turn are put together here, so drain once a turn.
  public mutating func nextEffect() -> Effect? { nil }

  /// When `advance(to:)` is due; `distantFuture` when nothing waits.
  public var nextDeadline: Instant { .distantFuture }

  public mutating func advance(to now: Instant) {}

  /// Sends and receives under way.
  public var inFlight: Int { 0 }

  public func counters(of connection: ConnectionID) -> MessagingCounters { MessagingCounters() }

  /// Of all connections that ever were; queues, costs and credits of those that are.
  public var counters: MessagingCounters { MessagingCounters() }
}
