public import CausewayBase

/// Whether a path can be used in our direction: multipath's prober for idle paths, and suspicion by data for paths in use, which sees a
/// dead path within a few round trips. Feed it what happens and call `advance(to:)` when `nextDeadline` is due; take the facts after
/// every call. It allocates nothing.
///
///     initializing ── echo ──> normal <── ack or echo ── unstable
///                                │  └── silence of data, lost probe, peer's hint ──^ │
///     (three probes unanswered,  v                                   three probes unanswered
///      interface gone)         lost <────────────────────────────────────────────────┘
///                                └── three probes in a row answered, hold-down over ──> normal
public struct PathHealth: Sendable {
  /// Losses in a row that lose a path, successes in a row that recover it (multipath).
  public static let lossThreshold = 3
  public static let successThreshold = 3
  /// An idle path is probed this often.
  public static let idleProbeInterval: UInt64 = 1_000_000_000
  /// A suspected path is probed every max(this, srtt/2).
  public static let suspicionProbeInterval: UInt64 = 20_000_000
  /// The only path, silent, is probed this often and not set aside for it.
  public static let onlyPathProbeInterval: UInt64 = 100_000_000
  /// Suspicion is never faster than this.
  public static let minimumSuspicion: UInt64 = 30_000_000
  /// The acknowledgement's delay and the slack of both ends that suspicion allows for.
  public static let suspicionSlack: UInt64 = 20_000_000
  /// What doubt allows for: less than suspicion, as it costs a probe and no more.
  public static let doubtSlack: UInt64 = 10_000_000
  /// Suspicion waits so much longer than due for the word of another path that has just been asked.
  public static let evidencePatience: UInt64 = 60_000_000
  /// While no other path is known to live, suspicion is thought over again this often.
  public static let evidenceInterval: UInt64 = 5_000_000
  /// So long suspicion waits for the word of the connection below, which is there at once.
  static let answerPatience: UInt64 = 1_000_000
  /// How much later than due a first look at the clock may be before it is taken for our own absence.
  public static let stallAllowance: UInt64 = 2_000_000
  /// Lost: the first probes follow each other at this interval, doubling up to `lostProbeInterval`.
  public static let firstLostProbeInterval: UInt64 = 200_000_000
  /// Lost: during the first ten minutes, so that the first echo comes well within a second of the path's return.
  public static let lostProbeInterval: UInt64 = 500_000_000
  /// How long a path counts as lately lost.
  public static let latelyLost: UInt64 = 600_000_000_000
  /// Lost for longer than that.
  public static let longLostProbeInterval: UInt64 = 5_000_000_000
  /// A path that was back for so long before it was lost again, or for twice its hold-down, was worth its return and does not flap.
  public static let steadyTime: UInt64 = 2_000_000_000
  /// More than three flaps within this time start the hold-down.
  public static let flapWindow: UInt64 = 60_000_000_000
  public static let minimumHoldDown: UInt64 = 1_000_000_000
  public static let maximumHoldDown: UInt64 = 30_000_000_000

  public private(set) var state = PathState.initializing
  public private(set) var stateSince: Instant
  /// Zero unless the path flaps; then how long after a loss it can't return, in nanoseconds.
  public private(set) var holdDown: UInt64 = 0
  public private(set) var interfaceIsDown = false
  /// Data are silent for longer than acknowledgements usually take: nothing that could go elsewhere should go here.
  public private(set) var isDoubted = false
  /// When the newest packet was sent that is known to have arrived.
  public private(set) var provenSentAt: Instant = .zero
  /// When the last word of something that arrived came in.
  public private(set) var newsAt: Instant = .zero
  /// Transitions to `lost` since the start.
  public private(set) var lossCount = 0

  private var predictor = HoltPredictor()
  private var probes = ProbeTable()
  private var facts = FactQueue()
  private var nextProbeAt: Instant
  private var lossesInRow = 0
  private var successesInRow = 0
  /// Only what was sent after this proves the path.
  private var proofAfter: Instant = .zero
  private var lastProofAt: Instant = .zero
  private var lastSuccessSentAt: UInt64 = 0
  private var lostProbeInterval = PathHealth.firstLostProbeInterval
  private var lostSince: Instant = .zero
  private var recentFlaps: (UInt64, UInt64, UInt64) = (0, 0, 0)
  /// When it became normal for the last time, after it was lost or for the first time.
  private var normalSince: UInt64 = 0
  private var hasBeenNormal = false
  private var hasReturned = false
  /// Suspicion that was first seen late: to be confirmed once what waits in our sockets has been read.
  private var confirmAt: Instant?

