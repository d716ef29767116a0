import CausewayBase

/// What a path carries in our direction, learned from acknowledgements: how fast data arrive, how much longer they take than when the
/// path is empty, and what is lost. It is a shaper, not a second congestion control: it finds the rate at which the path's own queue
/// stays a few milliseconds long, so that the backlog waits in the bond's fair queue instead.
///
/// Time is cut into rounds (below). A round is *busy* when most of what it acknowledges was sent while the path was its own limit; only
/// busy rounds say anything about capacity, and nothing else lowers an estimate.
///
/// On a path that repeats what it loses (TCP) all packets wait for the one that is repeated, which looks like a queue and is none, and come
/// with it at once, which looks like a fast path. There what the kernel says of its segments is the measure: see `reported`.
///
/// - Start: the rate doubles each round until a queue shows, losses pass the allowance, or three rounds deliver no more than the last.
/// - No queue: the greater of estimate and delivered rate D, times 1 + g; g starts at 2 % and grows by a quarter each such round up to
///   25 %, so that a path that became ten times faster is found in about a second.
/// - A queue of q stands: D *is* the capacity. The rate is D × (1 + (T − q) / H), T the queue to keep, H a few round trips: a
///   proportional controller, damped as H exceeds the loop's delay four times.
/// - Losses above 2 % and twice what the path loses anyhow: D, as an experiment whose outcome `LossWindow` judges.
/// - As a queue that always stands would in time be taken for the path's own delay, every five seconds without an empty queue the path
///   is sent at half its rate for as long as it takes to empty it. What remains then is the path's delay. The same is tried when a queue
///   resists the law for long: a path whose delay rose is told from one whose queue grew, and gets its rate back.
struct CapacityEstimator: Sendable {
  /// Assumed before anything is known: 10 Mbit/s.
  static let initialRate = 1_250_000.0
  /// 64 kbit/s. Nothing makes an estimate lower.
  static let minimumRate = 8_000.0
  /// 200 Gbit/s: a hostile peer's acknowledgements make it no higher.
  static let maximumRate = 25_000_000_000.0
  /// The queue to keep on the path, in nanoseconds, beside what jitter asks for.
  static let targetQueue = 5_000_000.0
  /// Less than this is no queue.
  static let visibleQueue = 1_500_000.0
  /// Rounds are at least so long, in nanoseconds; at the start, while rates double, less.
  static let minimumRound: UInt64 = 20_000_000
  static let minimumStartRound: UInt64 = 2_000_000
  static let roundPacketCount = 8
  /// A round with fewer packets ends after this.
  static let maximumRound: UInt64 = 500_000_000
  /// Share of a round's bytes that makes it busy.
  static let busyShare = 0.75
  /// Bytes that must have come through a standing queue before they may lower the estimate below half of itself: three full packets.
  static let evidence = 3 * 1468
  /// A round that delivers this share of the estimate is nearly busy.
  static let nearlyBusyShare = 0.7
  /// Bytes in flight before anything was acknowledged: 32 packets. While rates double, twice what arrived lately.
  static let initialBudget = 47_000
  static let minimumGrowth = 0.02
  /// One round lowers the rate to no less than this share.
  static let steepestFall = 0.2
  static let maximumGrowth = 0.25
  /// Congestion marks on more than this share of a round count as a queue.
  static let markShare = 0.05
  /// What is left of the estimate when the path returns.
  static let returnShare = 0.7
  /// A return that comes later after the last one begins a new series, in nanoseconds.
  static let returnMemory: UInt64 = 10_000_000_000
  /// In the start, so many late samples in a row end it before the round does.
  static let lateSampleLimit = 4

  /// What the path is thought to carry, in bytes per second.
  private(set) var rate = CapacityEstimator.initialRate
  /// What it is sent at; less than `rate` while it is drained.
  private(set) var pace = CapacityEstimator.initialRate
  /// Delivered rate of the newest round, busy or not.
  private(set) var delivered = 0.0
  /// The newest round's least queueing delay, in nanoseconds.
  private(set) var queue = 0.0
  private(set) var isStarting = true
  private(set) var roundCount = 0
  private(set) var oneWay = OneWayDelay()
  private(set) var losses = LossWindow()
  var limit = RateLimit.none { didSet { apply() } }

