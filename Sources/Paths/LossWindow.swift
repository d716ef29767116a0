import CausewayBase

/// Losses of a path by windows of packets, and whether they are more than it loses anyhow. A path that loses the same whatever it is sent
/// (radio) is not congested; one that loses less when it is sent less (a policer, a short queue) is. So every cut is an experiment: if the
/// next window loses at least half as much, the cut was useless, is taken back, and that loss is the path's own from then on.
struct LossWindow: Sendable {
  /// Packets of one window, acknowledged or lost.
  static let packetCount = 192
  /// Random loss that is none of our doing.
  static let allowance = 0.02
  /// Two packets of a window may be chance.
  static let chance = 2.0

  /// What finding a loss takes beyond the round trip, in nanoseconds.
  static let detection: UInt64 = 30_000_000

  enum Verdict: Equatable {
    case fine
    /// Cut the rate.
    case tooMuch
    /// The last cut changed nothing: take it back.
    case useless
  }

  /// Share of packets lost, 0...1, smoothed over a few windows.
  private(set) var share = 0.0
  /// What the path loses anyhow.
  private(set) var usual = 0.0

  private var acknowledged = 0
  private var lost = 0
  private var limitedBytes = 0
  private var bytes = 0
  private var startedAt: UInt64 = 0
  /// The loss that led to a cut whose outcome is awaited; 0: none.
  private(set) var lossBeforeCut = 0.0

  /// A cut is under test: don't change the rate.
  var isTesting: Bool { lossBeforeCut > 0 }

  mutating func add(_ amount: AcknowledgedAmount) {
    acknowledged &+= amount.packetCount
    lost = max(0, lost &+ amount.lostPacketCount &- amount.spuriousPacketCount)
    acknowledged &+= amount.spuriousPacketCount
    bytes &+= amount.byteCount
    limitedBytes &+= amount.limitedByteCount
  }

  /// Closes the window if it is full.
  mutating func judge(_ roundTrip: RoundTripEstimator, at now: Instant) -> Verdict {
    guard now.nanoseconds >= startedAt else {
      restart(at: startedAt)  // what was sent before the cut
      return .fine
    }
    guard acknowledged + lost >= Self.packetCount, now.nanoseconds &- startedAt >= roundTrip.smoothed else { return .fine }
    let total = Double(acknowledged + lost)
    let loss = Double(lost) / total
    let wasLimited = 2 * limitedBytes >= bytes
    share += (loss - share) / 4
    restart(at: now.nanoseconds)
    if lossBeforeCut > 0 {
      let isUseless = loss >= 0.5 * lossBeforeCut
      usual = loss
      lossBeforeCut = 0
      return isUseless ? .useless : .fine
    }
    if loss < usual { usual += (loss - usual) / 16 }
    guard wasLimited, loss > Self.allowance + 2 * usual + Self.chance / total else { return .fine }
    lossBeforeCut = loss
    // Losses of what is on its way now come in for more than a round trip.
    startedAt = now.nanoseconds &+ roundTrip.usualLimit / 2 &* 3 &+ Self.detection
    return .tooMuch
  }

  /// Forgets a cut under test: the path paused or changed.
  mutating func abandonTest() { lossBeforeCut = 0 }

  private mutating func restart(at time: UInt64) {
    acknowledged = 0
    lost = 0
    bytes = 0
    limitedBytes = 0
    startedAt = time
  }
}