  // What the sender knows; kept here so that deadlines can be told without asking.
  private var smoothedRoundTrip = RoundTripEstimator.initial
  private var usualLimit = RoundTripEstimator.initial * 3
  private var silentSince: Instant?
  /// Whether the path may be suspected by its data: false where it is the only one alive.
  private var mayBeSuspected = false
  private var others = OtherPaths()
  private var hasNewDoubt = false
  private var askedAt: Instant = .zero
  /// The next probe goes whatever the data say.
  private var isFollowing = false
  private var transport = TransportProgress()

  public init(at now: Instant) {
    stateSince = now
    nextProbeAt = now
  }

  /// Silence of data after which the path is suspect: 1.5 × (srtt + 4 var + 20 ms), at least 30 ms. Nanoseconds.
  public var suspicionTimeout: UInt64 {
    let limit = usualLimit &+ Self.suspicionSlack
    return max(Self.minimumSuspicion, limit &+ limit / 2)
  }

  /// Silence of data after which the path is doubted: srtt + 4 var + 10 ms. Nanoseconds.
  public var doubtTimeout: UInt64 { usualLimit &+ Self.doubtSlack }

  /// Until when nothing speaks against this path, as far as is known now: `zero` where something does.
  public var soundUntil: Instant {
    guard state == .normal, !isDoubted else { return .zero }
    var end = doubtDeadline ?? .distantFuture
    if let probe = probes.oldestTimeout(doubtTimeout) { end = min(end, probe) }
    return end
  }

  /// Nanoseconds after which an idle path's probe counts as lost.
  public var probeTimeout: UInt64 { predictor.timeout }

  // MARK: Facts

  /// The next thing to do or tell, in order; nil when there is none.
  public mutating func nextFact() -> PathFact? { facts.take() }

  // MARK: Feeds

  /// What the data say: the round trip, and since when they are unanswered. Cheap; call it after each acknowledgement and sending.
  public mutating func observe(_ roundTrip: RoundTripEstimator, silentSince: Instant?, mayBeSuspected: Bool) {
    if roundTrip.hasSample {
      smoothedRoundTrip = roundTrip.smoothed
      usualLimit = roundTrip.usualLimit
    }
    if silentSince != self.silentSince {
      confirmAt = nil
      isDoubted = false
    }
    self.silentSince = silentSince
    self.mayBeSuspected = mayBeSuspected
  }

  /// The first of the data that are unanswered now left at `since`.
  public mutating func fellSilent(since: Instant) {
    silentSince = since
    confirmAt = nil
  }

  /// A connection below the path, which repeats what is lost, is asked whether it gets on before the path is suspected.
  var asksTransport: Bool {
    get { transport.isAsked }
    set { transport = TransportProgress(isAsked: newValue) }
  }

  /// What that connection has delivered so far, in bytes.
  mutating func transportTold(delivered: UInt64, at now: Instant) { transport.told(delivered: delivered, at: now) }

  /// What the peer's other usable paths say, before `advance(to:)`.
  public mutating func observe(_ others: OtherPaths) { self.others = others }

  /// Whether doubt arose since the last call: the other paths are to be asked, so that the one that died is told from the one whose
  /// acknowledgements died with it.
  public mutating func takeNewDoubt() -> Bool {
    defer { hasNewDoubt = false }
    return hasNewDoubt
  }

  /// Another path is in doubt: prove yourself.
  public mutating func ask(at now: Instant) {
    guard state == .normal, now.nanoseconds(since: askedAt) >= max(Self.suspicionProbeInterval, smoothedRoundTrip / 2) else { return }
    askedAt = now
    facts.append(.sendProbe(probes.next(at: now)))
  }

  /// The probe of a `sendProbe` fact left at `now`.
  public mutating func probeSent(_ id: UInt32, at now: Instant) { probes.sent(id, at: now) }