  private var round = Round()
  private var lastArrival = Int64.min
  private var lastCongestionCount: UInt32 = 0
  private var growth = CapacityEstimator.minimumGrowth
  private var evidenceByteCount = 0
  /// Capacity while a queue stands: mean of the delivered rates.
  private var queueRate = 0.0
  private var outlierCount = 0
  private var bestStartRate = 0.0
  private var flatRounds = 0
  private var lateSamples = 0
  private var isAfterIdle = true
  private var idleEndedAt: UInt64 = 0
  private var rateBeforeCut = 0.0
  private var drain = QueueDrain()
  private var returnedAt: UInt64 = 0
  /// What returns lower the estimate to at the lowest.
  private var returnFloor = 0.0

  /// What a connection below the path says is the measure.
  private var isReported = false
  private var reportedBase = WindowedMinimum()
  private var reportedRoundTrip: UInt64 = 0

  private struct Round: Sendable, BitwiseCopyable {
    var isOpen = false
    var startedAt: UInt64 = 0
    var arrivalStart: Int64 = 0
    /// Bytes that the connection had delivered.
    var deliveredStart: UInt64 = 0
    var byteCount = 0
    var packetCount = 0
    var limitedByteCount = 0
    var overheadByteCount = 0
    var leastWait = Int64.max
    var markedCount = 0
  }

  init() {}

  /// Allowance for jitter: the least delay of a few samples scatters about so much. What is reported is smoothed already.
  private var margin: Double { isReported ? 0 : Double(min(oneWay.jitter, 50_000_000)) / 2 }

  /// The queue that the law keeps, in nanoseconds.
  var target: Double { Self.targetQueue + margin }

  /// Bytes that may be in flight: capacity × (mean round trip without a queue, 10 ms, the queue kept, the peer's wait before it
  /// acknowledges, what reordered packets take longer) and three runs. It is the safety net below the pace: whatever the estimate's error, the path's queue is bounded at once.
  func budget(_ roundTrip: RoundTripEstimator, lateness: UInt64, runByteCount: Int) -> Int {
    let wait = min(10_000_000, max(2_000_000, Double(roundTrip.smoothed) / 8))
    let span = Double(roundTrip.minimumSmoothed) + 10_000_000 + target + margin + wait + Double(lateness)
    let bytes = Int(min(rate * span / 1e9, 4e12)) &+ 3 &* runByteCount
    return isStarting ? min(bytes, max(Self.initialBudget, Int(min(2 * delivered * span / 1e9, 4e12)))) : bytes
  }

  // MARK: Feeds

  /// The path sends again after it had nothing to do: what arrives next begins a round and is not measured itself.
  mutating func resumed(at now: Instant) {
    isAfterIdle = true
    idleEndedAt = now.nanoseconds
  }

  /// The path came back from suspicion or loss: seven tenths of the estimate, and a quick look whether it still holds. A path that is
  /// suspected again and again by mistake carries what it did; returns soon after another lower the estimate no further.
  mutating func returned(afterLoss: Bool, at now: Instant) {
    if losses.isTesting { rate = max(rate, rateBeforeCut) }  // an experiment that is broken off
    if now.nanoseconds &- returnedAt > Self.returnMemory || returnedAt == 0 { returnFloor = Self.returnShare * rate }
    returnedAt = now.nanoseconds
    rate = min(rate, max(Self.returnShare * rate, returnFloor))
    growth = 0.1
    if afterLoss {
      isStarting = true
      bestStartRate = 0
      flatRounds = 0
      oneWay.forgetBase()
      rate = min(rate, Self.initialRate * 8)
      drain = QueueDrain()
    }
    round = Round()
    reportedBase = WindowedMinimum()
    losses.abandonTest()
    queueRate = 0
    resumed(at: now)
    apply()
  }

