public import CausewayBase

/// multipath's `cfs`: a min-heap of the paths by virtual bytes, what each was given divided by its weight (a fixed one, or the learned
/// capacity); the least goes next, among those whose pace and budget allow it. Weights may change at any time; what was given before is
/// not reckoned anew. A path that comes back starts one run behind the others and not with all that it missed.
public struct CompletelyFairScheduler: Scheduler {
  private var heap = VirtualByteHeap()
  private var greatestKey = 0.0

  /// A path that could not keep up may fall behind by so many runs, and no more: else it would get everything once the load falls.
  static let lagLimit = 4.0

  public init() {}

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    update(paths)
    guard let first = heap.first else { return .none }
    if paths[first].isReady(at: now) { return .path(first) }
    var best = -1
    var bestKey = Double.infinity
    for position in 1..<max(1, heap.count) {
      let index = heap.member(position)
      if heap.key(index) < bestKey && paths[index].isReady(at: now) {
        best = index
        bestKey = heap.key(index)
      }
    }
    return best >= 0 ? .path(best) : earliestTurn(paths, at: now)
  }

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    guard index < VirtualByteHeap.limit, index < paths.count, heap.contains(index) else { return }
    let weight = weight(paths[index])
    let lag = Self.lagLimit * Double(max(paths[index].runByteLimit, byteCount)) / weight
    let key = max(heap.key(index), greatestKey - lag) + Double(byteCount) / weight
    greatestKey = max(greatestKey, key)
    heap.update(index, key: key)
  }

  public mutating func reset(_ index: Int) {
    guard index < VirtualByteHeap.limit else { return }
    heap.remove(index)
    heap.update(index, key: 0)
  }

  /// What a fixed weight of one is worth in bytes per second: fixed weights divide what their paths carry together, so that they mix with
  /// paths whose share is learned.
  private var unit = 1.0

  private func weight(_ path: PathView) -> Double {
    path.weight > 0 ? Double(path.weight) * unit : Double(max(1, path.capacity))
  }

  /// Paths that became usable enter the heap, others leave it.
  private mutating func update(_ paths: borrowing Span<PathView>) {
    var weights = 0.0
    var capacities = 0.0
    for index in 0..<min(paths.count, VirtualByteHeap.limit) where paths[index].isUsable && paths[index].weight > 0 {
      weights += Double(paths[index].weight)
      capacities += Double(paths[index].capacity)
    }
    if weights > 0 { unit = max(1, capacities / weights) }
    for index in 0..<min(paths.count, VirtualByteHeap.limit) {
      if paths[index].isUsable == heap.contains(index) { continue }
      if paths[index].isUsable {
        let run = Double(paths[index].runByteLimit) / weight(paths[index])
        let least = heap.first.map { heap.key($0) - run } ?? heap.key(index)
        heap.insert(index, key: max(heap.key(index), least))
      } else {
        heap.remove(index)
      }
    }
  }
}
