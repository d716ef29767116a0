import CausewayBase

/// The greatest of a path's newest round trips: of three at least, and of a quarter of a second at least. In nanoseconds.
struct RecentRoundTrips: Sendable, BitwiseCopyable {
  static let interval: UInt64 = 250_000_000

  private var newest: (UInt64, UInt64, UInt64) = (0, 0, 0)
  private var intervalStart: UInt64 = 0
  private var greatestNow: UInt64 = 0
  private var greatestBefore: UInt64 = 0

  mutating func add(_ sample: UInt64, at now: Instant) {
    newest = (sample, newest.0, newest.1)
    let age = now.nanoseconds &- intervalStart
    if age >= Self.interval {
      greatestBefore = age < 2 &* Self.interval ? greatestNow : 0
      greatestNow = sample
      intervalStart = now.nanoseconds
    } else {
      greatestNow = max(greatestNow, sample)
    }
  }

  /// Nil before the third sample.
  func greatest(at now: Instant) -> UInt64? {
    newest.2 == 0 ? nil : max(newest.0, newest.1, newest.2, greatestNow, greatestBefore)
  }
}
