public import CausewayBase

/// Everything that one side knows of sending on one path: health, round trip, what is in flight, capacity and pace.
///
/// A class, because a peer's paths live in an array that grows and shrinks while several parts of an engine refer to them; an array cannot
/// hold a struct that must not be copied, and a copied ring would be two truths. It belongs to one thread. After its arrays have grown to
/// what a burst needs, nothing is allocated.
///
/// The caller's loop: `advance(to:)` when `nextDeadline` is due, then `nextFact()` until nil; `sent` for each datagram, `sent` after the
/// scheduler picked the path; `receiveAcknowledgement` for each block of an acknowledgement; on a change to `unstable` or `lost`,
/// `takeAllInFlight`.
public final class PathSender {
  /// A run is worth at most this at the path's rate, in nanoseconds.
  public static let runNanoseconds = 1_000_000.0
  /// Datagrams of one run: one GSO send of 64 KiB.
  public static let runPacketLimit = 45
  /// Bytes of a run of any path.
  public static let runByteLimit = 64 * 1024
  /// The peer's acknowledgement delay that the loss timer allows for, unless it says otherwise, in nanoseconds.
  public static let initialAcknowledgementDelay: UInt64 = 10_000_000
  /// It may not ask for more.
  public static let maximumAcknowledgementDelay: UInt64 = 50_000_000

  private var core: SenderState

  public init(id: PathID, at now: Instant) { core = SenderState(id: id, at: now) }

  public var id: PathID { core.id }

  // MARK: Settings

  /// What a user or the peer says of the rate.
  public var rateLimit: RateLimit {
    get { core.rateLimit }
    set { core.rateLimit = newValue }
  }

  /// The peer's longest wait before it acknowledges (its PARAM), in nanoseconds.
  public var acknowledgementDelay: UInt64 {
    get { core.acknowledgementDelay }
    set { core.acknowledgementDelay = newValue }
  }

  /// For `backup`: lower goes first.
  public var preference: UInt8 {
    get { core.preference }
    set { core.preference = newValue }
  }

  /// For `cfs`: 1...1000 fixes the share, 0 lets it be learned.
  public var weight: UInt16 {
    get { core.weight }
    set { core.weight = newValue }
  }

  /// The path is a connection that repeats what is lost by itself and keeps the order (TCP). Then nothing is lost by age alone: a packet
  /// that a repetition holds up comes, with all behind it, a round trip later, and to send them elsewhere would be to send them twice.
  /// Lost is what a later packet overtook, which never entered the connection, and all in flight once the path is set aside or ends.
  public var isReliable: Bool {
    get { core.isReliable }
    set { if newValue != core.isReliable { core.isReliable = newValue } }
  }

  /// The datagram size that the path carries, with its outer headers. Bytes.
  public func setPacketByteCount(_ byteCount: Int) { core.setPacketByteCount(byteCount) }

  // MARK: Sending

  public var state: PathState { core.health.state }
  public var health: PathHealth { core.health }
  /// See `PathHealth`.
  public var isDoubted: Bool { core.health.isDoubted }
  /// See `PathHealth`.
  public var newsAt: Instant { core.health.newsAt }
  /// See `PathHealth`.
  public var soundUntil: Instant { core.health.soundUntil }
  public var roundTrip: RoundTripEstimator { core.roundTrip }
  /// Age by which the latest packets are there where they come later than round trips scatter, as they overtook each other or were repeated;
  /// else 0. In nanoseconds.
  public var lateLimit: UInt64 { core.lateLimit }
  public var inFlightByteCount: Int { core.inFlightByteCount }
  public var inFlightPacketCount: Int { core.inFlightPacketCount }
  /// Bytes that may be in flight.
  public var budgetByteCount: Int { core.budgetByteCount }
  /// When the pace allows the next run.
  public var nextSendTime: Instant { core.nextSendTime }
  /// Learned or fixed capacity, bytes per second.
  public var capacityBytesPerSecond: UInt64 { core.capacityBytesPerSecond }
  /// Bytes of one run: what the path carries in a millisecond, at least one packet, at most 45 and 64 KiB.
  public var runByteLimit: Int { core.runByteLimit }

  /// Whether pace and budget allow a run now. It does not ask for the state: with all paths down the caller may try one.
  public func canSend(at now: Instant) -> Bool { core.canSend(at: now) }

