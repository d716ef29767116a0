/// A connection's half of flushing. Numbers are exclusive: "every message before".
struct FlushState: BitwiseCopyable {
  /// The greatest number that the peer was asked about, and the greatest it has confirmed.
  var asked: UInt32
  private(set) var confirmed: UInt32
  /// What the peer asks about.
  private var wanted: UInt32 = 0
  private var isWanted = false
  /// Flushes that wait for this connection, oldest first.
  var parts = SlotList()

  init(start: UInt32) {
    asked = start
    confirmed = start
  }

  @inline(__always) func covers(_ sequence: UInt32) -> Bool { Int32(bitPattern: confirmed &- sequence) >= 0 }

  /// Notes that `sequence` must be confirmed. Returns whether the peer is yet to be asked.
  mutating func ask(_ sequence: UInt32) -> Bool {
    if covers(sequence) || Int32(bitPattern: asked &- sequence) >= 0 { return false }
    asked = sequence
    return true
  }

  /// Late and impossible confirmations change nothing.
  mutating func confirm(_ sequence: UInt32, sent: UInt32) {
    if sequence &- confirmed <= sent &- confirmed { confirmed = sequence }
  }

  /// The peer asks. Returns whether to answer at once.
  mutating func want(_ sequence: UInt32, _ order: SequenceCheck) -> Bool {
    if order.covers(sequence) { return true }
    if !isWanted || Int32(bitPattern: sequence &- wanted) > 0 { wanted = sequence }
    isWanted = true
    return false
  }

  /// The order went on. Returns whether to answer now.
  @inline(__always) mutating func isAnswerDue(_ order: SequenceCheck) -> Bool {
    guard isWanted, order.covers(wanted) else { return false }
    isWanted = false
    return true
  }
}

struct FlushRecord: SlotRecord {
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  /// Its parts; one for each connection it waits for.
  var parts = SlotList()
  var timer: Slot = .none
  /// The effect is on its way and frees the slot.
  var isLeaving = false
}

/// What a flush waits for on one connection.
struct FlushPart: SlotRecord {
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var flush: Slot = .none
  var connection: Slot = .none
  /// The last send it covers, in the order of the connection's calls.
  var order: UInt64 = 0
  /// What the peer must confirm, once every send up to `order` has a number.
  var target: UInt32 = 0
  var hasTarget = false
}

/// Flushes and their parts.
struct FlushTracker: ~Copyable, Sendable {
  var flushes = SlotTable<FlushRecord>(capacity: 16)
  var parts = SlotTable<FlushPart>(capacity: 16)
  /// Lists of a connection and of a flush.
  var connectionLinks = LinkSlab(capacity: 16)
  var flushLinks = LinkSlab(capacity: 16)

  func id(_ slot: Slot) -> FlushID { FlushID(slot: slot, generation: flushes[slot].generation) }

  mutating func begin() -> Slot {
    let slot = flushes.allocate()
    flushes[slot].parts = SlotList()
    flushes[slot].timer = .none
    flushes[slot].isLeaving = false
    return slot
  }

  mutating func addPart(to flush: Slot, _ connection: Slot, order: UInt64, list: inout SlotList) {
    let part = parts.allocate()
    connectionLinks.cover(part)
    flushLinks.cover(part)
    parts[part].flush = flush
    parts[part].connection = connection
    parts[part].order = order
    parts[part].hasTarget = false
    list.append(part, &connectionLinks)
    flushes[flush].parts.append(part, &flushLinks)
  }

  /// - Parameter list: The part's connection's.
  mutating func removePart(_ part: Slot, list: inout SlotList) {
    list.remove(part, &connectionLinks)
    flushes[parts[part].flush].parts.remove(part, &flushLinks)
    parts.free(part)
  }
}
