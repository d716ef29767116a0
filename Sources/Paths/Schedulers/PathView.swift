public import CausewayBase

/// What a scheduler sees of one path. Made by `PathSender.view`, kept in an array by the caller and renewed after sendings and
/// acknowledgements. Times in nanoseconds, rates in bytes per second.
public struct PathView: Sendable, BitwiseCopyable {
  /// Normal, validated, and open to data: a view that is not is passed over.
  public var isUsable = false
  /// 0 is the most wanted; `backup` takes the lowest group.
  public var preference: UInt8 = 0
  /// For `cfs`: fixed relative weight, 0 for the learned capacity.
  public var weight: UInt16 = 0
  /// When its pace allows the next run.
  public var nextSend: Instant = .zero
  /// Bytes of its budget that are free; 0 or less: wait for an acknowledgement.
  public var roomByteCount = 0
  /// Bytes in flight.
  public var inFlightByteCount = 0
  /// Learned or fixed capacity, at least 1.
  public var capacity: UInt64 = 1
  public var smoothedRoundTrip: UInt64 = RoundTripEstimator.initial
  /// Smoothed one-way delay with an unknown offset common to all paths of the peer; meaningless unless `hasOneWayDelay`.
  public var oneWayDelay: Int64 = 0
  public var hasOneWayDelay = false
  /// Share of packets lost, 0...1.
  public var loss: Float = 0
  /// How much later than usual packets came lately where one before them had to be repeated (TCP), in nanoseconds.
  public var lateness: UInt64 = 0
  /// Nothing is known of its capacity yet but what it was assumed to be.
  public var isStarting = false
  /// Bytes of one run: see `PathSender.runByteLimit`.
  public var runByteLimit = 0

  @inlinable public init() {}

  /// Whether a run can go now.
  @inlinable public func isReady(at now: Instant) -> Bool { isUsable && roomByteCount > 0 && nextSend <= now }

  /// Whether a run can go now that may be so many nanoseconds ahead of the pace.
  @inlinable public func isReady(at now: Instant, ahead: UInt64) -> Bool {
    isUsable && roomByteCount > 0 && nextSend.nanoseconds <= now.nanoseconds &+ ahead
  }
}

/// What is to be sent next.
public struct Demand: Sendable, BitwiseCopyable {
  /// Bytes of the next packet.
  public var byteCount: Int
  /// Small and latency-critical: goes where it arrives first, and waits for nothing.
  public var isUrgent: Bool
  /// The beginning of a flow, or of a burst of it: it waits behind nobody's backlog.
  public var isSparse = false
  /// Of a flow that sent much within the last second.
  public var isBulk = false
  /// Of such a flow, when it sends hardly anything just now.
  public var isQuiet = false
  /// Of a TCP connection that was opened a moment ago, by whose delay its sender judges the way for seconds.
  public var isBeginning = false
  /// Bytes that wait in the fair queue, this packet included.
  public var backlogByteCount: Int

  @inlinable public init(byteCount: Int, isUrgent: Bool = false, backlogByteCount: Int = 0) {
    self.byteCount = byteCount
    self.isUrgent = isUrgent
    self.backlogByteCount = backlogByteCount
  }
}

/// Where the next run goes. Numbers are places in the array of views.
public enum Decision: Equatable, Sendable, BitwiseCopyable {
  /// One run on this path.
  case path(Int)
  /// The next packet on each of these paths (bit n: place n).
  case paths(UInt64)
  /// Nothing now: ask again at this time, or at the next acknowledgement if that is `distantFuture`.
  case wait(Instant)
  /// No path is usable.
  case none
}
