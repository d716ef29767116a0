// Names: which tunnel name and TCP port belongs to whom, and until when. Pure policy: every point in time and every draw of
// chance is an argument, and the store (CausewayRelay/Accounts) only keeps what is decided here.
// Start with TunnelName and Reservation, then ReservationPolicy.

/// A point in civil time, in whole Unix seconds. It is what a database keeps, and has nothing to do with `Instant`, which starts
/// anew with every boot. A clock that was set back only lengthens reservations.
package struct WallTime: Comparable, Hashable, Sendable {
  package var seconds: Int64

  package init(seconds: Int64) { self.seconds = seconds }

  package static func < (a: WallTime, b: WallTime) -> Bool { a.seconds < b.seconds }

  /// Saturates.
  package static func + (a: WallTime, seconds: Int64) -> WallTime {
    let (sum, overflow) = a.seconds.addingReportingOverflow(seconds)
    return WallTime(seconds: overflow ? (seconds < 0 ? .min : .max) : sum)
  }

  /// Seconds from `b` to `a`; saturates.
  package static func - (a: WallTime, b: WallTime) -> Int64 {
    let (difference, overflow) = a.seconds.subtractingReportingOverflow(b.seconds)
    return overflow ? (b.seconds < 0 ? .max : .min) : difference
  }

  /// `2026-11-21T02:31:28Z`: RFC 3339 in UTC, by the civil calendar of proleptic Gregorian years.
  package var text: String {
    let days = (seconds - mod(seconds, 86_400)) / 86_400
    let second = mod(seconds, 86_400)
    // Years begin in March here, so that the leap day is the last of its year; an era has 400 years and 146,097 days.
    let shifted = days + 719_468
    let era = (shifted - mod(shifted, 146_097)) / 146_097
    let dayOfEra = mod(shifted, 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
      + "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))Z"
  }

  private func mod(_ a: Int64, _ b: Int64) -> Int64 { ((a % b) + b) % b }

  private func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}

/// An account's number. Numbers are never used again, so that an old session cannot become somebody else's.
package struct AccountID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  package let rawValue: Int64
  package init(rawValue: Int64) { self.rawValue = rawValue }
  package var description: String { String(rawValue) }
}
