import CausewayBase

/// How much a stream's receiver lets in beyond what it has passed on.
///
/// Credit follows what was *consumed*: handed to a socket whose kernel queue is kept short (TCP_NOTSENT_LOWAT). The window itself starts
/// small and doubles only by what really *drained*, that is what the far TCP has acknowledged: each time a whole window drained within two
/// round trips (lane plus the drain's own path), the window and not the reader was the limit. So it stops near bandwidth x round trip, and
/// a reader that stands still never earns more. It falls back after an idle second; credit already given is never taken back.
struct WindowTuner {
  private(set) var size: Int
  /// Everything before this offset has been passed on.
  private(set) var consumed: UInt64 = 0
  /// The credit last given.
  private(set) var credit: UInt64
  private var measureStart = Instant.zero
  private var measureOffset: UInt64 = 0
  private var lastDrain = Instant.zero
  private let initial: Int

  init(initial: Int) {
    self.initial = initial
    size = initial
    credit = UInt64(initial)
  }

  /// Growth beyond the initial window, for the session's budget.
  var growth: Int { size - initial }

  /// Whether so much has been received since the last credit that the shell should say what it passed on.
  func wantsReport(received: UInt64) -> Bool { received &+ UInt64(size / 2) >= credit }

  /// Folds in that everything before `offset` was passed on, and everything before `drained` acknowledged by the far TCP.
  /// - Parameters:
  ///   - roundTrip: lane round trip plus the drain's own, ns.
  ///   - headroom: what the session's budget still has.
  /// - Returns: whether a new credit should be told now.
  mutating func consume(
    upTo offset: UInt64, drained: UInt64, at now: Instant, roundTrip: UInt64, limits: SessionLimits, headroom: Int
  ) -> Bool {
    guard offset > consumed else { return false }
    if now.nanoseconds(since: lastDrain) > UInt64(limits.windowIdle.wholeNanoseconds) {
      size = initial
      restart(at: now, offset: min(drained, consumed))
    }
    consumed = offset
    lastDrain = now
    if drained > measureOffset && drained - measureOffset >= UInt64(size) {
      let elapsed = now.nanoseconds(since: measureStart)
      if elapsed <= 2 * max(roundTrip, UInt64(limits.roundTripFloor.wholeNanoseconds)) && size < limits.maximumWindow {
        size += min(size, headroom, limits.maximumWindow - size)
      }
      restart(at: now, offset: drained)
    }
    let next = consumed + UInt64(size)
    // Half a window at a time, so that credit does not cost a frame for every read.
    guard next >= credit + UInt64(size / 2) else { return false }
    credit = next
    return true
  }

  private mutating func restart(at now: Instant, offset: UInt64) {
    measureStart = now
    measureOffset = offset
  }
}