  /// A probe came back.
  /// - Returns: Its round trip in nanoseconds, or nil when no such probe is out.
  @discardableResult
  public mutating func echoReceived(_ id: UInt32, at now: Instant) -> UInt64? {
    guard let sentAt = probes.answered(id) else { return nil }
    let roundTrip = max(1, now.nanoseconds(since: sentAt))
    predictor.update(roundTrip)
    if state == .normal, roundTrip < smoothedRoundTrip / 2 {
      // The path has become faster. Idle, it would be asked only once a second, and be given its old time for as long.
      isFollowing = true
      nextProbeAt = min(nextProbeAt, Instant(nanoseconds: now.nanoseconds &+ Self.onlyPathProbeInterval))
    }
    proved(sentAt: sentAt, at: now, by: .echo)
    return roundTrip
  }

  /// Something sent at `sentAt` was acknowledged, whichever path brought the news.
  public mutating func acknowledged(sentAt: Instant, at now: Instant) { proved(sentAt: sentAt, at: now, by: .acknowledgement) }

  /// The peer set its direction of this path aside.
  public mutating func suspectedByPeer(at now: Instant) {
    guard state == .normal else { return }
    suspect(.suspectedByPeer, needProofAfter: now, at: now)
  }

  /// The interface or address is gone: no probes until it is back.
  public mutating func interfaceDown(at now: Instant) {
    guard !interfaceIsDown else { return }
    interfaceIsDown = true
    if state != .lost { lose(.interfaceDown, at: now) }
  }

  /// The interface or address is back: the path is probed at once and as eagerly as if it had just been lost.
  public mutating func interfaceUp(at now: Instant) {
    interfaceIsDown = false
    guard state == .lost || state == .initializing else { return }
    lostSince = now
    lostProbeInterval = Self.firstLostProbeInterval
    nextProbeAt = now
  }

  // MARK: Time

  /// When `advance(to:)` is due.
  public var nextDeadline: Instant {
    if interfaceIsDown && state == .lost { return .distantFuture }
    var deadline = nextProbeAt
    if state == .normal, let suspicion = suspicionDeadline {
      deadline = min(deadline, max(suspicion, confirmAt ?? .zero))
      if !isDoubted, let doubt = doubtDeadline { deadline = min(deadline, doubt) }
    }
    if state != .lost, let timeout = probes.oldestTimeout(currentProbeTimeout) { deadline = min(deadline, timeout) }
    return deadline
  }

  public mutating func advance(to now: Instant) {
    if state == .normal, !isDoubted, let due = doubtDeadline, due <= now { doubt(at: now) }
    if state == .normal, let due = suspicionDeadline, due <= now { confirmSuspicion(due: due, at: now) }
    if state != .lost { expireProbes(at: now) }
    if now >= nextProbeAt && !(interfaceIsDown && state == .lost) { probe(at: now) }
  }

  private var suspicionDeadline: Instant? {
    guard let silentSince else { return nil }
    return transport.deadline(
      silentSince: silentSince, timeout: suspicionTimeout, interval: max(Self.suspicionProbeInterval, smoothedRoundTrip / 2))
  }

  private var doubtDeadline: Instant? {
    guard let silentSince else { return nil }
    return Instant(nanoseconds: max(silentSince.nanoseconds, provenSentAt.nanoseconds) &+ doubtTimeout)
  }

  private mutating func doubt(at now: Instant) {
    isDoubted = true
    hasNewDoubt = true
    if transport.begins(at: now) { facts.append(.askTransport) }
    guard now.nanoseconds(since: askedAt) >= Self.suspicionProbeInterval else { return }
    askedAt = now
    facts.append(.sendProbe(probes.next(at: now)))
  }

