// CausewayMessagingCore: what an engine of Messaging decides, without UCX, sockets, clocks or threads. It matches tags, counts credits,
// keeps order, acknowledges, flushes and watches deadlines; the shell keeps buffers and data at the slots of the ids it is given.
// One thread at a time. After each call, or a batch of them, the shell drains `nextEffect`.
// Start here; then TagTable (posted receives), UnexpectedQueue (stored messages), CreditLedger, FlushTracker.
public import CausewayBase

/// The state of one engine.
public struct MessagingCore: ~Copyable, Sendable {
  public let limits: MessagingLimits

  var mailboxes: SlotTable<MailboxRecord>
  var connections: SlotTable<ConnectionRecord>
  /// A mailbox's list of its connections.
  var siblings: LinkSlab
  var posted: TagTable
  var stored: UnexpectedQueue
  var sending: SendTable
  var flushing = FlushTracker()
  var deadlines: DeadlineHeap
  var effects = EffectRing(capacity: 64)
  /// Acknowledgements and rejections that no longer fit in their connection's batch. They go first, because a rejection must reach the
  /// sender before the release of its rendezvous does.
  var overflow = EffectRing(capacity: 4)
  /// Those of connections in the handshake.
  var early = EffectRing(capacity: 4)
  /// Connections with control messages due, oldest first.
  var firstListed: Slot = .none
  var lastListed: Slot = .none
  /// Connections in the handshake or open, and what each is granted.
  var livingCount = 0
  var grant: UInt32
  /// What connections that are gone have counted.
  var retired = MessagingCounters()

  /// - Parameter seed: Random and secret, so that no peer can choose tags that collide in the tables.
  public init(limits: MessagingLimits = MessagingLimits(), seed: UInt64) {
    precondition(limits.inFlight > 0 && limits.initialCapacity > 0 && limits.minimumGrant >= 0, "limits are positive")
    self.limits = limits
    let capacity = max(4, min(limits.initialCapacity, 1 << 20))
    mailboxes = SlotTable(capacity: 4)
    connections = SlotTable(capacity: 4)
    siblings = LinkSlab(capacity: 4)
    posted = TagTable(capacity: capacity, seed: seed)
    stored = UnexpectedQueue(capacity: capacity, seed: seed ^ 0xA5A5_5A5A_A5A5_5A5A)
    sending = SendTable(capacity: capacity, seed: seed &+ 1)
    deadlines = DeadlineHeap(capacity: capacity)
    grant = limits.grant(connections: 1)
  }

  /// Sends and receives under way.
  public var inFlight: Int { posted.receives.count + sending.sends.count }

  /// Whether `nextEffect` has something; cheaper to ask between any two polls.
  // Mutating, as `nextDeadline` is: a caller that has the core behind a pointer would copy all of it, 1.6 KB, to lend it to a plain getter.
  public var hasEffects: Bool {
    mutating get { effects.count > 0 || overflow.count > 0 || firstListed != .none }
  }

  /// The next thing to do, or nil. Control messages of a turn are put together here, so drain once a turn.
  public mutating func nextEffect() -> Effect? {
    if overflow.count > 0, let control = nextOverflow() { return control }
    if firstListed != .none, let control = nextControl() { return control }
    while let effect = effects.take() {
      if let effect = conclude(effect) { return effect }
    }
    return nil
  }

  /// When `advance(to:)` is due; `distantFuture` when nothing waits.
  public var nextDeadline: Instant { mutating get { deadlines.first } }

  /// Ends what is past its deadline.
  public mutating func advance(to now: Instant) {
    while let due = deadlines.takeDue(now) {
      switch due.subject {
      case .receive: receiveExpired(due.slot)
      case .send: sendExpired(due.slot)
      case .flush:
        flushing.flushes[due.slot].timer = .none
        endFlush(due.slot, .deadline)
      }
    }
  }

  /// Frees what ends with an effect that the shell now gets. Nil when there is nothing left to say.
  private mutating func conclude(_ effect: Effect) -> Effect? {
    switch effect {
    case .receiveFailed(let id, _): posted.receives.free(id.slot)
    case .receiveOverdue(let id): return overdue(id)
    case .deliver(let id, _, _), .release(let id): stored.messages.free(id.slot)
    case .start(let id, _, _): if !isStartable(id) { return failToStart(id) }
    case .sendDone(let id, let result, _): return .sendDone(id, result, pinned: concludeSend(id.slot))
    case .flushDone(let id, _): flushing.flushes.free(id.slot)
    case .returned, .control: break
    }
    return effect
  }
}
