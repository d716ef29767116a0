import CausewayBase

/// Losses of a path by windows of packets, and whether they are more than it loses anyhow. A path that loses the same whatever it is sent
/// (radio) is not congested; one that loses less when it is sent less (a policer, a short queue) is.
struct LossWindow: Sendable {
  /// Packets of one window, acknowledged or lost.
  static let packetCount = 192
  /// Random loss that is none of our doing.
  static let allowance = 0.02
  /// Two packets of a window may be chance.
  static let chance = 2.0
  /// Windows whose least loss is taken for the path's own.
  static let historyCount = 8

  /// Share of packets lost, 0...1, smoothed over a few windows.
  private(set) var share = 0.0

  private var acknowledged = 0
  private var lost = 0
  private var limitedBytes = 0
  private var bytes = 0
  private var startedAt: UInt64 = 0
  private var history = InlineArray<8, Double>(repeating: 0)
  private var position = 0

  mutating func add(_ amount: AcknowledgedAmount) {
    acknowledged &+= amount.packetCount
    lost &+= amount.lostPacketCount
    bytes &+= amount.byteCount
    limitedBytes &+= amount.limitedByteCount
  }

  func isDue(_ roundTrip: RoundTripEstimator, at now: Instant) -> Bool {
    acknowledged + lost >= Self.packetCount && now.nanoseconds &- startedAt >= roundTrip.smoothed
  }

  /// Closes the window.
  /// - Returns: Whether it lost too much while the path was its own limit.
  mutating func judge(at now: Instant) -> Bool {
    let total = Double(acknowledged + lost)
    let loss = Double(lost) / max(1, total)
    var least = loss
    for index in 0..<Self.historyCount { least = min(least, history[index]) }
    let tooMuch = loss > Self.allowance + 2 * least + Self.chance / max(1, total) && 2 * limitedBytes >= bytes
    history[position] = loss
    position = (position + 1) % Self.historyCount
    share += (loss - share) / 4
    acknowledged = 0
    lost = 0
    bytes = 0
    limitedBytes = 0
    startedAt = now.nanoseconds
    return tooMuch
  }
}
