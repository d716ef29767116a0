public import CausewayBase

/// Smoothed round-trip time, its variation and its minimum (RFC 9002 section 5; the minimum over ten seconds). All in nanoseconds.
public struct RoundTripEstimator: Sendable, BitwiseCopyable {
  /// Assumed before the first sample (RFC 9002 6.2.2 takes 333 ms; a tunnel's path has had a handshake).
  public static let initial: UInt64 = 100_000_000
  /// A longer sample is taken for this one.
  static let maximum: UInt64 = 60_000_000_000

  /// 0 before the first sample.
  public private(set) var latest: UInt64 = 0
  public private(set) var smoothed: UInt64 = RoundTripEstimator.initial
  public private(set) var variation: UInt64 = RoundTripEstimator.initial / 2
  private var window = WindowedMinimum()
  private var smoothedWindow = WindowedMinimum()
  private var recent = RecentRoundTrips()

  public init() {}

  public var hasSample: Bool { latest != 0 }

  /// The least of the last ten seconds; the smoothed one before the first sample.
  public var minimum: UInt64 { window.isEmpty ? smoothed : UInt64(window.value) }

  /// The least smoothed value of the last ten seconds: the path's mean round trip, jitter included, without its queue.
  public var minimumSmoothed: UInt64 { smoothedWindow.isEmpty ? smoothed : UInt64(smoothedWindow.value) }

  /// Mean deviation of round trips: what `status` calls jitter.
  public var jitter: UInt64 { hasSample ? variation : 0 }

  /// srtt + 4 × var: almost every acknowledgement is there by then.
  @inlinable public var usualLimit: UInt64 { smoothed &+ 4 &* variation }

  /// Folds in one sample (RFC 9002 5.3).
  /// - Parameters:
  ///   - sample: From sending to the acknowledgement's arrival, in nanoseconds.
  ///   - acknowledgementDelay: What the peer says it waited; taken off unless that would leave less than the minimum.
  public mutating func update(_ sample: UInt64, acknowledgementDelay: UInt64, at now: Instant) {
    let raw = min(max(sample, 1), Self.maximum)
    let first = !hasSample
    window.update(Int64(raw), at: now)
    let adjusted = acknowledgementDelay < raw && raw &- acknowledgementDelay >= minimum ? raw &- acknowledgementDelay : raw
    latest = adjusted
    recent.add(adjusted, at: now)
    if first {
      smoothed = adjusted
      variation = adjusted / 2
      smoothedWindow.update(Int64(smoothed), at: now)
      return
    }
    let difference = smoothed > adjusted ? smoothed &- adjusted : adjusted &- smoothed
    variation = (3 &* variation &+ difference) / 4
    smoothed = (7 &* smoothed &+ adjusted) / 8
    if let greatest = recent.greatest(at: now), greatest < smoothed / 2 {
      // The path has become another one: what it took before says nothing any more, and an idle path would take a minute to forget it.
      smoothed = greatest
      variation = min(variation, greatest / 2)
    }
    smoothedWindow.update(Int64(smoothed), at: now)
  }

  /// The path is another one now (its base delay changed): the minimum starts from the newest sample.
  mutating func forgetMinimum(at now: Instant) {
    guard hasSample else { return }
    window.reset(to: Int64(latest), at: now)
    smoothedWindow.reset(to: Int64(smoothed), at: now)
  }
}
