import CausewayBase
import CausewayPaths
import CausewayWire

/// What the other end turned out to be.
public enum PeerKind: UInt8, Sendable, BitwiseCopyable {
  /// No session yet, or the question is still open: treated as stock.
  case unknown
  /// Plain WireGuard: one path, no frames.
  case stock
  /// One of ours.
  case bond
}

/// All that one thread knows of one peer: keys, paths, what waits to be sent and what waits for its turn to be delivered.
///
/// Dispatch is here; what happens is in the extensions: `+Keys` (sessions and their timers), `+Control` (frames about paths), `+Send`,
/// `+Receive`, `+Repair`.
final class PeerLink {
  unowned let engine: BondEngine
  // What every packet needs, at hand: an unowned reference costs two atomic operations each time.
  let pool: PacketPool
  let innerMTU: Int
  let copiesDSCP: Bool
  let duplicates: Bool
  let id: PeerID
  var settings: PeerSettings

  // MARK: Keys
  /// What is sent with; what came before it; what the peer has to confirm first (responder only). Whitepaper §6.3.
  var current: Session?
  var previous: Session?
  var next: Session?
  var epoch: UInt32 = 0
  var timers: SessionTimers
  var lastHandshake: Instant?
  /// Asks for a handshake without waiting for data, and goes on asking.
  var initiates = false
  /// Handshake messages on their way out, each on its own route.
  var pendingHandshakes: [PendingHandshake] = []
  var keepalivePending = false
  // For other threads: see BondEngine+Shards.
  var sharedKeys: [SessionKeys] = []
  /// The session that the peer is known to have, by our index.
  var settledIndex: UInt32?
  var resets: UInt32 = 0
  var neededAt = Instant.zero
  /// How often a handshake ended without an answer.
  var giveUps: UInt32 = 0
  /// The owner was told that there are more uplinks than path ids.
  var hasToldUnnumbered = false

  // MARK: What the peer is
  var kind = PeerKind.unknown
  /// The peer's, of its last HELLO.
  var remoteBootID: UInt64?
  /// Ours as this peer knows it: another one after each reset, so that the peer starts anew as well.
  var localBootID: UInt64
  var remoteShardCount = 1
  var remoteFeatures: Hello.Features = []
  var helloPending = false
  var helloAcknowledgementPending = false
  var helloAttempts = 0
  var helloDeadline = Instant.distantFuture
  /// As responder: one of ours has said HELLO by then.
  var strangerDeadline = Instant.distantFuture
  var lastEarlyHello = Instant.zero
  /// Where a HELLO came in, for its answer.
  var helloPath: BondPath?

  // MARK: Paths
  var paths: [BondPath] = []
  /// Where in `paths` an id is, or -1.
  var pathIndex = InlineArray<64, Int8>(repeating: -1)
  var views: [PathView] = []
  var scheduler: AnyScheduler
  /// Routes of `settings.uplinks`, as the shell has opened them.
  var uplinkRoutes: [Route?]
  /// Where the newest authenticated packet of path 0 came from; before that, where the shell says the peer is.
  var handshakeRoute: Route?
  /// A connection that must begin with a handshake message.
  var freshStream: Route?
  /// Something waits to be said about the paths.
  var controlPending = false
  var pathsSequence: UInt32 = 0
  var pathsAcknowledged = true
  /// The peer has heard which of our paths close.
  var retiresPaths = false
  var pathsDeadline = Instant.distantFuture
  var remotePathsSequence: UInt32?
  /// The newest PATHS of the peer, at most `PathList.entryLimit`: a path may be announced before its first packet comes.
  var announced: [PathAnnouncement] = []
  var suspicions: [Suspicion] = []
  var allPathsDeadSince: Instant?
  /// Until then the backlog's limit only grows.
  var backlogHeldUntil = Instant.zero

