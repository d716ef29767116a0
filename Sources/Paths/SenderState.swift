import CausewayBase

/// What `PathSender` holds and does, in one value: each call of the class opens it once, and nothing in it is counted or shared.
struct SenderState: ~Copyable {
  /// Reordering is waited for at most so long, or one round trip, in nanoseconds.
  static let reorderingLimit: UInt64 = 100_000_000

  /// Full packets that go without a pause before the path counts as its own limit.
  static let burstPacketCount = 2

  let id: PathID
  private(set) var health: PathHealth
  private(set) var roundTrip = RoundTripEstimator()
  /// The peer's longest wait before it acknowledges (its PARAM), in nanoseconds.
  var acknowledgementDelay = PathSender.initialAcknowledgementDelay {
    didSet { acknowledgementDelay = min(acknowledgementDelay, PathSender.maximumAcknowledgementDelay) }
  }
  /// For `backup`: lower goes first.
  var preference: UInt8 = 0
  /// For `cfs`: 1...1000 fixes the share, 0 lets it be learned.
  var weight: UInt16 = 0

  /// See `PathSender`.
  var isReliable = false {
    didSet {
      health.asksTransport = isReliable
      if !isReliable { capacity.forgetReports() }
      observe()
    }
  }

  private var detector = LossDetector()
  private var capacity = CapacityEstimator()
  private var pacer = Pacer()
  private var reordering = ReorderingAllowance()
  /// Full datagram of this path, for runs; grows to what is seen.
  private var packetByteCount = 1468
  private var budget = 64 * 1024
  /// Bytes sent since the pace was last ahead of the sender.
  private var busyByteCount = 0
  private var run = 1468
  private var counterBase: UInt64 = 0
  private var previousCounterBase: UInt64 = 0
  private var anotherIsAlive = false

  private var sentByteCount: UInt64 = 0
  private var sentPacketCount: UInt64 = 0
  private var acknowledgedByteCount: UInt64 = 0

  init(id: PathID, at now: Instant) {
    self.id = id
    health = PathHealth(at: now)
    retune()
  }

  // MARK: Settings

  /// What a user or the peer says of the rate.
  var rateLimit: RateLimit {
    get { capacity.limit }
    set {
      capacity.limit = newValue
      retune()
    }
  }

  /// The datagram size that the path carries, with its outer headers. Bytes.
  mutating func setPacketByteCount(_ byteCount: Int) {
    packetByteCount = min(max(byteCount, 64), PathSender.runByteLimit)
    retune()
  }

  // MARK: Sending

  var state: PathState { health.state }
  var inFlightByteCount: Int { detector.inFlightByteCount }
  private var occupiedByteCount: Int { detector.inFlightByteCount &+ detector.suspendedByteCount }
  var inFlightPacketCount: Int { detector.inFlightPacketCount }
  /// Bytes that may be in flight.
  var budgetByteCount: Int { budget }
  /// When the pace allows the next run.
  mutating func paced(_ byteCount: Int, at now: Instant) { pacer.sent(byteCount, at: now) }
  var nextSendTime: Instant { pacer.next }
  /// Learned or fixed capacity, bytes per second.
  var capacityBytesPerSecond: UInt64 { UInt64(capacity.rate) }
  /// Bytes of one run: what the path carries in a millisecond, at least one packet, at most 45 and 64 KiB.
  var runByteLimit: Int { run }

  /// Whether pace and budget allow a run now. It does not ask for the state: with all paths down the caller may try one.
  func canSend(at now: Instant) -> Bool { pacer.next <= now && occupiedByteCount < budget && detector.hasRoom }

  /// Records one datagram that was handed to the socket.
  /// - Parameters:
  ///   - counter: Its transport counter on this path: ascending; skipped ones were never sent.
  ///   - byteCount: All of it, outer headers included.
  ///   - token: Names the packet in outcomes.
  mutating func sent(counter: UInt64, byteCount: Int, token: UInt32, flags: SentFlags = [], at now: Instant) {
    sentByteCount &+= UInt64(truncatingIfNeeded: byteCount)
    sentPacketCount &+= 1
    var flags = flags
    // A packet right behind another one is not a busy path: that takes a burst without a pause.
    busyByteCount = pacer.isIdle(at: now) ? 0 : busyByteCount &+ byteCount
    if flags.isDisjoint(with: [.unacknowledged, .control]) {
      if busyByteCount > Self.burstPacketCount &* packetByteCount || occupiedByteCount &+ byteCount &+ 2 &* run >= budget {
        flags.insert(.limited)
      } else if detector.inFlightByteCount == 0 {
        capacity.resumed(at: now)
      }
    }
    pacer.sent(byteCount, at: now)
    let wasSilent = detector.silentSince != nil
    detector.sent(counter: counterBase &+ counter, byteCount: byteCount, token: token, flags: flags, at: now)
    // The first packet in flight starts the clocks: no acknowledgement may ever come to do it.
    if detector.lossDeadlineNanoseconds == .max, detector.inFlightPacketCount > 0 { detector.arm(timer: lossTimer, at: now) }
    if !wasSilent, let since = detector.silentSince { health.fellSilent(since: since) }
  }

