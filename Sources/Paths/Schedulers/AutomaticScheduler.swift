public import CausewayBase

/// The default: bulk is spread as `cfs` does, which fills every path; the first packets of a flow or burst go as `earliest` sends them, and
/// urgent ones at once, where they arrive first.
public struct AutomaticScheduler: Scheduler {
  var fair = CompletelyFairScheduler()
  private var earliest = EarliestScheduler()

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    if demand.isUrgent { return urgentTurn(paths, demand, at: now) }
    return demand.isSparse ? earliest.pick(paths, demand, at: now) : fair.pick(paths, demand, at: now)
  }

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    fair.sent(byteCount, on: index, paths)
  }

  public mutating func reset(_ index: Int) { fair.reset(index) }
}
