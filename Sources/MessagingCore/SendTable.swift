/// A send.
struct SendRecord: SlotRecord {
  enum State: UInt8, BitwiseCopyable {
    /// Waits for credit or behind one that does.
    case queued
    /// The transport has it, or `start` is on its way.
    case started
    /// Its buffer is back; waits for the match.
    case awaitingMatch
    /// Its result was given; the transport still has the buffer.
    case reported
    /// Over; the effect is on its way and frees the slot.
    case leaving
  }
  var tag: UInt64 = 0
  var length = 0
  /// Place in the order of its connection's calls.
  var order: UInt64 = 0
  var sequence: UInt32 = 0
  var connection: Slot = .none
  var timer: Slot = .none
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var state = State.queued
  var isSynchronous = false
  /// Found by acknowledgements and rejections.
  var isListed = false
  var isAcknowledged = false
  var isRejected = false
  /// `sendDone` with this result is on its way to the shell.
  var hasResultOnWay = false
  /// The peer reads the data where they are, and has not said yet that it did.
  var isOffered = false
}

/// Sends, and those of them that an acknowledgement or a rejection may name.
struct SendTable: ~Copyable, Sendable {
  var sends: SlotTable<SendRecord>
  /// A connection's list of unfinished sends, or of those that await their match.
  var links: LinkSlab
  private var hash: TagHash
  private var chains: LinkSlab

  init(capacity: Int, seed: UInt64) {
    sends = SlotTable(capacity: capacity)
    links = LinkSlab(capacity: sends.capacity)
    hash = TagHash(capacity: capacity, seed: seed)
    chains = LinkSlab(capacity: sends.capacity)
  }

  subscript(slot: Slot) -> SendRecord {
    @inline(__always) get { sends[slot] }
    @inline(__always) _modify { yield &sends[slot] }
  }

  @inline(__always) func id(_ slot: Slot) -> SendID { SendID(slot: slot, generation: sends[slot].generation) }

  @inline(__always) mutating func allocate() -> Slot {
    let slot = sends.allocate()
    links.cover(slot)
    chains.cover(slot)
    return slot
  }

  /// From now on `find` finds it.
  mutating func list(_ slot: Slot) {
    sends[slot].isListed = true
    hash.append(slot, UInt64(sends[slot].sequence), sends[slot].connection, &chains)
    if hash.isFull { rehash() }
  }

  @inline(__always) mutating func free(_ slot: Slot) {
    unlist(slot)
    sends.free(slot)
  }

  @inline(__always) mutating func unlist(_ slot: Slot) {
    if !sends[slot].isListed { return }
    sends[slot].isListed = false
    hash.remove(slot, UInt64(sends[slot].sequence), sends[slot].connection, &chains)
  }

  /// The listed send of a connection with a sequence number, or none.
  func find(_ connection: Slot, _ sequence: UInt32) -> Slot {
    var slot = hash.head(UInt64(sequence), connection)
    while slot != .none && (sends[slot].connection != connection || sends[slot].sequence != sequence) { slot = chains.next(slot) }
    return slot
  }

  private mutating func rehash() {
    let old = hash.grow()
    for bucket in 0..<old {
      var slot = hash.take(bucket)
      while slot != .none {
        let next = chains.next(slot)
        hash.putBack(slot, UInt64(sends[slot].sequence), sends[slot].connection, &chains)
        slot = next
      }
    }
  }
}