  /// New keys: counters start again at zero. Acknowledgements under the previous keys are still understood.
  mutating func beginCounterSpace() {
    previousCounterBase = counterBase
    counterBase = detector.end
    detector.beginSpace()
  }

  // MARK: Acknowledgements

  /// Applies one path's block of an acknowledgement and finds losses.
  /// - Parameters:
  ///   - ranges: Counters that arrived, descending, not touching; the first ends with `largest`.
  ///   - underPreviousKeys: The counters are those from before `beginCounterSpace`.
  ///   - outcome: Tokens are appended.
  /// - Throws: What is wrong with it; nothing has changed then.
  mutating func receiveAcknowledgement(
    _ acknowledgement: PathAcknowledgement, ranges: borrowing Span<CounterRange>, underPreviousKeys: Bool = false, at now: Instant,
    into outcome: inout AcknowledgementOutcome
  ) throws(AcknowledgementError) {
    let base = underPreviousKeys ? previousCounterBase : counterBase
    let end = underPreviousKeys ? counterBase : detector.end
    guard ranges.count > 0, ranges[0].last == acknowledgement.largest else { throw .disordered }
    guard acknowledgement.largest < end &- base else { throw .neverSent }
    var amount = try detector.acknowledge(ranges, base: base, into: &outcome)
    acknowledgedByteCount &+= UInt64(truncatingIfNeeded: amount.byteCount)
    if let sentAt = amount.largestSentAt {
      roundTrip.update(
        now.nanoseconds &- sentAt, acknowledgementDelay: min(acknowledgement.delayNanoseconds, acknowledgementDelay), at: now)
    }
    if isReliable, amount.oldestSentAt > 0 {
      let age = now.nanoseconds &- amount.oldestSentAt
      noteLateness(age > acknowledgementDelay ? age &- acknowledgementDelay : 0, at: now)
    } else if amount.overtakenSentAt > 0 {
      noteLateness(now.nanoseconds &- amount.overtakenSentAt, at: now)
    }
    if amount.newestSentAt > 0 { health.acknowledged(sentAt: Instant(nanoseconds: amount.newestSentAt), at: now) }
    detectLosses(at: now, &amount, into: &outcome)
    let baseMoved = capacity.acknowledged(
      amount, acknowledgement, roundTrip, at: now)
    if baseMoved { roundTrip.forgetMinimum(at: now) }
    retune()
    observe()
  }

  /// Everything in flight, given up here for sending elsewhere.
  mutating func takeAllInFlight(into outcome: inout AcknowledgementOutcome) {
    detector.takeAll(into: &outcome)
    observe()
  }

  // MARK: Health

  mutating func probeSent(_ id: UInt32, at now: Instant) { health.probeSent(id, at: now) }

  /// A probe came back on this path.
  mutating func echoReceived(_ id: UInt32, at now: Instant) {
    if let sample = health.echoReceived(id, at: now) {
      roundTrip.update(sample, acknowledgementDelay: 0, at: now)
      retune()
    }
    observe()
  }

  /// Another path is in doubt: probe this one.
  mutating func ask(at now: Instant) { health.ask(at: now) }
  mutating func takeNewDoubt() -> Bool { health.takeNewDoubt() }

  /// Whether the oldest unanswered data are older than an acknowledgement usually takes.
  func isSilent(at now: Instant) -> Bool {
    guard let since = detector.silentSince else { return false }
    return now.nanoseconds(since: since) > overtakenLimit
  }

  mutating func transportTold(_ report: TransportReport, at now: Instant) {
    guard isReliable else { return }
    health.transportTold(delivered: report.deliveredByteCount, at: now)
    capacity.reported(report, roundTrip, at: now)
    retune()
  }

  mutating func suspectedByPeer(at now: Instant) { health.suspectedByPeer(at: now) }
  mutating func interfaceDown(at now: Instant) { health.interfaceDown(at: now) }
  mutating func interfaceUp(at now: Instant) { health.interfaceUp(at: now) }

  /// The next thing to do or tell, in order. A return to `normal` also lowers the estimate until it is seen to hold.
  mutating func nextFact() -> PathFact? {
    let fact = health.nextFact()
    if case .changed(let change) = fact, change.to == .normal, change.from != .initializing {
      capacity.returned(afterLoss: change.from == .lost, at: change.at)
      if change.from == .lost { roundTrip.forgetMinimum(at: change.at) }
      pacer.restart(at: change.at)
      retune()
    }
    return fact
  }

  // MARK: Time

  /// When `advance(to:)` is due: losses, suspicion, probes. The pace is `nextSendTime`.
  var nextDeadline: Instant {
    let loss = Instant(nanoseconds: detector.lossDeadlineNanoseconds)
    return min(min(health.nextDeadline, loss), capacity.nextDeadline)
  }

