/// Buckets for tags, keyed by a scope (a mailbox or a connection) and a tag, seeded so that a peer cannot choose tags that collide.
/// Each bucket is a list in the order of its entries' arrival.
struct TagHash: ~Copyable, Sendable {
  private var buckets: Slab<SlotList>
  private var mask: UInt32
  private let seed: (tag: UInt64, scope: UInt64)
  private(set) var count: UInt32 = 0

  init(capacity: Int, seed: UInt64) {
    var size: UInt32 = 8
    while size < capacity { size &*= 2 }
    buckets = Slab(capacity: size, filledWith: SlotList())
    mask = size - 1
    self.seed = (seed, seed &* 0x9E37_79B9_7F4A_7C15 | 1)
  }

  @inline(__always) func bucket(_ tag: UInt64, _ scope: UInt32) -> UInt32 {
    let product = (tag ^ seed.tag).multipliedFullWidth(by: seed.scope &+ UInt64(scope) &* 0xD6E8_FEB8_6659_FD93)
    return UInt32(truncatingIfNeeded: product.high ^ product.low) & mask
  }

  @inline(__always) func head(_ tag: UInt64, _ scope: UInt32) -> Slot { buckets[bucket(tag, scope)].head }

  @inline(__always) mutating func append(_ slot: Slot, _ tag: UInt64, _ scope: UInt32, _ links: inout LinkSlab) {
    buckets[bucket(tag, scope)].append(slot, &links)
    count &+= 1
  }

  @inline(__always) mutating func remove(_ slot: Slot, _ tag: UInt64, _ scope: UInt32, _ links: inout LinkSlab) {
    buckets[bucket(tag, scope)].remove(slot, &links)
    count &-= 1
  }

  /// More entries than buckets: `grow` is due.
  var isFull: Bool { count > mask }

  /// Doubles the buckets and returns how many there were; then every entry of those is given back by `take` and appended again.
  mutating func grow() -> UInt32 {
    let old = mask + 1
    buckets.reserve(old * 2)
    mask = old * 2 - 1
    return old
  }

  /// Empties a bucket and returns its first entry.
  mutating func take(_ bucket: UInt32) -> Slot {
    let head = buckets[bucket].head
    buckets[bucket] = SlotList()
    return head
  }

  /// Appends an entry that is already counted.
  mutating func putBack(_ slot: Slot, _ tag: UInt64, _ scope: UInt32, _ links: inout LinkSlab) {
    buckets[bucket(tag, scope)].append(slot, &links)
  }
}
