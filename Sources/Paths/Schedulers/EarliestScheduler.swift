public import CausewayBase

/// The path on which this packet arrives first, queues included; and if that one is blocked, the next best only while waiting would take
/// longer: ECF (Lim, Nahum, Towsley and Gibbens, CoNEXT 2017) with a factor of two, which opens slow paths earlier than the paper's one.
public struct EarliestScheduler: Scheduler {
  /// How much longer than waiting for the best path another may take.
  public static let patience = 2.0

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    if demand.isUrgent { return urgentTurn(paths, demand, at: now) }
    return Self.pick(paths, demand, ArrivalScale(paths), at: now)
  }

  /// The same for what is not urgent, with a scale that the caller has made.
  static func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, _ scale: ArrivalScale, at now: Instant) -> Decision {
    var best = -1
    var bestTime = Double.infinity
    var ready = -1
    var readyTime = Double.infinity
    for index in 0..<paths.count where paths[index].isUsable {
      let time = scale.arrival(paths[index], demand.byteCount, at: now)
      if time < bestTime {
        best = index
        bestTime = time
      }
      if time < readyTime && paths[index].isReady(at: now) {
        ready = index
        readyTime = time
      }
    }
    if best < 0 { return .none }
    if ready < 0 { return earliestTurn(paths, at: now) }
    if ready == best { return .path(ready) }
    let backlog = Double(max(demand.backlogByteCount, demand.byteCount))
    let waiting = backlog / Double(max(1, paths[best].capacity)) * 1e9 + scale.delay(paths[best])
    if readyTime < Self.patience * waiting { return .path(ready) }
    return .wait(paths[best].roomByteCount > 0 ? paths[best].nextSend : .distantFuture)
  }
}
