import CausewayBase

/// When to connect again after a connection ended: at once growing pauses, back to the shortest after one that worked.
struct ReconnectBackoff: Equatable {
  /// The first pause; each further one is twice as long.
  static let shortest: UInt64 = 200_000_000
  static let longest: UInt64 = 5_000_000_000

  private var pause = Self.shortest

  /// The connection ended.
  /// - Returns: When to try again.
  mutating func ended(at now: Instant) -> Instant {
    let due = Instant(nanoseconds: now.nanoseconds &+ pause)
    pause = min(pause &* 2, Self.longest)
    return due
  }

  /// Something authentic came.
  mutating func worked() { pause = Self.shortest }
}
