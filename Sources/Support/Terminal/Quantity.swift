/// Numbers for people.
package enum Quantity {
  /// `0 B`, `1023 B`, `1.5 KiB`, `312 MiB`: three or four digits.
  package static func bytes(_ count: UInt64) -> String {
    if count < 1024 { return "\(count) B" }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var unit = 0
    var scale = 1024.0
    // Rounding 1023.96 KiB up would give four digits of the smaller unit.
    while unit + 1 < units.count && Double(count) / scale >= 1023.5 {
      scale *= 1024
      unit += 1
    }
    return "\(decimal(Double(count) / scale)) \(units[unit])"
  }

  package static func rate(_ bytesPerSecond: UInt64) -> String { bytes(bytesPerSecond) + "/s" }

  /// `0.4 ms`, `12 ms`, `1.2 s`, `3 min 4 s`, `2 h 5 min`, `3 d 4 h`. Negative spans count as zero.
  package static func duration(_ duration: Duration) -> String {
    let milliseconds = max(0, Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15)
    if milliseconds < 999.5 { return decimal(milliseconds, below: 10) + " ms" }
    if milliseconds < 59_950 { return tenths(milliseconds / 1e3) + " s" }
    let seconds = Int64(milliseconds / 1e3 + 0.5)
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    if seconds < 86400 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
    return "\(seconds / 86400) d \(seconds % 86400 / 3600) h"
  }

  /// One decimal below `limit`, none from there on.
  private static func decimal(_ value: Double, below limit: Double = 100) -> String {
    value + 0.05 < limit ? tenths(value) : String(Int64(value + 0.5))
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int64(value * 10 + 0.5)
    return "\(tenths / 10).\(tenths % 10)"
  }
}
