public import CausewayBase

/// Whether a visitor sends its body fast enough: at least `bytesPerSecond` on average over each `window`, after a `grace`. Time in
/// which we did not want its bytes does not count.
public struct BodyRate: Sendable {
  public static let bytesPerSecond: UInt64 = 1024
  public static let window = Duration.seconds(30)
  public static let grace = Duration.seconds(10)

  private var due: Instant
  private var byteCount: UInt64 = 0
  private var pausedAt: Instant?

  public init(at now: Instant) { due = now + Self.grace + Self.window }

  public mutating func received(_ count: Int) { byteCount &+= UInt64(count) }

  /// We stop reading.
  public mutating func pause(at now: Instant) { if pausedAt == nil { pausedAt = now } }

  public mutating func resume(at now: Instant) {
    guard let pausedAt else { return }
    due = Instant(nanoseconds: due.nanoseconds &+ now.nanoseconds(since: pausedAt))
    self.pausedAt = nil
  }

  /// When `isTooSlow` should be asked.
  public var deadline: Instant { pausedAt == nil ? due : .distantFuture }

  /// Judges the window that ended, if one did, and begins the next.
  public mutating func isTooSlow(at now: Instant) -> Bool {
    guard now >= deadline else { return false }
    let needed = Self.bytesPerSecond * UInt64(Self.window.inSeconds)
    defer {
      byteCount = 0
      due = now + Self.window
    }
    return byteCount < needed
  }
}
