import CausewayBase

/// How much a stream's receiver lets in beyond what has really drained.
///
/// It starts small and doubles each time a whole window drained within two round trips (lane plus the drain's own path): then the
/// window, not the reader, was the limit. So it stops near bandwidth x round trip. It falls back after an idle second; credit already
/// given is never taken back.
struct WindowTuner {
  private(set) var size: Int
  /// Everything before this offset has drained: the visitor's TCP acknowledged it.
  private(set) var drained: UInt64 = 0
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

  /// Whether so much has been received since the last credit that the shell should look at what drained.
  func wantsReport(received: UInt64) -> Bool { received &+ UInt64(size / 2) >= credit }

  /// Folds in that everything before `offset` has drained.
  /// - Parameters:
  ///   - roundTrip: lane round trip plus the drain's own, ns.
  ///   - headroom: what the session's budget still has.
  /// - Returns: whether a new credit should be told now.
  mutating func drain(upTo offset: UInt64, at now: Instant, roundTrip: UInt64, limits: SessionLimits, headroom: Int) -> Bool {
    guard offset > drained else { return false }
    let idle = now.nanoseconds(since: lastDrain)
    if idle > UInt64(limits.windowIdle.wholeNanoseconds) {
      size = initial
      restart(at: now, offset: drained)
    }
    drained = offset
    lastDrain = now
    if drained - measureOffset >= UInt64(size) {
      let elapsed = now.nanoseconds(since: measureStart)
      if elapsed <= 2 * max(roundTrip, UInt64(limits.roundTripFloor.wholeNanoseconds)) && size < limits.maximumWindow {
        size += min(size, headroom, limits.maximumWindow - size)
      }
      restart(at: now, offset: drained)
    }
    let next = drained + UInt64(size)
    guard next > credit else { return false }
    let step = next - credit
    credit = next
    return step > 0
  }

  private mutating func restart(at now: Instant, offset: UInt64) {
    measureStart = now
    measureOffset = offset
  }
}
