public import CausewayBase

/// The default. Urgent packets go at once where they arrive first, and so do the first packets of a flow. Bulk is spread as `cfs` does, which
/// fills every path: all of a flow's packets then take as long as the slowest path's do, as their order is kept.
///
/// A transfer that falls quiet for a moment stays with the slowest path meanwhile. Its sender, which looks for the least round trip then
/// (BBR every ten seconds, with four packets for 200 ms), would otherwise find one that the full rate can't have, and for ten seconds keep
/// too little in flight: in simulation, 55 in place of 61 Mbit/s over 50 + 20, and half over less equal pairs.
public struct AutomaticScheduler: Scheduler {
  var fair = CompletelyFairScheduler()
  private var earliest = EarliestScheduler()

  /// Where paths differ by more than this, in nanoseconds, bulk goes where it arrives first, and so does what falls quiet.
  static let quietSpread = 100_000_000.0

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    if demand.isUrgent { return urgentTurn(paths, demand, at: now) }
    if demand.isSparse && !demand.isBulk { return earliest.pick(paths, demand, at: now) }
    // Paths too far apart: every packet of an ordered flow would take as long as the slowest's, so that one only helps with a backlog.
    guard let slowest = ArrivalScale(paths).slowest(paths, within: Self.quietSpread) else { return earliest.pick(paths, demand, at: now) }
    if demand.isQuiet, paths[slowest].isReady(at: now) { return .path(slowest) }
    return fair.pick(paths, demand, at: now)
  }

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    fair.sent(byteCount, on: index, paths)
  }

  public mutating func reset(_ index: Int) { fair.reset(index) }
}
