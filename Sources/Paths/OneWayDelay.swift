import CausewayBase

/// One-way delays of a path by two clocks that agree on nothing but the length of a second: every value carries the same unknown offset,
/// so differences, between samples and between the paths of one peer, are true. Nanoseconds.
public struct OneWayDelay: Sendable, BitwiseCopyable {
  /// Smoothed delay, offset included.
  public private(set) var smoothed: Int64 = 0
  /// Mean difference of successive samples (as RFC 3550 6.4.1): jitter, blind to a queue that grows slowly.
  public private(set) var jitter: Int64 = 0
  /// The newest sample.
  public private(set) var latest: Int64 = 0
  public private(set) var hasSample = false

  private var window = WindowedMinimum()
  private var lastArrival: UInt32 = 0
  private var unwrapped: Int64 = 0

  public init() {}

  /// The least of ten seconds, offset included; the path without its queue.
  public var base: Int64 { window.isEmpty ? latest : window.value }

  /// What the newest sample waited in queues.
  public var queueing: Int64 { hasSample ? max(0, latest - base) : 0 }

  /// Turns the peer's wrapping microseconds into nanoseconds that don't wrap.
  mutating func unwrap(_ arrivalMicroseconds: UInt32) -> Int64 {
    if !hasSample && unwrapped == 0 {
      unwrapped = Int64(arrivalMicroseconds)
    } else {
      unwrapped &+= Int64(Int32(bitPattern: arrivalMicroseconds &- lastArrival))
    }
    lastArrival = arrivalMicroseconds
    return unwrapped &* 1000
  }

  /// - Parameter arrival: From `unwrap`.
  /// - Returns: The sample, offset included.
  mutating func update(sentAt: Instant, arrival: Int64, at now: Instant) -> Int64 {
    let sample = arrival &- Int64(truncatingIfNeeded: sentAt.nanoseconds)
    window.update(sample, at: now)
    if hasSample {
      let difference = min(abs(sample &- latest), 1_000_000_000)
      jitter &+= (difference &- jitter) / 16
      smoothed &+= (sample &- smoothed) / 8
    } else {
      smoothed = sample
      hasSample = true
    }
    latest = sample
    return sample
  }

  /// What was taken for a queue is the path itself: its base is `sample` from now on.
  mutating func reset(base sample: Int64, at now: Instant) { window.reset(to: sample, at: now) }

  /// The path may have changed altogether: the next sample is its base.
  mutating func forgetBase() { window = WindowedMinimum() }
}
