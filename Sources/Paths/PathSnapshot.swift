public import CausewayBase

/// What `status` and metrics show of one path's sending direction. Rates in bytes per second, times in nanoseconds.
public struct PathSnapshot: Sendable, BitwiseCopyable {
  public var id: PathID
  public var state: PathState
  public var stateSince: Instant
  public var smoothedRoundTrip: UInt64 = 0
  public var minimumRoundTrip: UInt64 = 0
  public var jitter: UInt64 = 0
  /// Share of packets lost, 0...1, smoothed.
  public var loss = 0.0
  /// Estimated or fixed capacity.
  public var capacity: UInt64 = 0
  /// What arrived at the peer lately.
  public var deliveredRate: UInt64 = 0
  /// Our share of the path's own queue.
  public var queueing: UInt64 = 0
  public var inFlightByteCount = 0
  public var budgetByteCount = 0
  public var sentByteCount: UInt64 = 0
  public var sentPacketCount: UInt64 = 0
  public var acknowledgedByteCount: UInt64 = 0
  public var lostPacketCount: UInt64 = 0
  public var spuriousPacketCount: UInt64 = 0
  public var isStarting = false

  init(id: PathID, state: PathState, stateSince: Instant) {
    self.id = id
    self.state = state
    self.stateSince = stateSince
  }
}
