internal import CausewayBase
internal import CausewaySimulation
package import CausewaySupport

/// Scalars of a scenario file, finer than those of configuration files: half a millisecond, half a per cent.
extension YAMLNode {
  /// The number that begins a text, and its unit.
  private func quantity(_ expectation: String, _ text: some StringProtocol) throws(YAMLError) -> (number: Double, unit: String) {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let number = Double(String(digits)), number.isFinite else { throw unexpected(expectation) }
    return (number, text.dropFirst(digits.count).drop { $0 == " " }.lowercased())
  }

  /// `10ms`, `0.5ms`, `2.5s`, `1m`, `250us`; at most ten hours.
  package func fineDuration() throws(YAMLError) -> Duration {
    let expectation = "a duration like 10ms, 0.5ms, 2.5s or 1m"
    let (number, unit) = try quantity(expectation, string(expectation))
    let units = ["us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9]
    guard let scale = units[unit], number * scale <= 36_000e9 else { throw unexpected(expectation) }
    return .nanoseconds(Int64(number * scale))
  }

  /// `50mbit`, `800 kbit`, `1gbit`: bits a second in powers of 1000, here in bytes a second.
  func rate(_ expectation: String = "a rate like 50mbit, 800kbit or 1gbit") throws(YAMLError) -> UInt64 {
    try rate(string(expectation), expectation)
  }

  /// `UP/DOWN`, or one for both.
  func rates() throws(YAMLError) -> (up: UInt64, down: UInt64) {
    let expectation = "a rate like 50mbit, or UP/DOWN like 10mbit/50mbit"
    let parts = try string(expectation).split(separator: "/", omittingEmptySubsequences: false)
    switch parts.count {
    case 1:
      let both = try rate(parts[0], expectation)
      return (both, both)
    case 2: return (try rate(parts[0], expectation), try rate(parts[1], expectation))
    default: throw unexpected(expectation)
    }
  }

  private func rate(_ text: some StringProtocol, _ expectation: String) throws(YAMLError) -> UInt64 {
    let (number, unit) = try quantity(expectation, text)
    let units = ["bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9]
    // At least a byte a second; beyond 100 Gbit/s a packet takes no measurable time.
    guard let scale = units[unit], number * scale >= 8, number * scale <= 100e9 else { throw unexpected(expectation) }
    return UInt64(number * scale / 8)
  }

  /// `0.5%` or `0.005`.
  func share() throws(YAMLError) -> Double {
    let expectation = "a share like 0.5% or 0.005"
    let (number, unit) = try quantity(expectation, string(expectation))
    let share = unit == "%" ? number / 100 : number
    guard unit.isEmpty || unit == "%", (0...1).contains(share) else { throw unexpected(expectation) }
    return share
  }
}