  /// Whether another path lives although this one is silent. When all fall silent at once it is the acknowledgements' way that died, or
  /// all of them: then nothing is set aside before one of the probes has come back.
  private mutating func othersAnswer(due: Instant, at now: Instant) -> Bool {
    // News of another path after this one's were overdue: the way of the acknowledgements is whole.
    guard let silentSince, others.newsAt.nanoseconds < silentSince.nanoseconds &+ doubtTimeout else { return true }
    if now >= others.soundUntil {
      let last = askedAt.nanoseconds
      if now.nanoseconds &- last >= Self.onlyPathProbeInterval {
        askedAt = now
        hasNewDoubt = true
        facts.append(.sendProbe(probes.next(at: now)))
      }
      confirmAt = Instant(nanoseconds: now.nanoseconds &+ Self.evidenceInterval)
      return false
    }
    if others.soundUntil.nanoseconds > due.nanoseconds &+ Self.evidencePatience { return true }
    confirmAt = min(others.soundUntil, Instant(nanoseconds: now.nanoseconds &+ Self.evidenceInterval))
    return false
  }

  private mutating func confirmSuspicion(due: Instant, at now: Instant) {
    if confirmAt == nil, now.nanoseconds(since: due) > Self.stallAllowance {
      confirmAt = Instant(nanoseconds: now.nanoseconds &+ Self.stallAllowance)  // we were away; acknowledgements may wait unread
    }
    if let confirmAt, now < confirmAt { return }
    guard mayBeSuspected else {
      // The only path: ask it, and go on.
      confirmAt = Instant(nanoseconds: now.nanoseconds &+ max(Self.onlyPathProbeInterval, smoothedRoundTrip / 2))
      facts.append(.sendProbe(probes.next(at: now)))
      return
    }
    if transport.asks(about: due) {
      facts.append(.askTransport)
      confirmAt = Instant(nanoseconds: now.nanoseconds &+ Self.answerPatience)
      return
    }
    guard othersAnswer(due: due, at: now) else { return }
    suspect(.dataUnacknowledged, needProofAfter: .zero, at: now)
  }

  /// An idle path's probe has Holt's time-out, a suspected one's the time that data usually take.
  private var currentProbeTimeout: UInt64 {
    state == .unstable ? usualLimit &+ Self.suspicionSlack : probeTimeout
  }

  private mutating func expireProbes(at now: Instant) {
    while let sentAt = probes.expire(currentProbeTimeout, at: now) {
      // Something that left later has arrived: the probe, or its echo, was lost as anything may be.
      if state == .normal, provenSentAt > sentAt { continue }
      lossesInRow += 1
      successesInRow = 0
      if lossesInRow >= Self.lossThreshold {
        lose(.probesUnanswered, at: now)
        return
      }
      if state == .normal { suspect(.probeUnanswered, needProofAfter: .zero, at: now) }
      if state == .initializing { nextProbeAt = min(nextProbeAt, now) }
    }
  }

  private mutating func probe(at now: Instant) {
    let interval: UInt64
    switch state {
    case .initializing: interval = Self.firstLostProbeInterval
    case .normal where isFollowing:
      isFollowing = false
      interval = Self.idleProbeInterval
    case .normal:
      // Data that are acknowledged are probe enough.
      let quiet = now.nanoseconds(since: lastProofAt)
      if quiet < Self.idleProbeInterval {
        nextProbeAt = Instant(nanoseconds: lastProofAt.nanoseconds &+ Self.idleProbeInterval)
        return
      }
      if now.nanoseconds(since: askedAt) < Self.suspicionProbeInterval {  // doubt has just asked
        nextProbeAt = Instant(nanoseconds: askedAt.nanoseconds &+ Self.suspicionProbeInterval)
        return
      }
      interval = Self.idleProbeInterval
    case .unstable: interval = max(Self.suspicionProbeInterval, smoothedRoundTrip / 2)
    case .lost:
      if successesInRow > 0 {
        successesInRow = 0  // the one that was to follow has not come back in time
      }
      if now.nanoseconds(since: lostSince) > Self.latelyLost {
        interval = Self.longLostProbeInterval
      } else {
        interval = lostProbeInterval
        lostProbeInterval = min(lostProbeInterval * 2, Self.lostProbeInterval)
      }
    }
    nextProbeAt = Instant(nanoseconds: now.nanoseconds &+ interval)
    let id = probes.next(at: now)
    facts.append(.sendProbe(id))
  }

  // MARK: Transitions

  private enum Proof { case echo, acknowledgement }

