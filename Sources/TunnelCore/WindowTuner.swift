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
  private var isMeasuring = false
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
  ///   - roundTrip: lane round trip plus the drain's own, ns; 0 while unknown: then the window stays.
  ///   - headroom: what the session's budget still has.
  /// - Returns: whether a new credit should be told now. Steps below a quarter of the window wait for more, or a slow reader would
  ///   make the sender cut its bytes into crumbs (RFC 1122 section 4.2.3.3); a sender that is blocked always hears once all is passed on.
  mutating func consume(
    upTo offset: UInt64, drained: UInt64, at now: Instant, roundTrip: UInt64, limits: SessionLimits, headroom: Int
  ) -> Bool {
    guard offset > consumed else { return false }
    consumed = offset
    if !isMeasuring || now.nanoseconds(since: lastDrain) > UInt64(clamping: limits.windowIdle.wholeNanoseconds) {
      // What drained just now took an unknown time: measure from here.
      size = initial
      isMeasuring = true
      restart(at: now, offset: drained)
    } else if drained > measureOffset && drained - measureOffset >= UInt64(size) {
      let elapsed = now.nanoseconds(since: measureStart)
      let limit = 2 * max(roundTrip, UInt64(clamping: limits.roundTripFloor.wholeNanoseconds))
      if elapsed <= limit && roundTrip > 0 && drained >= UInt64(limits.growthThreshold) && size < limits.maximumWindow {
        size += max(0, min(size, headroom, limits.maximumWindow - size))
      }
      restart(at: now, offset: drained)
    }
    lastDrain = now
    let next = consumed + UInt64(size)
    guard next > credit, next - credit >= UInt64(size / 4) else { return false }
    credit = next
    return true
  }

  /// Nothing more will come: the growth goes back to the budget.
  mutating func close() { size = initial }

  private mutating func restart(at now: Instant, offset: UInt64) {
    measureStart = now
    measureOffset = offset
  }
}
