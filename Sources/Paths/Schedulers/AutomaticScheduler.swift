public import CausewayBase

/// The default. Urgent packets go at once where they arrive first, and so do the first packets of a flow. What a bulk transfer gets depends
/// on the load:
///
/// - As long as the fastest path is enough for it, that path.
/// - More: every path in proportion to its capacity, as `cfs` does. All of a flow's packets then take as long as the slowest path's do, as
///   their order is kept.
/// - A transfer that falls quiet for a moment stays with the slowest path meanwhile. Its sender, which looks for the least round trip then
///   (BBR every ten seconds, with four packets for 200 ms), would otherwise find one that the full rate can't have, and keep too little in
///   flight for it: by simulation and measurement, 55 in place of 61 Mbit/s over 50 + 20, and a third of it over less equal pairs.
public struct AutomaticScheduler: Scheduler {
  var fair = CompletelyFairScheduler()
  private var earliest = EarliestScheduler()

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    if demand.isUrgent { return urgentTurn(paths, demand, at: now) }
    if demand.isSparse && !demand.isBulk { return earliest.pick(paths, demand, at: now) }
    let scale = ArrivalScale(paths)
    let fastest = scale.fastest(paths)
    guard fastest >= 0 else { return .none }
    watch(paths[fastest], demand, at: now)
    if demand.isQuiet {
      let slowest = scale.slowest(paths)
      return paths[slowest].isReady(at: now) ? .path(slowest) : fair.pick(paths, demand, at: now)
    }
    if now < sharedUntil { return fair.pick(paths, demand, at: now) }
    if paths[fastest].isReady(at: now) { return .path(fastest) }
    let waiting = Double(demand.backlogByteCount) / Double(max(1, paths[fastest].capacity))
    if waiting > Self.shortBacklog { return fair.pick(paths, demand, at: now) }
    return .wait(paths[fastest].roomByteCount > 0 ? paths[fastest].nextSend : .distantFuture)
  }

  /// Tells by backlog and load whether the fastest path is enough.
  private mutating func watch(_ fastest: PathView, _ demand: Demand, at now: Instant) {
    let elapsed = now.nanoseconds(since: windowStart)
    let capacity = Double(max(1, fastest.capacity))
    if Double(demand.backlogByteCount) > capacity * Self.longBacklog {
      sharedUntil = Instant(nanoseconds: now.nanoseconds &+ Self.sharedTime)
    }
    guard elapsed >= Self.window else { return }
    if elapsed < 4 * Self.window, Double(windowBytes) > capacity * Double(elapsed) / 1e9 * Self.fullShare {
      sharedUntil = Instant(nanoseconds: now.nanoseconds &+ Self.sharedTime)
    }
    windowStart = now
    windowBytes = 0
  }

  /// Load is measured over so long, in nanoseconds.
  static let window: UInt64 = 50_000_000
  /// How long the paths stay shared after the load fell.
  static let sharedTime: UInt64 = 700_000_000
  /// Share of the fastest path's estimate that makes the load too much for it. An estimate without a queue may be 1.6 times what arrived.
  static let fullShare = 0.55
  /// A backlog of so many seconds of the fastest path shares them at once, and a shorter one sends a run elsewhere.
  static let longBacklog = 0.010
  static let shortBacklog = 0.002

  private var sharedUntil = Instant.zero
  private var windowStart = Instant.zero
  private var windowBytes = 0

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    windowBytes &+= byteCount
    fair.sent(byteCount, on: index, paths)
  }

  public mutating func reset(_ index: Int) { fair.reset(index) }
}
