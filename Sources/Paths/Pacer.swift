public import CausewayBase

/// A clock that says when the next run may go: each sending moves it on by bytes over rate. Time that passed unused counts for at most
/// two milliseconds, so that a late timer loses nothing and an idle path does not burst.
public struct Pacer: Sendable, BitwiseCopyable {
  /// Unused time that may be spent at once, in nanoseconds.
  public static let credit: UInt64 = 2_000_000
  /// The slowest pace, in bytes per second.
  static let minimumRate = 1000.0

  /// When the next run is due.
  public private(set) var next: Instant = .zero
  /// Nanoseconds a byte, times 2^20.
  private var nanosecondsPerByte: UInt64 = 0

  public init() {}

  mutating func setRate(_ bytesPerSecond: Double) {
    nanosecondsPerByte = UInt64(1e9 * 1_048_576 / max(bytesPerSecond, Self.minimumRate))
  }

  /// Whether the sender left more time unused than may be saved up: it, not the pace, is the limit.
  @inline(__always) func isIdle(at now: Instant) -> Bool { now.nanoseconds > next.nanoseconds &+ Self.credit }

  @inline(__always) mutating func sent(_ byteCount: Int, at now: Instant) {
    let start = max(next.nanoseconds, now.nanoseconds > Self.credit ? now.nanoseconds &- Self.credit : 0)
    next.nanoseconds = start &+ ((UInt64(truncatingIfNeeded: byteCount) &* nanosecondsPerByte) &>> 20)
  }

  /// Starts afresh at `now`: the path comes back after a pause.
  mutating func restart(at now: Instant) { next = now }
}
