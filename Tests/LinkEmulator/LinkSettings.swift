internal import CausewaySimulation
internal import CausewaySupport

/// Why a command or the configuration was refused.
struct SettingsError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// Numbers of JSON as parameters of a link. Members that are absent stay as they were.
///
///     {"rate": 50e6, "delay": 10, "jitter": 5, "jitterReorders": true, "loss": 0.005, "lossBurst": 1, "queue": 262144,
///      "burst": 0, "reorder": 0, "reorderDelay": 5, "duplicate": 0, "corrupt": 0, "truncate": 0, "mtu": 1500, "mark": null,
///      "blackhole": false}
///
/// Rates in bit/s (0: no limit), times in milliseconds, sizes in bytes, shares 0...1; `mtu` is that of IP, the queue counts Ethernet
/// frames.
extension LinkParameters {
  static let names: Set<String> = [
    "rate", "delay", "jitter", "jitterReorders", "loss", "lossBurst", "queue", "burst", "reorder", "reorderDelay", "duplicate", "corrupt",
    "truncate", "mtu", "mark", "blackhole",
  ]

  mutating func apply(_ settings: JSONValue) throws(SettingsError) {
    func number(_ name: String, _ range: ClosedRange<Double>) throws(SettingsError) -> Double? {
      guard let value = settings[name] else { return nil }
      guard let number = value.double, range.contains(number) else {
        throw SettingsError("\(name) is a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    func flag(_ name: String) throws(SettingsError) -> Bool? {
      guard let value = settings[name] else { return nil }
      guard let flag = value.boolean else { throw SettingsError("\(name) is true or false") }
      return flag
    }
    func time(_ name: String) throws(SettingsError) -> Duration? {
      try number(name, 0...60_000).map { .nanoseconds(Int64($0 * 1e6)) }
    }
    if let rate = try number("rate", 0...1e11) { bytesPerSecond = rate > 0 ? UInt64(rate / 8) : nil }
    if let value = try time("delay") { delay = value }
    if let value = try time("jitter") { jitter = value }
    if let value = try flag("jitterReorders") { jitterReorders = value }
    if let share = try number("loss", 0...1) { loss = .share(share, meanBurst: try number("lossBurst", 1...1000) ?? 1) }
    if let value = try number("queue", 0...1e9) { queueByteCount = Int(value) }
    if let value = try number("burst", 0...1e9) { burstByteCount = Int(value) }
    if let value = try number("reorder", 0...1) { reordering = value }
    if let value = try time("reorderDelay") { reorderingDelay = value }
    if let value = try number("duplicate", 0...1) { duplication = value }
    if let value = try number("corrupt", 0...1) { corruption = value }
    if let value = try number("truncate", 0...1) { truncation = value }
    if let value = try number("mtu", 68...65535) { mtu = Int(value) + Frame.etherByteCount }
    if settings["mark"] == .null {
      markingThreshold = nil
    } else if let value = try time("mark") {
      markingThreshold = value
    }
    if let value = try flag("blackhole") { isBlackhole = value }
  }
}

extension JSONValue {
  /// The keys of an object that are none of `known`.
  func strangers(to known: Set<String>) -> [String] {
    guard case .object(let members) = self else { return [] }
    return members.map(\.key).filter { !known.contains($0) }
  }
}
