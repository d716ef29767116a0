internal import CLinux
public import CausewayBase

/// The kernel's clocks as instants. Inside a loop use `EventLoop.now`, which costs nothing.
public enum SystemClock {
  /// CLOCK_BOOTTIME: counts through suspend. Every deadline of a loop is on this clock.
  public static var now: Instant { Instant(nanoseconds: shim_now_ns()) }
  /// CLOCK_MONOTONIC: stands still in suspend. Only to time work.
  public static var monotonic: Instant { Instant(nanoseconds: shim_monotonic_ns()) }
  /// CLOCK_REALTIME since 1970: for timestamps that others read, never for spans.
  public static var unixNanoseconds: UInt64 { shim_unix_ns() }
}
