import CausewayBase

/// Life and round-trip time of one connection. Any received byte is life. A ping goes out every 4 s whether or not bytes flow:
/// it ends a silence, and it keeps the round trip measured during a bulk transfer.
struct Heartbeat {
  private let limits: SessionLimits
  private(set) var lastReceived: Instant
  private var lastPing: Instant?
  private var outstanding: Instant?
  private var minima: (current: UInt64, previous: UInt64, rotated: Instant)
  /// The last measured round trip in ns; 0 before the first.
  private(set) var lastRoundTrip: UInt64 = 0

  /// The minimum is taken over one to two of these.
  private static let rotation: UInt64 = 5_000_000_000

  init(limits: SessionLimits, at now: Instant) {
    self.limits = limits
    lastReceived = now
    lastPing = nil
    minima = (.max, .max, now)
  }

  /// Least round trip of the last 5 to 10 s in ns; 0 before the first.
  var minimumRoundTrip: UInt64 {
    let least = min(minima.current, minima.previous)
    return least == .max ? lastRoundTrip : least
  }

  mutating func received(at now: Instant) { lastReceived = now }

  /// Whether a ping is due.
  func wantsPing(at now: Instant) -> Bool { now >= nextPing }

  private var nextPing: Instant { lastPing.map { $0 + limits.pingAfterSilence } ?? .zero }

  mutating func pingSent(at now: Instant) {
    lastPing = now
    if outstanding == nil { outstanding = now }
  }

  mutating func pongReceived(echo: UInt64, at now: Instant) {
    guard echo <= now.nanoseconds, outstanding != nil else { return }
    outstanding = nil
    lastRoundTrip = max(1, now.nanoseconds - echo)
    if now.nanoseconds(since: minima.rotated) > Self.rotation {
      minima = (lastRoundTrip, minima.current, now)
    } else {
      minima.current = min(minima.current, lastRoundTrip)
    }
  }

  /// Makes a ping due now.
  mutating func requestPing() { lastPing = nil }

  func isDead(at now: Instant) -> Bool { now >= deadDeadline }
  private var deadDeadline: Instant { lastReceived + limits.deadAfterSilence }
  var nextDeadline: Instant { min(nextPing, deadDeadline) }
}
