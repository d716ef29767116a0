public import CausewayBase
internal import Synchronization

/// Keeps a line that repeats from flooding the log: each key passes once an interval, with the number of those that didn't.
///
///     if let suppressed = limiter.admit("accept \(code)", at: loop.now) { log.warning("accept failed", ["suppressed": .integer(suppressed)]) }
public final class RepeatLimiter: Sendable {
  /// Keys remembered; when there are more, those whose interval is over are forgotten, else the new key is held back like a repetition.
  public static let maximumKeyCount = 1024

  private struct Entry {
    var next: Instant
    var suppressed = 0
  }

  private let interval: Duration
  private let entries = Mutex<[String: Entry]>([:])

  public init(interval: Duration = .seconds(10)) { self.interval = interval }

  /// - Returns: How many were held back since the last admitted one, or nil to hold this one back.
  public func admit(_ key: String, at now: Instant) -> Int? {
    entries.withLock { entries in
      if let entry = entries[key] {
        if now < entry.next {
          entries[key]!.suppressed += 1
          return nil
        }
        entries[key] = Entry(next: now + interval)
        return entry.suppressed
      }
      if entries.count >= Self.maximumKeyCount {
        entries = entries.filter { $0.value.next > now }
        if entries.count >= Self.maximumKeyCount { return nil }
      }
      entries[key] = Entry(next: now + interval)
      return 0
    }
  }
}