  /// Folds in one acknowledgement.
  /// - Returns: True when the path's own delay turned out to have changed: the least round trip should be learned anew.
  mutating func acknowledged(
    _ amount: AcknowledgedAmount, _ acknowledgement: PathAcknowledgement, _ roundTrip: RoundTripEstimator, at now: Instant
  ) -> Bool {
    var baseMoved = false
    losses.add(amount)
    round.byteCount &+= amount.byteCount
    round.packetCount &+= amount.packetCount &+ amount.spuriousPacketCount
    round.limitedByteCount &+= amount.limitedByteCount
    round.overheadByteCount &+= amount.overheadByteCount
    guard let sentAt = amount.largestSentAt else { return false }
    let arrival = oneWay.unwrap(acknowledgement.arrivalMicroseconds)
    let delay = oneWay.update(sentAt: Instant(nanoseconds: sentAt), arrival: arrival, at: now)
    let wait = waited(delay, now.nanoseconds &- sentAt, acknowledgement.delayNanoseconds, roundTrip)
    round.leastWait = min(round.leastWait, wait)
    round.markedCount &+= Int(min(acknowledgement.congestionCount &- lastCongestionCount, 1 << 16))
    lastCongestionCount = acknowledgement.congestionCount

    if isReported {
      // Rounds go by reports.
      if isAfterIdle, sentAt >= idleEndedAt { isAfterIdle = false }
      return drain.isActive && follow(sentAt: sentAt, delay: delay, at: now)
    }
    if isAfterIdle || !round.isOpen {
      guard sentAt >= idleEndedAt else { return false }
      isAfterIdle = false
      open(at: now, arrival: arrival)
      return false
    }
    guard arrival > lastArrival else { return false }
    lastArrival = arrival
    if drain.isActive {
      baseMoved = follow(sentAt: sentAt, delay: delay, at: now)
      if drain.isActive { return baseMoved }
      open(at: now, arrival: arrival)
      return baseMoved
    }
    let hurry = isStarting && isLate(wait)
    let length = roundLength(roundTrip)
    let age = now.nanoseconds &- round.startedAt
    let span = arrival &- round.arrivalStart
    let enough = round.packetCount >= Self.roundPacketCount || age >= Self.maximumRound
    guard (age >= length && enough && span >= Int64(length / 4)) || (hurry && span >= 1_000_000) else { return false }
    // All that the pace was charged for: where acknowledgements are most of what a path carries, data alone would make less of it each round.
    let byteCount = round.byteCount &+ round.overheadByteCount
    finish(Double(byteCount) / Double(span) * 1e9, length: Double(length), hurry: hurry, roundTrip, at: now)
    open(at: now, arrival: arrival)
    return false
  }

  /// Folds in what the connection below the path says. From the first report on, rounds begin and end by reports; acknowledgements only
  /// tell what was sent while the path was its own limit.
  mutating func reported(_ report: TransportReport, _ roundTrip: RoundTripEstimator, at now: Instant) {
    if !isReported {
      isReported = true
      round = Round()
    }
    reportedRoundTrip = report.roundTrip
    reportedBase.update(Int64(clamping: report.roundTrip), at: now)
    guard !isAfterIdle, !drain.isActive else {
      round.isOpen = false
      return
    }
    guard round.isOpen, report.deliveredByteCount >= round.deliveredStart else { return open(report, at: now) }
    let wait = Int64(clamping: report.roundTrip) &- reportedBase.value
    round.leastWait = min(round.leastWait, wait)
    let hurry = isStarting && isLate(wait)
    let length = roundLength(roundTrip)
    let age = now.nanoseconds &- round.startedAt
    let enough = round.packetCount >= Self.roundPacketCount || age >= Self.maximumRound
    guard (age >= length && enough) || (hurry && age >= 1_000_000) else { return }
    let byteCount = report.deliveredByteCount &- round.deliveredStart
    finish(Double(byteCount) / Double(age) * 1e9, length: Double(length), hurry: hurry, roundTrip, at: now)
    open(report, at: now)
  }

  /// Losses that a timer found.
  mutating func lost(_ amount: AcknowledgedAmount) { losses.add(amount) }

  /// Ends the slow part of a drain, so that the pace does not wait for an acknowledgement.
  mutating func advance(to now: Instant) {
    if pace < rate && now.nanoseconds >= drain.slowUntil { apply(at: now) }
  }

