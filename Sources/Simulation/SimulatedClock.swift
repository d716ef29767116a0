public import CausewayBase

/// Virtual time: it stands still until told otherwise, and never goes back.
public struct SimulatedClock: Sendable {
  public private(set) var now: Instant

  public init(startingAt now: Instant = .zero) { self.now = now }

  /// Jumps to `instant`; an earlier one changes nothing.
  public mutating func advance(to instant: Instant) { now = max(now, instant) }

  public mutating func advance(by duration: Duration) { advance(to: now + duration) }

  /// The earliest of some deadlines, or nil: where to jump when nothing is left to do now.
  public static func earliest(_ deadlines: Instant?...) -> Instant? { deadlines.lazy.compactMap { $0 }.min() }
}
