import CausewayBase

/// When a packet would arrive by each path, on one scale: one-way delays of a peer's paths share their unknown offset, so the scale is
/// set by the path with the least of them, whose delay is taken to be half its round trip.
public struct ArrivalScale {
  /// Subtract it from a path's one-way delay.
  private let offset: Int64

  public init(_ paths: borrowing Span<PathView>) {
    var least = Int64.max
    var offset: Int64 = 0
    for index in 0..<paths.count where paths[index].isUsable && paths[index].hasOneWayDelay && paths[index].oneWayDelay < least {
      least = paths[index].oneWayDelay
      offset = least &- Int64(paths[index].smoothedRoundTrip / 2)
    }
    self.offset = offset
  }

  /// Nanoseconds that a packet takes once it is sent, queues on the way included.
  @inline(__always) public func delay(_ path: PathView) -> Double {
    path.hasOneWayDelay ? Double(max(0, path.oneWayDelay &- offset)) : Double(path.smoothedRoundTrip / 2)
  }

  /// The usable path with the greatest delay; nil when none is usable, or when the fastest is so much faster.
  func slowest(_ paths: borrowing Span<PathView>, within spread: Double) -> Int? {
    var slowest: Int?
    var least = Double.infinity
    var greatest = -1.0
    for index in 0..<paths.count where paths[index].isUsable {
      let delay = delay(paths[index])
      least = min(least, delay)
      if delay > greatest { (slowest, greatest) = (index, delay) }
    }
    return greatest - least <= spread ? slowest : nil
  }

  /// The path that carries the middle byte of a transfer over all, in the order of their delays: those slower than it carry less than
  /// half. Before anything is known of any path, the slowest. Nil while only something is known, or when that is the fastest path, or when
  /// the fastest is faster by more than `spread`.
  func middle(_ paths: borrowing Span<PathView>, within spread: Double) -> Int? {
    guard let slowest = slowest(paths, within: spread) else { return nil }
    var (known, unknown, capacity) = (false, false, 0.0)
    for index in 0..<paths.count where paths[index].isUsable {
      if paths[index].isStarting { unknown = true } else { known = true }
      capacity += Double(paths[index].capacity)
    }
    guard known else { return slowest }
    guard !unknown else { return nil }
    var middle = slowest
    for index in 0..<paths.count where paths[index].isUsable && delay(paths[index]) < delay(paths[middle]) {
      var slower = 0.0
      for other in 0..<paths.count where paths[other].isUsable && delay(paths[other]) > delay(paths[index]) {
        slower += Double(paths[other].capacity)
      }
      if slower < capacity / 2 { middle = index }
    }
    for index in 0..<paths.count where paths[index].isUsable && delay(paths[index]) < delay(paths[middle]) { return middle }
    return nil
  }

  /// Nanoseconds from now until `byteCount` bytes have arrived by `path`: waiting for its pace and budget, sending, travelling, and the
  /// share of packets that has to be sent again.
  @inline(__always) func arrival(_ path: PathView, _ byteCount: Int, at now: Instant) -> Double {
    let capacity = Double(max(1, path.capacity))
    var time = Double(path.nextSend.nanoseconds(since: now)) + Double(byteCount) / capacity * 1e9 + delay(path)
    if path.roomByteCount <= 0 { time += Double(byteCount &- path.roomByteCount) / capacity * 1e9 }
    time += Double(path.loss) * Double(path.smoothedRoundTrip) * 1.5
    return time
  }
}

/// When the first usable path that has room is due; nil when none is usable.
func earliestTurn(_ paths: borrowing Span<PathView>, at now: Instant) -> Decision {
  var turn = Instant.distantFuture
  var usable = false
  for index in 0..<paths.count where paths[index].isUsable {
    usable = true
    if paths[index].roomByteCount > 0 { turn = min(turn, paths[index].nextSend) }
  }
  return usable ? .wait(turn) : .none
}

/// How far an urgent packet may run ahead of a path's pace, in nanoseconds: so short a wait is the path's own run before it, and a small
/// packet more in the path's queue costs nobody anything. Beyond it, urgent packets are what fills the path, and are paced as all are.
let urgentOverdraft: UInt64 = 4_000_000

/// The path on which a small urgent packet arrives first, where waiting behind one that TCP repeats counts half. It waits behind no backlog,
/// and for no pace or budget but a path's that is overdrawn.
func urgentTurn(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
  let scale = ArrivalScale(paths)
  var best = -1
  var bestTime = Double.infinity
  var bestWait: UInt64 = 0
  for index in 0..<paths.count where paths[index].isUsable {
    let path = paths[index]
    let debt = path.nextSend.nanoseconds(since: now)
    let wait = debt > urgentOverdraft ? debt &- urgentOverdraft : 0
    let service = Double(demand.byteCount) / Double(max(1, path.capacity)) * 1e9
    let repetition = Double(path.loss) * Double(path.smoothedRoundTrip) * 1.5 + Double(path.lateness / 2)
    let time = Double(wait) + service + scale.delay(path) + repetition
    if time < bestTime { (best, bestTime, bestWait) = (index, time, wait) }
  }
  if best < 0 { return .none }
  return bestWait == 0 ? .path(best) : .wait(Instant(nanoseconds: now.nanoseconds &+ bestWait))
}