  /// When the pace changes by itself.
  var nextDeadline: Instant { pace < rate ? Instant(nanoseconds: drain.slowUntil) : .distantFuture }

  // MARK: Rounds

  /// What a packet waited in queues: the lesser of what its one-way delay and what its round trip say. A stamp that is too early, by a
  /// clock that jumps or by a machine that was busy when it was taken, would lower the base of one-way delays for ten seconds, and an
  /// empty path would look full for as long; the round trip is by one clock and can't come too early. That in turn sees the queues of the
  /// other direction and other paths, which the one-way delay does not.
  private func waited(_ delay: Int64, _ age: UInt64, _ heldBack: UInt64, _ roundTrip: RoundTripEstimator) -> Int64 {
    let oneWayWait = delay &- oneWay.base
    let travel = age > heldBack ? age &- heldBack : 0
    let roundTripWait = Int64(clamping: travel) &- Int64(clamping: roundTrip.minimum)
    return max(0, min(oneWayWait, roundTripWait))
  }

  /// The path has no such connection any more.
  mutating func forgetReports() {
    isReported = false
    reportedBase = WindowedMinimum()
    round = Round()
  }

  private mutating func open(_ report: TransportReport, at now: Instant) {
    open(at: now, arrival: lastArrival)
    round.deliveredStart = report.deliveredByteCount
  }

  private func roundLength(_ roundTrip: RoundTripEstimator) -> UInt64 {
    isStarting ? max(Self.minimumStartRound, roundTrip.minimumSmoothed) : max(Self.minimumRound, roundTrip.minimumSmoothed / 4 * 3)
  }

  private mutating func open(at now: Instant, arrival: Int64) {
    round = Round()
    round.isOpen = true
    round.startedAt = now.nanoseconds
    round.arrivalStart = arrival
    lastArrival = arrival
  }

  /// In the start: a few samples in a row beyond twice the target, so that doubling stops within a round trip of the first queue.
  private mutating func isLate(_ wait: Int64) -> Bool {
    if Double(wait) > 2 * target + 2 * margin {
      lateSamples += 1
    } else {
      lateSamples = 0
    }
    return lateSamples >= Self.lateSampleLimit
  }

  private mutating func finish(
    _ bytesPerSecond: Double, length: Double, hurry: Bool, _ roundTrip: RoundTripEstimator, at now: Instant
  ) {
    roundCount += 1
    delivered = bytesPerSecond
    queue = round.leastWait == .max ? 0 : Double(round.leastWait)
    if hurry { queue = max(queue, 2 * target) }
    let busy = Double(round.limitedByteCount) >= Self.busyShare * Double(round.byteCount) && round.byteCount > 0
    if queue <= Self.visibleQueue + margin {
      drain.emptied(at: now)
      evidenceByteCount = 0
    } else {
      evidenceByteCount &+= round.byteCount
    }
    judgeLosses(roundTrip, at: now)
    if busy {
      if Double(round.markedCount) > Self.markShare * Double(round.packetCount) { queue = max(queue, target * 1.5) }
      if isStarting { start(hurry: hurry) }
      if !isStarting { steer(length: length, roundTrip) }
      considerDrain(roundTrip, at: now)
    } else if queue <= Self.visibleQueue + margin, round.packetCount >= Self.roundPacketCount,
      delivered >= Self.nearlyBusyShare * rate
    {
      makeRoom()
    } else if isReported, !isStarting, queue > target, delivered >= 0.5 * rate {
      // Whoever fills it, a queue that a connection reports stands on the path: what it delivers is what there is.
      steer(length: length, roundTrip)
    }
    apply(at: now)
  }

  private mutating func judgeLosses(_ roundTrip: RoundTripEstimator, at now: Instant) {
    switch losses.judge(roundTrip, at: now) {
    case .fine: break
    case .tooMuch:
      // Where much less arrives than was sent and not lost, something is full: nothing to test.
      if delivered < 0.8 * rate * (1 - losses.lossBeforeCut) { losses.abandonTest() }
      rateBeforeCut = rate
      rate = max(delivered, 0.1 * rate)
      growth = Self.minimumGrowth
      isStarting = false
    case .useless: if queue <= target { rate = max(rate, rateBeforeCut) }
    }
  }