  /// - Parameter anotherPathAlive: Whether another path could take over; without one, silence of data suspects nothing.
  mutating func advance(
    to now: Instant, anotherPathAlive: Bool, others: OtherPaths = OtherPaths(), into outcome: inout AcknowledgementOutcome
  ) {
    anotherIsAlive = anotherPathAlive
    health.observe(others)
    if detector.lossDeadlineNanoseconds <= now.nanoseconds {
      var amount = AcknowledgedAmount()
      detectLosses(at: now, &amount, into: &outcome)
      capacity.lost(amount)
    }
    capacity.advance(to: now)
    retune()
    observe()
    health.advance(to: now)
  }

  /// A packet came `age` after it was sent, overtaken by others, or with them behind one that a reliable path had to repeat: so much more is
  /// to be waited from now on (RACK's adaptive window, RFC 8985 6.2, by measured time), within bounds. It also may be in flight meanwhile:
  /// else a connection that repeats would stand idle until it is done.
  private mutating func noteLateness(_ age: UInt64, at now: Instant) {
    guard age > roundTrip.smoothed else { return }
    let excess = (age &- roundTrip.smoothed) / 8 &* 9
    reordering.note(min(excess, max(roundTrip.smoothed, Self.reorderingLimit)), at: now)
  }

  private mutating func detectLosses(
    at now: Instant, _ amount: inout AcknowledgedAmount, into outcome: inout AcknowledgementOutcome
  ) {
    detector.detect(at: now, reordering: overtakenLimit, timer: lossTimer, &amount, into: &outcome)
    if amount.lostPacketCount > 0 { reordering.lost(amount.lostPacketCount) }
  }

  /// What round trips scatter by, in nanoseconds.
  private var scatter: UInt64 { max(LossDetector.minimumReordering, max(roundTrip.minimum / 8, 4 &* roundTrip.variation)) }

  /// Age past which a packet that others overtook is lost, in nanoseconds.
  private var overtakenLimit: UInt64 { roundTrip.smoothed &+ max(scatter, reordering.value) }

  /// Age by which the latest packets are there where they come later than round trips scatter, as they overtook each other or were repeated;
  /// else 0. In nanoseconds.
  var lateLimit: UInt64 { reordering.value > scatter ? overtakenLimit &+ acknowledgementDelay &+ LossDetector.timerSlack : 0 }

  /// Age past which any packet is lost, in nanoseconds. A reliable path has none: what is late there is sent again by those below.
  private var lossTimer: UInt64 {
    isReliable ? LossDetector.noTimer : overtakenLimit &+ acknowledgementDelay &+ LossDetector.timerSlack
  }

  private mutating func observe() {
    health.observe(roundTrip, silentSince: detector.silentSince, mayBeSuspected: anotherIsAlive)
  }

  private mutating func retune() {
    pacer.setRate(capacity.pace)
    let worth = Int(min(capacity.rate * PathSender.runNanoseconds / 1e9, Double(PathSender.runByteLimit)))
    run = max(packetByteCount, min(worth, min(PathSender.runByteLimit, PathSender.runPacketLimit &* packetByteCount)))
    budget = capacity.budget(roundTrip, lateness: reordering.value, runByteCount: run)
  }

  // MARK: Views

  /// What a scheduler sees.
  /// - Parameter isOpen: The path is validated and neither side has closed it or set it aside.
  func view(isOpen: Bool) -> PathView {
    var view = PathView()
    view.isUsable = isOpen && health.state == .normal
    view.preference = preference
    view.weight = weight
    view.nextSend = pacer.next
    view.inFlightByteCount = detector.inFlightByteCount
    view.roomByteCount = detector.hasRoom ? budget &- occupiedByteCount : 0
    view.capacity = max(1, UInt64(capacity.rate))
    view.smoothedRoundTrip = roundTrip.smoothed
    view.oneWayDelay = capacity.oneWay.smoothed
    view.hasOneWayDelay = capacity.oneWay.hasSample
    view.loss = Float(capacity.losses.share)
    view.lateness = isReliable ? reordering.value : 0
    view.isStarting = capacity.isStarting
    view.runByteLimit = run
    return view
  }

  /// For status and metrics.
  var snapshot: PathSnapshot {
    var snapshot = PathSnapshot(id: id, state: health.state, stateSince: health.stateSince)
    snapshot.smoothedRoundTrip = roundTrip.hasSample ? roundTrip.smoothed : 0
    snapshot.minimumRoundTrip = roundTrip.hasSample ? roundTrip.minimum : 0
    snapshot.jitter = roundTrip.jitter
    snapshot.loss = capacity.losses.share
    snapshot.capacity = capacityBytesPerSecond
    snapshot.deliveredRate = UInt64(max(0, min(capacity.delivered, CapacityEstimator.maximumRate)))
    snapshot.queueing = UInt64(max(0, capacity.queue))
    snapshot.inFlightByteCount = detector.inFlightByteCount
    snapshot.budgetByteCount = budget
    snapshot.sentByteCount = sentByteCount
    snapshot.sentPacketCount = sentPacketCount
    snapshot.acknowledgedByteCount = acknowledgedByteCount
    snapshot.lostPacketCount = UInt64(detector.lostCount)
    snapshot.spuriousPacketCount = UInt64(detector.spuriousCount)
    snapshot.isStarting = capacity.isStarting
    return snapshot
  }
}
