import CausewayBase

/// When a path's queue has to be emptied to see what its own delay is, and what came of it. See `CapacityEstimator`.
struct QueueDrain: Sendable, BitwiseCopyable {
  /// Share of the rate at which a path is drained.
  static let gain = 0.5
  /// Without an empty queue for so long, drain.
  static let interval: UInt64 = 5_000_000_000
  /// The longest drain, in nanoseconds.
  static let longest: UInt64 = 300_000_000
  /// A drain that no acknowledgement ends is given up.
  static let timeout: UInt64 = 3_000_000_000

  enum Phase: Sendable, BitwiseCopyable { case none, draining }
  enum Verdict: Equatable {
    /// The queue fell as it should have: the base holds.
    case queue
    /// It did not: this is the path's own delay.
    case base(Int64)
  }

  private(set) var phase = Phase.none
  /// The pace is lowered until then.
  private(set) var slowUntil: UInt64 = .max
  /// The estimate when the queue began to resist.
  private(set) var rateBefore = 0.0

  private var emptyAt: UInt64?
  private var resistsSince: UInt64?
  private var resistingQueue = 0.0
  private var startedAt: UInt64 = 0
  private var queueAtStart = 0.0
  private var least = Int64.max

  var isActive: Bool { if case .draining = phase { true } else { false } }

  /// The queue was seen empty.
  mutating func emptied(at now: Instant) {
    emptyAt = now.nanoseconds
    resistsSince = nil
  }

  /// Looks at a busy round; begins a drain when it is time.
  mutating func watch(queue: Double, resistsAbove: Double, patience: UInt64, rate: Double, at now: Instant) {
    if emptyAt == nil { emptyAt = now.nanoseconds }
    if queue < resistsAbove {
      resistsSince = nil
      rateBefore = 0
      if let emptyAt, now.nanoseconds &- emptyAt > Self.interval { begin(queue, at: now) }
      return
    }
    guard let since = resistsSince else {
      resistsSince = now.nanoseconds
      resistingQueue = queue
      rateBefore = max(rateBefore, rate)
      return
    }
    if queue < 0.75 * resistingQueue {
      resistsSince = now.nanoseconds
      resistingQueue = queue
    } else if now.nanoseconds &- since > patience {
      begin(queue, at: now)
    }
  }

  private mutating func begin(_ queue: Double, at now: Instant) {
    phase = .draining
    startedAt = now.nanoseconds
    queueAtStart = queue
    slowUntil = now.nanoseconds &+ min(Self.longest, UInt64(queue / (1 - Self.gain)) &+ 5_000_000)
    least = .max
  }

  /// One sample of the one-way delay. Non-nil when the drain is over.
  mutating func sample(sentAt: UInt64, delay: Int64, base: Int64, at now: Instant) -> Verdict? {
    let middle = startedAt &+ (slowUntil &- startedAt) / 2
    if sentAt >= middle { least = min(least, delay) }
    guard sentAt >= slowUntil || now.nanoseconds &- startedAt > Self.timeout else { return nil }
    phase = .none
    emptyAt = now.nanoseconds
    resistsSince = nil
    let expected = min(queueAtStart, Double(slowUntil &- startedAt) * (1 - Self.gain))
    slowUntil = .max
    guard least != .max else { return .queue }
    let fallen = queueAtStart - Double(least &- base)
    return fallen < 0.5 * expected ? .base(least) : .queue
  }
}