  private mutating func start(hurry: Bool) {
    if hurry || queue > target {
      isStarting = false
      lateSamples = 0
      return
    }
    if delivered > 1.25 * bestStartRate {
      bestStartRate = delivered
      flatRounds = 0
    } else {
      flatRounds += 1
      if flatRounds >= 3 {
        isStarting = false
        rate = max(delivered, min(rate, 1.1 * bestStartRate))
        return
      }
    }
    rate = min(2 * rate, max(rate, 2.5 * delivered))
  }

  /// An inner sender that paces itself (BBR) never fills more than the estimate, and would keep it where it is: what it reaches without a
  /// queue is not the capacity, so there is room above it.
  private mutating func makeRoom() {
    if losses.isTesting { return }
    rate = max(rate, min(rate * (1 + growth), 1.6 * delivered))
    growth = min(growth * 1.25, Self.maximumGrowth)
  }

  private mutating func steer(length: Double, _ roundTrip: RoundTripEstimator) {
    guard queue > Self.visibleQueue + margin else {
      queueRate = 0
      if losses.isTesting { return }
      let ceiling = 1.6 * delivered
      let base = max(rate, min(delivered, 1.5 * rate))
      if base < ceiling { rate = max(base, min(base * (1 + growth), ceiling)) }
      growth = min(growth * 1.25, Self.maximumGrowth)
      return
    }
    growth = Self.minimumGrowth
    // A few small packets that waited for a processor say nothing about the path: what they deliver is what there was to deliver.
    guard delivered >= 0.5 * rate || evidenceByteCount >= Self.evidence else { return }
    smoothQueueRate()
    let horizon = max(100_000_000, 3 * (Double(roundTrip.smoothed) + length))
    let correction = min(0.05, max(-0.5, (target - queue) / horizon))
    // What is lost anyhow was sent as well: of a rate that only what arrives decides, jitter would leave less each round.
    let sent = queueRate / (1 - min(losses.usual, losses.share, 0.5))
    rate = max(sent * (1 + correction), Self.steepestFall * rate)
  }

  private mutating func smoothQueueRate() {
    if queueRate == 0 {
      queueRate = delivered
      outlierCount = 0
      return
    }
    let isOutlier = abs(delivered - queueRate) > 0.25 * queueRate
    outlierCount = isOutlier ? outlierCount + 1 : 0
    if outlierCount >= 2 {
      queueRate = delivered
      outlierCount = 0
    } else {
      queueRate += (delivered - queueRate) / 4
    }
  }

  // MARK: Drains

  private mutating func considerDrain(_ roundTrip: RoundTripEstimator, at now: Instant) {
    guard !isStarting, case .none = drain.phase else { return }
    let patience = max(200_000_000, 2 * roundTrip.smoothed)
    drain.watch(queue: queue, resistsAbove: 3 * target, patience: patience, rate: rate, at: now)
  }

  private mutating func follow(sentAt: UInt64, delay: Int64, at now: Instant) -> Bool {
    var moved = false
    if let verdict = drain.sample(sentAt: sentAt, delay: delay, base: oneWay.base, at: now) {
      if case .base(let least) = verdict {
        oneWay.reset(base: least, at: now)
        if isReported { reportedBase.reset(to: Int64(clamping: reportedRoundTrip), at: now) }
        rate = max(rate, drain.rateBefore)
        queueRate = 0
        moved = true
      }
    }
    apply(at: now)
    return moved
  }

  // MARK: Bounds

  private mutating func apply() { apply(at: .zero) }

  private mutating func apply(at now: Instant) {
    switch limit {
    case .none: break
    case .ceiling(let ceiling): rate = min(rate, Double(ceiling))
    case .fixed(let value): rate = Double(value)
    }
    rate = min(max(rate, Self.minimumRate), Self.maximumRate)
    pace = rate
    if case .fixed = limit { return }
    if drain.isActive && now.nanoseconds < drain.slowUntil { pace = rate * QueueDrain.gain }
  }
}
