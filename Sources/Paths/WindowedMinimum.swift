public import CausewayBase

/// The smallest of the samples of the last ten seconds, give or take half: two buckets of five seconds, so that a sample costs a
/// comparison. The window moves only with samples: a path without traffic keeps what it knew.
public struct WindowedMinimum: Sendable, BitwiseCopyable {
  /// Length of one of the two buckets, in nanoseconds.
  public static let bucketNanoseconds: UInt64 = 5_000_000_000

  private var current: Int64 = .max
  private var previous: Int64 = .max
  private var bucketStart: UInt64 = 0

  public init() {}

  @inlinable public var isEmpty: Bool { value == .max }

  /// `Int64.max` before the first sample.
  public var value: Int64 { min(current, previous) }

  public mutating func update(_ sample: Int64, at now: Instant) {
    if now.nanoseconds >= bucketStart &+ Self.bucketNanoseconds || current == .max {
      previous = current
      current = sample
      bucketStart = now.nanoseconds
    } else if sample < current {
      current = sample
    }
  }

  /// Forgets everything but `sample`.
  public mutating func reset(to sample: Int64, at now: Instant) {
    previous = .max
    current = sample
    bucketStart = now.nanoseconds
  }
}
