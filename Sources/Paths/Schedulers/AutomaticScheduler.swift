public import CausewayBase

/// The default. Urgent packets go at once where they arrive first, and so do the first packets of a flow. Bulk is spread as `cfs` does, which
/// fills every path: all of a flow's packets then take as long as the slowest path's do, as their order is kept.
///
/// A transfer that falls quiet for a moment stays with the slowest path meanwhile. Its sender, which looks for the least round trip then
/// (BBR every ten seconds, with four packets for 200 ms), would otherwise find one that the full rate can't have, and for ten seconds keep
/// too little in flight: in simulation, 55 in place of 61 Mbit/s over 50 + 20, and half over less equal pairs.
public struct AutomaticScheduler: Scheduler {
  var fair = CompletelyFairScheduler()
  /// Where connections begin, or -1: wherever their packets arrive first.
  private var beginning = -1
  private var decidedAt = Instant.zero

  /// Where paths differ by more than this, in nanoseconds, bulk goes where it arrives first, and so does what falls quiet.
  static let quietSpread = 100_000_000.0

  /// So long connections begin where the last one was decided to, in nanoseconds: a decision holds for all of a beginning.
  static let decisionPeriod: UInt64 = 1_000_000_000

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    if demand.isUrgent && !demand.isBeginning { return urgentTurn(paths, demand, at: now) }
    let scale = ArrivalScale(paths)
    if demand.isBeginning, let place = beginningPlace(paths, demand, scale, at: now) {
      if paths[place].isReady(at: now, ahead: urgentOverdraft) { return .path(place) }
      // What goes elsewhere now waits at the other end for what went there.
      if !demand.isUrgent { return fair.pick(paths, demand, at: now) }
    }
    if demand.isUrgent { return urgentTurn(paths, demand, at: now) }
    // Paths too far apart: every packet of an ordered flow would take as long as the slowest's, so that one only helps with a backlog.
    guard !demand.isSparse || demand.isBulk, let slowest = scale.slowest(paths, within: Self.quietSpread) else {
      return EarliestScheduler.pick(paths, demand, scale, at: now)
    }
    if demand.isQuiet, paths[slowest].isReady(at: now) { return .path(slowest) }
    return fair.pick(paths, demand, at: now)
  }

  /// Decided anew with each answer to a SYN, and where that was none of ours to send, from time to time.
  private mutating func beginningPlace(
    _ paths: borrowing Span<PathView>, _ demand: Demand, _ scale: ArrivalScale, at now: Instant
  ) -> Int? {
    if demand.isUrgent || now.nanoseconds(since: decidedAt) > Self.decisionPeriod {
      beginning = scale.middle(paths, within: Self.quietSpread) ?? -1
      decidedAt = now
    }
    return beginning >= 0 && beginning < paths.count && paths[beginning].isUsable ? beginning : nil
  }

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    fair.sent(byteCount, on: index, paths)
  }

  public mutating func reset(_ index: Int) {
    fair.reset(index)
    if index == beginning { beginning = -1 }
  }
}
