/// What one direction of a link does to packets: the knobs of a `LinkModel`. The default carries everything at once and unharmed.
/// Shares are probabilities 0...1.
public struct LinkParameters: Sendable, Equatable {
  /// Of the bottleneck; nil or 0: no limit, and no queue.
  public var bytesPerSecond: UInt64?
  /// Counted for each packet beside its own bytes, in rate and queue: headers that the caller doesn't carry.
  public var overheadByteCount = 0
  /// Bytes that may wait for the bottleneck, overhead included; what comes to a full queue is lost (tail drop).
  public var queueByteCount = 256 * 1024
  /// Bytes that leave at once after a pause (the bucket of a token bucket shaper); 0: every packet takes its time on the wire.
  public var burstByteCount = 0
  /// From leaving the bottleneck to arriving.
  public var delay = Duration.zero
  /// Drawn evenly from -jitter...jitter and added to `delay`; the sum is never negative.
  public var jitter = Duration.zero
  /// Whether jitter may let a packet overtake an earlier one (routes), or what follows waits behind (a radio that repeats).
  public var jitterReorders = true
  public var loss = LossProcess.none
  /// Share that arrives twice, the second copy right behind.
  public var duplication = 0.0
  /// Share that is held back by another `reorderingDelay`, so that later ones overtake it.
  public var reordering = 0.0
  public var reorderingDelay = Duration.milliseconds(5)
  /// Share that arrives with one bit flipped.
  public var corruption = 0.0
  /// Share that arrives cut short.
  public var truncation = 0.0
  /// The longest packet that passes, without overhead; longer ones vanish.
  public var mtu = Int.max
  /// Packets that waited longer in the queue are marked as having met congestion, when their sender allows; nil: never.
  public var markingThreshold: Duration?
  /// Everything vanishes. What is under way still arrives.
  public var isBlackhole = false

  public init() {}

  /// What `byteCount` bytes take at the bottleneck, in nanoseconds.
  func transmissionTime(_ byteCount: Int) -> UInt64 {
    guard let bytesPerSecond, bytesPerSecond > 0 else { return 0 }
    return UInt64((Double(byteCount) / Double(bytesPerSecond) * 1e9).rounded())
  }
}

/// How a link loses packets by chance.
public enum LossProcess: Sendable, Equatable {
  case none
  /// Each with this share, whatever happened before.
  case independent(Double)
  case bursts(GilbertElliott)

  /// Losses of this share in bursts of so many packets on average; independent ones when the length is 1 or less.
  public static func share(_ share: Double, meanBurst: Double = 1) -> LossProcess {
    if share <= 0 { return .none }
    return meanBurst > 1 && share < 1 ? .bursts(GilbertElliott(share: share, meanBurst: meanBurst)) : .independent(min(1, share))
  }
}

/// Losses in bursts: a chain of two states with a step before each packet (Gilbert 1960, Elliott 1963).
public struct GilbertElliott: Sendable, Equatable {
  /// Probability of a step from the good state to the bad one.
  public var toBad: Double
  /// Probability of a step from the bad state to the good one.
  public var toGood: Double
  public var lossInGood: Double
  public var lossInBad: Double

  public init(toBad: Double, toGood: Double, lossInGood: Double = 0, lossInBad: Double = 1) {
    self.toBad = toBad
    self.toGood = toGood
    self.lossInGood = lossInGood
    self.lossInBad = lossInBad
  }

  /// All packets of a bad stretch are lost.
  /// - Parameters:
  ///   - share: of all packets, > 0 and < 1.
  ///   - meanBurst: packets, >= 1.
  public init(share: Double, meanBurst: Double) {
    precondition(share > 0 && share < 1 && meanBurst >= 1, "a loss share inside 0...1 and bursts of at least one packet")
    let toGood = 1 / meanBurst
    self.init(toBad: min(1, toGood * share / (1 - share)), toGood: toGood)
  }
}
