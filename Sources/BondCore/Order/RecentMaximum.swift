import CausewayBase

/// The greatest value of the last one to two seconds.
package struct RecentMaximum: Equatable, Sendable, BitwiseCopyable {
  static let interval: UInt64 = 1_000_000_000

  private var since = Instant.zero
  private var current: UInt64 = 0
  private var before: UInt64 = 0

  mutating func add(_ value: UInt64, at now: Instant) {
    let age = now.nanoseconds(since: since)
    if age >= Self.interval {
      before = age < 2 * Self.interval ? current : 0
      current = 0
      since = now
    }
    current = max(current, value)
  }

  func value(at now: Instant) -> UInt64 {
    switch now.nanoseconds(since: since) {
    case ..<Self.interval: max(before, current)
    case ..<(2 * Self.interval): current
    default: 0
    }
  }
}
