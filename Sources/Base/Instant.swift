// CausewayBase: what every room stands on. Time as a value, byte buffers and queues with spans, seeded randomness.
// It knows no protocol, reads no clock and owns no descriptor. Start with Instant, then ByteBuffer.

/// A point in time, in nanoseconds since an origin that the shell chooses (CLOCK_BOOTTIME on Linux; zero in a simulation).
public struct Instant: Comparable, Hashable, Sendable, BitwiseCopyable {
  public var nanoseconds: UInt64

  @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  public static let zero = Instant(nanoseconds: 0)
  /// Later than every deadline.
  public static let distantFuture = Instant(nanoseconds: .max)

  @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates at zero and at `distantFuture`.
  @inlinable public static func + (a: Instant, b: Duration) -> Instant {
    let delta = b.wholeNanoseconds
    if delta < 0 {
      let magnitude = UInt64(delta.magnitude)
      return Instant(nanoseconds: a.nanoseconds > magnitude ? a.nanoseconds - magnitude : 0)
    }
    let (sum, overflow) = a.nanoseconds.addingReportingOverflow(UInt64(delta))
    return overflow ? .distantFuture : Instant(nanoseconds: sum)
  }

  /// The span from `b` to `a`; negative when `a` is earlier.
  @inlinable public static func - (a: Instant, b: Instant) -> Duration {
    a >= b
      ? .nanoseconds(Int64(clamping: a.nanoseconds - b.nanoseconds)) : .nanoseconds(-Int64(clamping: b.nanoseconds - a.nanoseconds))
  }

  /// Nanoseconds since `earlier`; 0 when `earlier` is not earlier. Cheaper than a `Duration`.
  @inlinable public func nanoseconds(since earlier: Instant) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
  }
}

extension Duration {
  /// Clamped to what 64 bits hold (292 years).
  @inlinable public var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, overflow2) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow2 ? (seconds < 0 ? .min : .max) : sum
  }

  @inlinable public var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}
