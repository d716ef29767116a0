/// A binary min-heap of paths by what they were given, for at most `PathID.limit` places. Keys may change at will.
struct VirtualByteHeap: Sendable {
  static let limit = PathID.limit

  private var order = InlineArray<64, UInt8>(repeating: 0)
  private var place = InlineArray<64, UInt8>(repeating: 0xFF)
  private var keys = InlineArray<64, Double>(repeating: 0)
  private(set) var count = 0

  func contains(_ index: Int) -> Bool { place[index] != 0xFF }

  @inline(__always) func key(_ index: Int) -> Double { keys[index] }

  /// The path with the smallest key; nil when empty.
  var first: Int? { count > 0 ? Int(order[0]) : nil }

  /// The path at `position` of the heap's array: a parent never has a greater key than its children.
  func member(_ position: Int) -> Int { Int(order[position]) }

  mutating func insert(_ index: Int, key: Double) {
    precondition(index < Self.limit && !contains(index), "a place of the heap, once")
    keys[index] = key
    order[count] = UInt8(index)
    place[index] = UInt8(count)
    count += 1
    siftUp(count - 1)
  }

  mutating func remove(_ index: Int) {
    guard contains(index) else { return }
    let position = Int(place[index])
    count -= 1
    place[index] = 0xFF
    guard position < count else { return }
    order[position] = order[count]
    place[Int(order[position])] = UInt8(position)
    siftDown(position)
    siftUp(position)
  }

  mutating func update(_ index: Int, key: Double) {
    let old = keys[index]
    keys[index] = key
    guard contains(index) else { return }
    if key >= old { siftDown(Int(place[index])) } else { siftUp(Int(place[index])) }
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    while child > 0 {
      let parent = (child - 1) / 2
      guard keys[Int(order[child])] < keys[Int(order[parent])] else { return }
      swap(child, parent)
      child = parent
    }
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    while true {
      var least = parent
      for child in (2 * parent + 1)...(2 * parent + 2) where child < count && keys[Int(order[child])] < keys[Int(order[least])] {
        least = child
      }
      if least == parent { return }
      swap(least, parent)
      parent = least
    }
  }

  private mutating func swap(_ a: Int, _ b: Int) {
    let first = order[a]
    let second = order[b]
    order[a] = second
    order[b] = first
    place[Int(second)] = UInt8(a)
    place[Int(first)] = UInt8(b)
  }
}
