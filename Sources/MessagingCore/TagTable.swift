/// A receive.
struct ReceiveRecord: SlotRecord {
  enum State: UInt8, BitwiseCopyable {
    /// Posted, in the table.
    case waiting
    /// Has its message; the shell moves data.
    case matched
    /// Matched, and `receiveOverdue` is on its way to the shell.
    case overdue
    /// `finishReceive` came while `receiveOverdue` was on its way.
    case finished
    /// Failed; the effect is on its way and frees the slot.
    case leaving
  }
  var tag: UInt64 = 0
  var mask: UInt64 = 0
  var capacity = 0
  /// Place in the order of posting, of the whole engine.
  var order: UInt64 = 0
  /// Mailbox slot, or connection slot with the top bit set.
  var scope: UInt32 = 0
  var mailbox: Slot = .none
  var timer: Slot = .none
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var state: State = .waiting
  /// A message that is too long is thrown away instead of waiting for another receive.
  var drops = false

  @inline(__always) mutating func begin(tag: UInt64, mask: UInt64, capacity: Int, scope: UInt32, mailbox: Slot) {
    self.tag = tag
    self.mask = mask
    self.capacity = capacity
    self.scope = scope
    self.mailbox = mailbox
    timer = .none
    state = .matched
    drops = false
  }

  @inline(__always) mutating func wait(_ order: UInt64) {
    state = .waiting
    self.order = order
  }
}

/// Posted receives of one scope: of a mailbox, or of a connection those tied to it.
struct PostedScope: BitwiseCopyable {
  /// Those whose mask has all bits; they are in the hash.
  var exactCount: UInt32 = 0
  /// The others, oldest first.
  var masked = SlotList()
  /// All, oldest first.
  var all = SlotList()

  @inline(__always) var isEmpty: Bool { all.head == .none }
  static let connectionBit: UInt32 = 1 << 31
}

/// Posted receives. Exact tags are found by hash, masked ones by walking their list; the oldest that fits wins, over all of them.
struct TagTable: ~Copyable, Sendable {
  var receives: SlotTable<ReceiveRecord>
  private var hash: TagHash
  /// A bucket of the hash, or the masked list of a scope.
  private var chains: LinkSlab
  /// All of a scope.
  private var owned: LinkSlab
  private var nextOrder: UInt64 = 0

  init(capacity: Int, seed: UInt64) {
    receives = SlotTable(capacity: capacity)
    hash = TagHash(capacity: capacity, seed: seed)
    chains = LinkSlab(capacity: receives.capacity)
    owned = LinkSlab(capacity: receives.capacity)
  }

  @inline(__always) func id(_ slot: Slot) -> ReceiveID { ReceiveID(slot: slot, generation: receives[slot].generation) }

  /// A slot in state `matched`, in no list.
  @inline(__always) mutating func allocate(tag: UInt64, mask: UInt64, capacity: Int, scope: UInt32, mailbox: Slot) -> Slot {
    let slot = receives.allocate()
    receives[slot].begin(tag: tag, mask: mask, capacity: capacity, scope: scope, mailbox: mailbox)
    return slot
  }

  /// Makes it wait, behind all that do.
  @inline(__always) mutating func post(_ slot: Slot, in scope: inout PostedScope) {
    chains.cover(slot)
    owned.cover(slot)
    receives[slot].wait(nextOrder)
    nextOrder &+= 1
    scope.all.append(slot, &owned)
    if receives[slot].mask == .max {
      scope.exactCount &+= 1
      hash.append(slot, receives[slot].tag, receives[slot].scope, &chains)
      if hash.isFull { rehash() }
    } else {
      scope.masked.append(slot, &chains)
    }
  }

  /// Takes a waiting one out of its lists.
  @inline(__always) mutating func unlink(_ slot: Slot, from scope: inout PostedScope) {
    scope.all.remove(slot, &owned)
    if receives[slot].mask == .max {
      scope.exactCount &-= 1
      hash.remove(slot, receives[slot].tag, receives[slot].scope, &chains)
    } else {
      scope.masked.remove(slot, &chains)
    }
  }

  /// The oldest of `scope` that takes `tag`, if older than `limit`; else none.
  @inline(__always) func first(_ tag: UInt64, scope id: UInt32, _ scope: PostedScope, before limit: UInt64) -> Slot {
    var found: Slot = .none
    var limit = limit
    if scope.exactCount > 0 {
      var slot = hash.head(tag, id)
      while slot != .none {
        if receives[slot].tag == tag && receives[slot].scope == id {
          if receives[slot].order < limit {
            found = slot
            limit = receives[slot].order
          }
          break
        }
        slot = chains.next(slot)
      }
    }
    var slot = scope.masked.head
    while slot != .none && receives[slot].order < limit {
      if (receives[slot].tag ^ tag) & receives[slot].mask == 0 { return slot }
      slot = chains.next(slot)
    }
    return found
  }

  private mutating func rehash() {
    let old = hash.grow()
    for bucket in 0..<old {
      var slot = hash.take(bucket)
      while slot != .none {
        let next = chains.next(slot)
        hash.putBack(slot, receives[slot].tag, receives[slot].scope, &chains)
        slot = next
      }
    }
  }
}
