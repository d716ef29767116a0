public import CausewayBase

/// `Date` and its like: `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110 §5.6.7).
public enum HTTPDate {
  public static let byteCount = 29
  private static let days: StaticString = "SunMonTueWedThuFriSat"
  private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

  /// - Parameter seconds: since 1970, UTC; kept inside the years 1970 to 9999.
  public static func append(unixSeconds seconds: Int64, to out: ByteBuffer) {
    let seconds = Int(min(max(seconds, 0), 253_402_300_799))
    let days = seconds / 86_400
    let second = seconds % 86_400
    // Years begin in March here, so that the leap day is the last of its year; an era has 400 years and 146,097 days.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    appendName(Self.days, (days + 4) % 7, out)  // 1970 began on a Thursday
    out.append(", ")
    appendTwoDigits(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, out)
    out.append(" ")
    appendName(Self.months, month - 1, out)
    out.append(" ")
    appendTwoDigits(year / 100, out)
    appendTwoDigits(year % 100, out)
    out.append(" ")
    appendTwoDigits(second / 3600, out)
    out.append(":")
    appendTwoDigits(second / 60 % 60, out)
    out.append(":")
    appendTwoDigits(second % 60, out)
    out.append(" GMT")
  }

  /// Three letters each.
  private static func appendName(_ names: StaticString, _ index: Int, _ out: ByteBuffer) {
    precondition(index >= 0 && 3 * index + 3 <= names.utf8CodeUnitCount, "no such day or month")
    // SAFETY: a static string's storage lives for ever; the index was checked.
    for i in 0..<3 { unsafe out.append(names.utf8Start[3 * index + i]) }
  }

  private static func appendTwoDigits(_ value: Int, _ out: ByteBuffer) {
    out.append(UInt8(0x30 + value / 10))
    out.append(UInt8(0x30 + value % 10))
  }
}