  /// Records one datagram that was handed to the socket.
  /// - Parameters:
  ///   - counter: Its transport counter on this path: ascending; skipped ones were never sent.
  ///   - byteCount: All of it, outer headers included.
  ///   - token: Names the packet in outcomes.
  public func sent(counter: UInt64, byteCount: Int, token: UInt32, flags: SentFlags = [], at now: Instant) {
    core.sent(counter: counter, byteCount: byteCount, token: token, flags: flags, at: now)
  }

  /// Moves the pace on by what was sent to a peer that acknowledges nothing.
  public func paced(_ byteCount: Int, at now: Instant) { core.paced(byteCount, at: now) }

  /// New keys: counters start again at zero. Acknowledgements under the previous keys are still understood.
  public func beginCounterSpace() { core.beginCounterSpace() }

  // MARK: Acknowledgements

  /// Applies one path's block of an acknowledgement and finds losses.
  /// - Parameters:
  ///   - ranges: Counters that arrived, descending, not touching; the first ends with `largest`.
  ///   - underPreviousKeys: The counters are those from before `beginCounterSpace`.
  ///   - outcome: Tokens are appended.
  /// - Throws: What is wrong with it; nothing has changed then.
  public func receiveAcknowledgement(
    _ acknowledgement: PathAcknowledgement, ranges: borrowing Span<CounterRange>, underPreviousKeys: Bool = false, at now: Instant,
    into outcome: inout AcknowledgementOutcome
  ) throws(AcknowledgementError) {
    try core.receiveAcknowledgement(acknowledgement, ranges: ranges, underPreviousKeys: underPreviousKeys, at: now, into: &outcome)
  }

  /// Everything in flight, given up here for sending elsewhere.
  public func takeAllInFlight(into outcome: inout AcknowledgementOutcome) { core.takeAllInFlight(into: &outcome) }

  // MARK: Health

  /// The probe of a `sendProbe` fact left. Its datagram is also reported with `sent`, flagged `control`.
  public func probeSent(_ id: UInt32, at now: Instant) { core.probeSent(id, at: now) }

  /// A probe came back on this path.
  public func echoReceived(_ id: UInt32, at now: Instant) { core.echoReceived(id, at: now) }

  /// Another path is in doubt: this one is to prove itself by a probe.
  public func ask(at now: Instant) { core.ask(at: now) }

  /// Whether doubt about this path arose since the last call: the others are to be asked.
  public func takeNewDoubt() -> Bool { core.takeNewDoubt() }

  /// Whether the oldest unanswered data are older than an acknowledgement usually takes.
  public func isSilent(at now: Instant) -> Bool { core.isSilent(at: now) }

  /// What the connection below a reliable path says, every few milliseconds while data are sent, and in answer to `askTransport`. Without it
  /// the path is judged by acknowledgements, as others are.
  public func transportTold(_ report: TransportReport, at now: Instant) { core.transportTold(report, at: now) }

  /// The peer set its direction of this path aside.
  public func suspectedByPeer(at now: Instant) { core.suspectedByPeer(at: now) }

  /// The interface or address is gone.
  public func interfaceDown(at now: Instant) { core.interfaceDown(at: now) }

  /// The interface or address is back.
  public func interfaceUp(at now: Instant) { core.interfaceUp(at: now) }

  /// The next thing to do or tell, in order. A return to `normal` also lowers the estimate until it is seen to hold.
  public func nextFact() -> PathFact? { core.nextFact() }

  // MARK: Time

  /// When `advance(to:)` is due: losses, suspicion, probes. The pace is `nextSendTime`.
  public var nextDeadline: Instant { core.nextDeadline }

  /// - Parameters:
  ///   - anotherPathAlive: Whether another path could take over; without one, silence of data suspects nothing.
  ///   - others: What the usable ones among the other paths say.
  public func advance(
    to now: Instant, anotherPathAlive: Bool, others: OtherPaths = OtherPaths(), into outcome: inout AcknowledgementOutcome
  ) {
    core.advance(to: now, anotherPathAlive: anotherPathAlive, others: others, into: &outcome)
  }

  // MARK: Views

  /// What a scheduler sees.
  /// - Parameter isOpen: The path is validated and neither side has closed it or set it aside.
  public func view(isOpen: Bool) -> PathView { core.view(isOpen: isOpen) }

  /// For status and metrics.
  public var snapshot: PathSnapshot { core.snapshot }
}
