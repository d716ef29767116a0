internal import Glibc

/// The calendar's time, for people; never for deadlines.
package enum WallClock {
  /// Nanoseconds since 1970, UTC.
  package static func now() -> UInt64 {
    var time = timespec()
    unsafe _ = clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(clamping: time.tv_sec) * 1_000_000_000 + UInt64(clamping: time.tv_nsec)
  }

  /// `2026-11-21T02:31:29.123Z` (RFC 3339).
  package static func rfc3339(_ nanoseconds: UInt64) -> String {
    let parts = parts(of: nanoseconds, isLocal: false)
    return "\(padded(parts.year, 4))-\(padded(parts.month, 2))-\(padded(parts.day, 2))T\(clock(parts))Z"
  }

  /// `12:31:29.123` in the machine's zone.
  package static func local(_ nanoseconds: UInt64) -> String { clock(parts(of: nanoseconds, isLocal: true)) }

  private struct Parts {
    var year, month, day, hour, minute, second, millisecond: Int
  }

  private static func parts(of nanoseconds: UInt64, isLocal: Bool) -> Parts {
    var seconds = time_t(nanoseconds / 1_000_000_000)
    var fields = unsafe tm()
    // SAFETY: both live for the calls, which are the reentrant ones; tm_zone, the one pointer inside, isn't read.
    if isLocal { unsafe _ = localtime_r(&seconds, &fields) } else { unsafe _ = gmtime_r(&seconds, &fields) }
    return unsafe Parts(
      year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday), hour: Int(fields.tm_hour),
      minute: Int(fields.tm_min), second: Int(fields.tm_sec), millisecond: Int(nanoseconds / 1_000_000 % 1000))
  }

  private static func clock(_ parts: Parts) -> String {
    "\(padded(parts.hour, 2)):\(padded(parts.minute, 2)):\(padded(parts.second, 2)).\(padded(parts.millisecond, 3))"
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
