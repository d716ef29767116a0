/// Frames by the time they leave; those of one instant in the order they came.
struct DepartureHeap {
  struct Departure {
    /// CLOCK_MONOTONIC, nanoseconds.
    var time: UInt64
    var sequence: UInt64
    var slot: UInt32
    var byteCount: UInt32
    /// Index of the port it leaves by.
    var port: Int

    func precedes(_ other: Departure) -> Bool { time != other.time ? time < other.time : sequence < other.sequence }
  }

  private var items: [Departure] = []
  private var sequence: UInt64 = 0

  init() { items.reserveCapacity(FramePool.slotCount) }

  var count: Int { items.count }
  var first: UInt64? { items.first?.time }

  mutating func insert(slot: UInt32, byteCount: UInt32, port: Int, at time: UInt64) {
    items.append(Departure(time: time, sequence: sequence, slot: slot, byteCount: byteCount, port: port))
    sequence &+= 1
    var child = items.count - 1
    while child > 0, items[child].precedes(items[(child - 1) / 2]) {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() -> Departure {
    items.swapAt(0, items.count - 1)
    let least = items.removeLast()
    var parent = 0
    while true {
      var smallest = parent
      let (left, right) = (2 * parent + 1, 2 * parent + 2)
      if left < items.count && items[left].precedes(items[smallest]) { smallest = left }
      if right < items.count && items[right].precedes(items[smallest]) { smallest = right }
      if smallest == parent { return least }
      items.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
