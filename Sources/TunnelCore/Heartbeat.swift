import CausewayBase

/// Life and round-trip time of one connection. Any received byte is life. A ping goes out every 4 s whether or not bytes flow:
/// it ends a silence, and it keeps the round trip measured during a bulk transfer.
struct Heartbeat {
  private let pingAfterSilence: UInt64
  private let deadAfterSilence: UInt64
  private(set) var lastReceived: Instant
  private var nextPing = Instant.zero
  /// A ping was due when `advance` was last called; it leaves with the next output.
  private var isPingDue = false
  /// When the ping was sent whose pong is awaited.
  private var outstanding: Instant?
  private var minima: (current: UInt64, previous: UInt64, rotated: Instant)
  /// The last measured round trip in ns; 0 before the first.
  private(set) var lastRoundTrip: UInt64 = 0

  /// The minimum is taken over the last one or two of these; they end with a pong.
  private static let rotation: UInt64 = 5_000_000_000

  init(limits: SessionLimits, at now: Instant) {
    pingAfterSilence = UInt64(clamping: limits.pingAfterSilence.wholeNanoseconds)
    deadAfterSilence = UInt64(clamping: limits.deadAfterSilence.wholeNanoseconds)
    lastReceived = now
    minima = (.max, .max, now)
  }

  /// Least round trip of the last two rotations in ns; 0 before the first.
  var minimumRoundTrip: UInt64 {
    let least = min(minima.current, minima.previous)
    return least == .max ? lastRoundTrip : least
  }

  mutating func received(at now: Instant) { lastReceived = now }

  /// Whether a ping is due.
  func wantsPing(at now: Instant) -> Bool { isPingDue || now >= nextPing }

  mutating func pingSent(at now: Instant) {
    isPingDue = false
    nextPing = now.later(pingAfterSilence)
    if outstanding == nil { outstanding = now }
  }

  /// Takes the oldest outstanding ping's echo; any other is ignored, so that a peer cannot invent a round trip.
  mutating func pongReceived(echo: UInt64, at now: Instant) {
    guard let sent = outstanding, echo == sent.nanoseconds else { return }
    outstanding = nil
    lastRoundTrip = max(1, now.nanoseconds(since: sent))
    if now.nanoseconds(since: minima.rotated) > Self.rotation {
      minima = (lastRoundTrip, minima.current, now)
    } else {
      minima.current = min(minima.current, lastRoundTrip)
    }
  }

  mutating func advance(to now: Instant) { if now >= nextPing { isPingDue = true } }

  /// Makes a ping due now.
  mutating func requestPing() { isPingDue = true }

  func isDead(at now: Instant) -> Bool { now >= deadDeadline }
  private var deadDeadline: Instant { lastReceived.later(deadAfterSilence) }
  /// A ping that is due and could not leave yet has no deadline any more: it waits for the connection, not for time.
  var nextDeadline: Instant { isPingDue ? deadDeadline : min(nextPing, deadDeadline) }
}

extension Instant {
  /// Saturates at `distantFuture`. Cheaper than adding a `Duration`.
  func later(_ nanoseconds: UInt64) -> Instant {
    let (sum, overflow) = self.nanoseconds.addingReportingOverflow(nanoseconds)
    return overflow ? .distantFuture : Instant(nanoseconds: sum)
  }
}
