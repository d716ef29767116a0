/// Rates as users write them: `20mbit`, `2.5mbit`, `800kbit`; powers of 1000, in bit/s.
package enum Rate {
  package static let expectation = "a rate like 20mbit (bit, kbit, mbit or gbit; 1kbit-1000gbit)"

  package static func parse(_ text: some StringProtocol) -> UInt64? {
    let text = text.lowercased()
    let units: [(String, Double)] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1)]
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }) else { return nil }
    let digits = text.dropLast(unit.count)
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), digits.count <= 15,
      parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }), let number = Double(String(digits))
    else { return nil }
    let rate = (number * factor).rounded()
    guard rate < 1e15, PathConfiguration.rates.contains(UInt64(rate)) else { return nil }
    return UInt64(rate)
  }

  /// `50 Mbit/s`, three digits.
  package static func text(_ bitsPerSecond: Double) -> String {
    let (value, unit) = short(bitsPerSecond)
    return "\(value) \(unit)bit/s"
  }

  /// `50.3M`, for columns.
  package static func column(_ bitsPerSecond: Double) -> String {
    let (value, unit) = short(bitsPerSecond)
    return value + unit
  }

  private static func short(_ rate: Double) -> (String, String) {
    // A status may hold anything.
    let rate = min(1e18, max(0, rate.isFinite ? rate : 0))
    let units = ["", "k", "M", "G", "T"]
    var unit = 0
    var value = rate
    while value >= 999.5 && unit + 1 < units.count {
      value /= 1000
      unit += 1
    }
    if unit == 0 || value >= 99.95 || value == value.rounded() { return (String(Int64(value.rounded())), units[unit]) }
    let tenths = Int64((value * 10).rounded())
    return ("\(tenths / 10).\(tenths % 10)", units[unit])
  }
}