  private mutating func proved(sentAt: Instant, at now: Instant, by proof: Proof) {
    newsAt = now
    if sentAt > provenSentAt {
      provenSentAt = sentAt
      isDoubted = false
    }
    guard sentAt >= proofAfter else { return }
    switch state {
    case .normal:
      lastProofAt = now
      lossesInRow = 0
    case .initializing:
      guard proof == .echo else { return }
      settle(to: .normal, .firstEcho, at: now)
    case .unstable: settle(to: .normal, proof == .echo ? .probesAnswered : .acknowledged, at: now)
    case .lost: succeed(sentAt: sentAt, at: now)
    }
  }

  /// One more success of a lost path. The next probe goes at once: they are one round trip apart, since each waits for the last.
  private mutating func succeed(sentAt: Instant, at now: Instant) {
    guard sentAt.nanoseconds > lastSuccessSentAt, !interfaceIsDown else { return }
    lastSuccessSentAt = sentAt.nanoseconds
    successesInRow += 1
    let heldUntil = hasReturned ? stateSince.nanoseconds &+ holdDown : 0
    if successesInRow >= Self.successThreshold && now.nanoseconds >= heldUntil {
      settle(to: .normal, .probesAnswered, at: now)
      return
    }
    if successesInRow >= Self.successThreshold {
      nextProbeAt = Instant(nanoseconds: max(heldUntil, now.nanoseconds))
      return
    }
    facts.append(.sendProbe(probes.next(at: now)))
    nextProbeAt = Instant(nanoseconds: now.nanoseconds &+ max(predictor.timeout, Self.firstLostProbeInterval))
  }

  private mutating func settle(to next: PathState, _ reason: PathChangeReason, at now: Instant) {
    if state == .lost { hasReturned = true }
    if state == .lost || state == .initializing { normalSince = now.nanoseconds }
    hasBeenNormal = true
    lossesInRow = 0
    successesInRow = 0
    proofAfter = .zero
    lastProofAt = now
    confirmAt = nil
    silentSince = nil
    isDoubted = false
    isFollowing = false
    probes.forget()
    nextProbeAt = Instant(nanoseconds: now.nanoseconds &+ Self.idleProbeInterval)
    change(to: next, reason, at: now)
  }

  private mutating func suspect(_ reason: PathChangeReason, needProofAfter: Instant, at now: Instant) {
    proofAfter = needProofAfter
    confirmAt = nil
    if reason != .probeUnanswered { lossesInRow = 0 }
    probes.forget()
    nextProbeAt = now
    change(to: .unstable, reason, at: now)
  }

  private mutating func lose(_ reason: PathChangeReason, at now: Instant) {
    noteFlap(at: now)
    lossCount += 1
    proofAfter = now
    lastSuccessSentAt = 0
    lossesInRow = 0
    successesInRow = 0
    lostSince = now
    lostProbeInterval = Self.firstLostProbeInterval
    probes.forget()
    nextProbeAt = now
    change(to: .lost, reason, at: now)
  }

  /// More than three flaps a minute double the hold-down; a steady time halves it, and a minute ends it.
  private mutating func noteFlap(at now: Instant) {
    let steady = now.nanoseconds &- normalSince
    guard steady < max(Self.steadyTime, holdDown &* 2) else {
      holdDown = steady < Self.flapWindow && holdDown > Self.minimumHoldDown ? holdDown / 2 : 0
      return
    }
    let third = recentFlaps.2
    recentFlaps = (now.nanoseconds, recentFlaps.0, recentFlaps.1)
    guard hasBeenNormal, hasReturned, third != 0, now.nanoseconds &- third < Self.flapWindow else { return }
    holdDown = min(max(Self.minimumHoldDown, holdDown * 2), Self.maximumHoldDown)
  }

  private mutating func change(to next: PathState, _ reason: PathChangeReason, at now: Instant) {
    facts.append(.changed(PathChange(from: state, to: next, reason: reason, at: now)))
    state = next
    stateSince = now
  }
}

/// What the other usable paths of a peer say when one is silent.
public struct OtherPaths: Sendable, BitwiseCopyable {
  /// When the last word came in of something that arrived by any of them.
  public var newsAt: Instant = .zero
  /// Until when nothing speaks against at least one of them.
  public var soundUntil: Instant = .distantFuture

  public init() {}
}
