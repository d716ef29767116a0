public import CausewayBase

/// Every packet on every path whose pace and budget allow it, an urgent one on every path; the first copy wins. The fastest path sets the
/// pace: a slow one gets what it can carry.
public struct RedundantScheduler: Scheduler {
  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    var set: UInt64 = 0
    if demand.isUrgent {
      // On every path that isn't overdrawn, full ones too: what goes only where there is room comes late where that is the slowest.
      for index in 0..<min(paths.count, 64) where paths[index].isUsable && paths[index].nextSend.nanoseconds(since: now) <= urgentOverdraft
      {
        set |= 1 &<< UInt64(index)
      }
      return set == 0 ? urgentTurn(paths, demand, at: now) : .paths(set)
    }
    for index in 0..<min(paths.count, 64) where paths[index].isReady(at: now) { set |= 1 &<< UInt64(index) }
    if set == 0 { return earliestTurn(paths, at: now) }
    return .paths(set)
  }
}
