/// Neighbours of slots in doubly linked lists; a slot is in at most one list of a `LinkSlab` at a time.
struct LinkSlab: ~Copyable, Sendable {
  struct Links: BitwiseCopyable {
    var previous: Slot = .none
    var next: Slot = .none
  }
  private var links: Slab<Links>

  init(capacity: UInt32) { links = Slab(capacity: max(capacity, 4), filledWith: Links()) }

  @inline(__always) subscript(slot: Slot) -> Links {
    get { links[slot] }
    _modify { yield &links[slot] }
  }

  @inline(__always) func next(_ slot: Slot) -> Slot { links[slot].next }

  /// Keeps up with the table whose slots are linked.
  @inline(__always) mutating func cover(_ slot: Slot) {
    if slot >= links.capacity { links.reserve(slot + 1) }
  }
}

/// A list of slots, oldest first; the links are in a `LinkSlab`.
struct SlotList: BitwiseCopyable {
  var head: Slot = .none
  var tail: Slot = .none

  var isEmpty: Bool { head == .none }

  @inline(__always) mutating func append(_ slot: Slot, _ links: inout LinkSlab) {
    links[slot] = LinkSlab.Links(previous: tail, next: .none)
    if tail == .none { head = slot } else { links[tail].next = slot }
    tail = slot
  }

  /// Puts `slot` behind `previous`; at the front when that is none.
  mutating func insert(_ slot: Slot, after previous: Slot, _ links: inout LinkSlab) {
    let next = previous == .none ? head : links[previous].next
    links[slot] = LinkSlab.Links(previous: previous, next: next)
    if previous == .none { head = slot } else { links[previous].next = slot }
    if next == .none { tail = slot } else { links[next].previous = slot }
  }

  @inline(__always) mutating func remove(_ slot: Slot, _ links: inout LinkSlab) {
    let place = links[slot]
    if place.previous == .none { head = place.next } else { links[place.previous].next = place.next }
    if place.next == .none { tail = place.previous } else { links[place.next].previous = place.previous }
  }
}
