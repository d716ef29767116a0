/// Holt's linear exponential smoothing of a path's round trips (Holt 1957; multipath's constants): a level and a trend, so that a path
/// that grows slower is given time before it is called dead.
struct HoltPredictor: Sendable, BitwiseCopyable {
  /// Weight of the newest sample in the level.
  static let alpha = 0.2
  /// Weight of the newest slope in the trend.
  static let beta = 0.1
  /// The time-out's fixed part.
  static let slack: UInt64 = 500_000_000
  /// No time-out is shorter.
  static let minimumTimeout: UInt64 = 200_000_000
  /// No time-out is longer, whatever a peer's echoes make of the trend.
  static let maximumTimeout: UInt64 = 15_000_000_000
  /// Before the first sample.
  static let initialTimeout: UInt64 = 1_000_000_000

  private var level = 0.0
  private var trend = 0.0
  private var deviation = 0.0
  private(set) var sampleCount = 0

  /// Nanoseconds that the next round trip is expected to take; 0 before the first sample.
  var predicted: Double { max(0, level + trend) }

  mutating func update(_ nanoseconds: UInt64) {
    let sample = Double(min(nanoseconds, Self.maximumTimeout))
    defer { sampleCount = min(sampleCount + 1, 1 << 30) }
    guard sampleCount > 0 else {
      level = sample
      deviation = sample / 4
      return
    }
    deviation += (abs(sample - predicted) - deviation) * Self.alpha
    let before = level
    level = Self.alpha * sample + (1 - Self.alpha) * (level + trend)
    trend = Self.beta * (level - before) + (1 - Self.beta) * trend
  }

  /// Predicted × (1.5…3.5, the more the samples scatter) + 500 ms, within the bounds above. Nanoseconds.
  var timeout: UInt64 {
    guard sampleCount > 0 else { return Self.initialTimeout }
    let scatter = predicted > 0 ? min(2, 4 * deviation / predicted) : 2
    let timeout = predicted * (1.5 + scatter) + Double(Self.slack)
    return min(max(UInt64(timeout), Self.minimumTimeout), Self.maximumTimeout)
  }
}