  // MARK: Sending
  var queue: FairQueue
  /// Dequeued, but too long for the run that it should have ended.
  var stash = PacketSlot.none
  /// When pace or budget allow the next run.
  var sendWait = Instant.distantFuture
  var stamper = OrderStamper()
  var resends = SlotList()
  /// When the pace of the path that the next resend is for allows it.
  var resendWait = Instant.distantFuture
  /// Second copies of urgent packets, with the path that is to carry each.
  var copies: [(slot: PacketSlot, path: PathID)] = []
  var redundant: [PacketSlot] = []
  var redundantNext = 0
  var redundantPaths: UInt64 = 0
  var skips: [Skip] = []
  var parameters = OrderParameters(holdLimitMicroseconds: 0, memoryByteCount: 0)
  var parametersPending = false
  var parametersSentAt = Instant.zero
  var capacitiesPending = false
  var capacitiesSentAt = Instant.zero

  var parity: RepairEncoder
  var parityDeadline = Instant.distantFuture

  /// Which of two paths the next acknowledgement takes.
  var alternates = false

  // MARK: Receiving
  var order: ReorderBuffer
  var reassembler: Reassembler
  /// Made when the peer first says that parity will come.
  var decoder: ParityReceiver?
  var allowedSource = AllowedSource()

  // MARK: Scheduling in the engine
  var isActive = false
  var deadline = Instant.distantFuture
  var statistics = PeerStatistics()

  struct PendingHandshake {
    var message: HandshakeMessage
    var route: Route
  }

  init(engine: BondEngine, id: PeerID, settings: PeerSettings, at now: Instant) {
    self.engine = engine
    pool = engine.pool
    innerMTU = engine.configuration.innerMTU
    copiesDSCP = engine.configuration.copiesDSCP
    duplicates = engine.configuration.duplicates
    self.id = id
    self.settings = settings
    let configuration = engine.configuration
    localBootID = configuration.bootID
    timers = SessionTimers(persistentKeepalive: settings.persistentKeepalive, seed: engine.random.next())
    scheduler = AnyScheduler(configuration.scheduler)
    uplinkRoutes = Array(repeating: nil, count: settings.uplinks.count)
    queue = FairQueue(pool: pool)
    order = ReorderBuffer(pool: pool)
    reassembler = Reassembler(pool: pool)
    parity = RepairEncoder(packetByteCount: configuration.innerMTU - RepairHeader.byteCount - RepairHeader.prefixByteCount)
    pendingHandshakes.reserveCapacity(8)
    suspicions.reserveCapacity(8)
    skips.reserveCapacity(64)
    copies.reserveCapacity(64)
    redundant.reserveCapacity(64)
  }

  @inline(__always) func path(_ id: PathID) -> BondPath? {
    let index = pathIndex[Int(id.rawValue)]
    return index < 0 ? nil : paths[Int(index)]
  }

  /// Tells the engine that this peer may have something to send or another deadline.
  @inline(__always) func activate() {
    if !isActive { engine.activate(self) }
  }
}

/// Sums for status and metrics; inner packets unless said otherwise.
public struct PeerStatistics: Sendable, BitwiseCopyable, Equatable {
  public var sentPackets: UInt64 = 0
  public var sentBytes: UInt64 = 0
  public var receivedPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var resentPackets: UInt64 = 0
  public var copiesSent: UInt64 = 0
  public var abandonedPackets: UInt64 = 0
  public var paritySent: UInt64 = 0
  public var parityRepaired: UInt64 = 0
}

/// A first-in first-out list of slots, linked through `PacketInfo.next`.
struct SlotList {
  var head = PacketSlot.none
  var tail = PacketSlot.none
  var count = 0

  var isEmpty: Bool { head == .none }

  mutating func append(_ slot: PacketSlot, _ pool: PacketPool) {
    pool[slot].next = .none
    if head == .none { head = slot } else { pool[tail].next = slot }
    tail = slot
    count += 1
  }

  mutating func popFirst(_ pool: PacketPool) -> PacketSlot? {
    let slot = head
    guard slot != .none else { return nil }
    head = pool[slot].next
    if head == .none { tail = .none }
    count -= 1
    return slot
  }
}
