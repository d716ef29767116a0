import CausewayBase

/// Whether a connection below a path (TCP) gets on while the path's data are silent. A lost segment holds up all that follows it for a
/// round trip or two, until it was repeated; meanwhile the kernel hears which later segments have come. Those who count them, once when
/// the path is doubted and again when it is to be suspected, tell such a pause from a dead path, of which nothing is heard at all.
///
/// What the kernel hears proves nothing of who said it, and a proxy between the ends may answer for one that is gone: so it puts
/// suspicion off a few times and no more.
struct TransportProgress: Sendable, BitwiseCopyable {
  /// Suspicion comes no later than after so many times its time-out.
  static let patience: UInt64 = 3
  /// Two counts are so far apart at least, in nanoseconds.
  static let minimumWatch: UInt64 = 10_000_000

  let isAsked: Bool
  private var delivered: UInt64?
  /// When the first count of this silence was taken, and when a later one last was another.
  private var watchedSince: UInt64 = 0
  private var advancedAt: UInt64 = 0
  /// What was asked about last: a deadline of suspicion.
  private var askedAbout: Instant = .zero

  init(isAsked: Bool = false) { self.isAsked = isAsked }

  /// The data have fallen silent: counting starts anew.
  /// - Returns: Whether to ask.
  mutating func begins(at now: Instant) -> Bool {
    self = TransportProgress(isAsked: isAsked)
    return isAsked
  }

  /// Suspicion is due: whether the answer for this deadline is still to be had.
  mutating func asks(about due: Instant) -> Bool {
    guard isAsked, due > askedAbout else { return false }
    askedAbout = due
    return true
  }

  mutating func told(delivered: UInt64, at now: Instant) {
    if let before = self.delivered {
      if delivered != before { advancedAt = now.nanoseconds }
    } else {
      watchedSince = now.nanoseconds
    }
    self.delivered = delivered
  }

  /// When the path is suspect.
  /// - Parameters:
  ///   - timeout: Of silence, where nobody is asked.
  ///   - interval: How long after a word of progress the next one is waited for.
  func deadline(silentSince: Instant, timeout: UInt64, interval: UInt64) -> Instant {
    let due = silentSince.nanoseconds &+ timeout
    guard isAsked, watchedSince > silentSince.nanoseconds else { return Instant(nanoseconds: due) }
    let watched = max(due, watchedSince &+ Self.minimumWatch)
    guard advancedAt > 0 else { return Instant(nanoseconds: watched) }
    return Instant(nanoseconds: max(watched, min(advancedAt &+ interval, silentSince.nanoseconds &+ Self.patience &* timeout)))
  }
}
