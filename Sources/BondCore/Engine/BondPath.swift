import CausewayBase
import CausewayPaths

/// One path to one peer, both directions: the sender's view of it, where it goes, and what waits to be said on it.
final class BondPath {
  let id: PathID
  let sender: PathSender
  /// Index in the peer's `settings.uplinks`; nil for a path that the peer opened, and for path 0.
  let uplink: Int?

  // MARK: Where it goes
  /// Nil until the shell has a socket for it, or the first packet came.
  var route: Route? { didSet { if let route { sender.isReliable = route.isStream } } }
  /// An echoed challenge, or the handshake for path 0, proved that the peer is there: data may go.
  var isValidated = false
  /// A new source address of an authentic packet, until its own challenge comes back (RFC 9000 §8.2).
  var candidate: Candidate?
  /// Of the session in use: an older packet from another address does not move the path.
  var newestCounter: UInt64 = 0
  var newestEpoch: UInt32 = 0
  /// Key pair under which the sender counts now, and the one before.
  var sendingEpoch: UInt32 = 0
  var previousSendingEpoch: UInt32 = 0

  // MARK: What the peer asked for
  var announcedState = PathAnnouncement.State.open
  var weight = 0
  var preference = 0
  var remoteRateLimit: UInt64 = 0

  /// Threads share its fixed rate: this one's last claim, of the bytes sent by then, and when it looks again.
  var isRateShared = false
  var rateClaim = RateClaim.none
  var rateLookBytes: UInt64 = 0
  var rateLookAt = Instant.zero
  var rateDeadline = Instant.zero
  /// What the peer thinks that its direction carries, in bits a second; 0: not told.
  var remoteCapacity: UInt64 = 0
  /// Ours as the peer was last told, in kbit/s.
  var toldCapacity: UInt32 = 0

  // MARK: What waits
  /// The id that `PathHealth` gave the next probe, or 0.
  var pendingProbe: UInt32 = 0
  var pendingEchoes: [PendingEcho] = []
  /// Authenticates our probes' answers; drawn once.
  let challenge: UInt64
  /// Finds `datagramLimit`; nil on a stream, which has none.
  var mtuSearch: PathMTUSearch?
  var mtuFacts: [PathMTUSearch.Fact] = []
  var pendingMTUProbes: [(byteCount: Int, id: UInt32)] = []
  /// Bytes of the largest datagram (a UDP payload) that this path is known to carry.
  var datagramLimit: Int
  /// A stream whose kernel queue is full.
  var isBlocked = false
  /// A stream whose path is lost is given up then.
  var streamDeadline = Instant.distantFuture
  var isClosing = false
  /// The link or its address went away.
  var isDown = false

  var statistics = PathStatistics()
  /// Packets sent when the parity policy last looked, and whether it wants this path's packets protected.
  var parityLookPackets: UInt64 = 0
  var wantsParity = false

  /// Answers that wait; more probes than that at once are not answered.
  static let echoLimit = 8
  /// Challenges sent to a new address, and the time between them.
  static let candidateProbes = 5
  static let candidateInterval: UInt64 = 200_000_000
  /// Marks the ids of probes that test the path MTU.
  static let mtuProbeBit: UInt32 = 1 << 31
  /// Such probes that wait for the path to be usable, a volley; the oldest make way.
  static let mtuProbeLimit = PathMTUSearch.candidates.count + 2
  /// A stream's length field has 16 bits; nothing we send comes near.
  static let streamDatagramLimit = 16_384

  struct Candidate {
    var route: Route
    var challenge: UInt64
    var deadline: Instant
    var probesLeft: Int
    var isPending: Bool
  }

  struct PendingEcho {
    var echo: Echo
    var route: Route
  }

  init(id: PathID, uplink: Int?, route: Route?, challenge: UInt64, innerMTU: Int, at now: Instant) {
    self.id = id
    self.uplink = uplink
    self.route = route
    self.challenge = challenge
    sender = PathSender(id: id, at: now)
    let isStream = route?.isStream ?? false
    sender.isReliable = isStream
    let overhead = route?.overheadByteCount ?? 28
    if isStream {
      datagramLimit = Self.streamDatagramLimit
    } else {
      mtuSearch = PathMTUSearch(
        wanted: innerMTU + DataHeader.byteCount + TransportHeader.overhead + overhead, isIPv6: overhead > 28, firstID: Self.mtuProbeBit)
      datagramLimit = PathMTUSearch.base - overhead
    }
    pendingEchoes.reserveCapacity(Self.echoLimit)
  }

  /// Notes a datagram with the sender. Those under keys before the newest on this path are not: nobody waits for them.
  @inline(__always) func record(
    _ session: Session, _ counter: UInt64, byteCount: Int, token: UInt32, flags: SentFlags = [], at now: Instant
  ) {
    if session.epoch != sendingEpoch {
      guard Int32(bitPattern: session.epoch &- sendingEpoch) > 0 else { return }
      if sendingEpoch != 0 { sender.beginCounterSpace() }
      previousSendingEpoch = sendingEpoch
      sendingEpoch = session.epoch
    }
    sender.sent(counter: counter, byteCount: byteCount, token: token, flags: flags, at: now)
  }

  /// Starts the search for the path MTU, or starts it again: the path is new, has moved, or came back.
  func searchMTU(at now: Instant) {
    pendingMTUProbes.removeAll(keepingCapacity: true)  // of the search before
    mtuSearch?.start(at: now, roundTrip: sender.roundTrip.smoothed, &mtuFacts)
    takeMTUFacts()
  }

  /// - Returns: Whether there are probes to send.
  @discardableResult
  func takeMTUFacts() -> Bool {
    for fact in mtuFacts {
      switch fact {
      case .probe(let byteCount, let id):
        if pendingMTUProbes.count == Self.mtuProbeLimit { pendingMTUProbes.removeFirst() }
        pendingMTUProbes.append((byteCount, id))
      case .changed(let byteCount): datagramLimit = byteCount - (route?.overheadByteCount ?? 28)
      }
    }
    mtuFacts.removeAll(keepingCapacity: true)
    return !pendingMTUProbes.isEmpty
  }

  /// Whether data may go here now, whatever pace and budget say.
  @inline(__always) var isUsable: Bool { isValidated && !isClosing && route != nil && sender.state == .normal }
}

public struct PathStatistics: Sendable, BitwiseCopyable, Equatable {
  /// Outer payload bytes.
  public var sentBytes: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var sentPackets: UInt64 = 0
  public var receivedPackets: UInt64 = 0
  public var transitions: UInt64 = 0
}
