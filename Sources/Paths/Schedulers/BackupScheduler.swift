public import CausewayBase

/// The paths of the lowest preference number that are usable, earliest arrival among them; the next group only when none of the first is.
public struct BackupScheduler: Scheduler {
  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    var group = UInt8.max
    var usable = false
    for index in 0..<paths.count where paths[index].isUsable {
      usable = true
      group = min(group, paths[index].preference)
    }
    guard usable else { return .none }
    let scale = ArrivalScale(paths)
    var best = -1
    var bestTime = Double.infinity
    var turn = Instant.distantFuture
    for index in 0..<paths.count where paths[index].isUsable && paths[index].preference == group {
      if paths[index].roomByteCount > 0 { turn = min(turn, paths[index].nextSend) }
      guard paths[index].isReady(at: now) else { continue }
      let time = scale.arrival(paths[index], demand.byteCount, at: now)
      if time < bestTime {
        best = index
        bestTime = time
      }
    }
    return best >= 0 ? .path(best) : .wait(turn)
  }
}
