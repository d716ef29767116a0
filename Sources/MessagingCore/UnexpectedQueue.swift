/// A message that the shell keeps.
struct MessageRecord: SlotRecord {
  enum State: UInt8, BitwiseCopyable {
    /// Ahead of its turn, in its connection's reorder list.
    case parked
    /// In the queue.
    case waiting
    /// Matched or given up; the effect is on its way and frees the slot.
    case leaving
  }
  var tag: UInt64 = 0
  var length = 0
  var mailbox: Slot = .none
  var connection: Slot = .none
  var sequence: UInt32 = 0
  var cost: UInt32 = 0
  var generation: UInt32 = 0
  var nextFree: Slot = .none
  var isLive = false
  var state: State = .waiting
  var isRendezvous = false
  var wantsAcknowledgement = false

  @inline(__always) mutating func begin(
    _ header: MessageHeader, length: Int, rendezvous: Bool, cost: UInt32, _ mailbox: Slot, _ connection: Slot
  ) {
    tag = header.tag
    self.length = length
    self.mailbox = mailbox
    self.connection = connection
    sequence = header.sequence
    self.cost = cost
    isRendezvous = rendezvous
    wantsAcknowledgement = header.flags.contains(.wantsAcknowledgement)
  }
}

/// Messages that arrived before their receive, each in three lists in order of arrival: of its mailbox, of its connection, and of its
/// (mailbox, tag) bucket, so that an exact receive finds its message without looking at those with other tags.
struct UnexpectedQueue: ~Copyable, Sendable {
  var messages: SlotTable<MessageRecord>
  private var hash: TagHash
  private var mailboxLinks: LinkSlab
  private var connectionLinks: LinkSlab
  private var tagLinks: LinkSlab

  init(capacity: Int, seed: UInt64) {
    messages = SlotTable(capacity: capacity)
    hash = TagHash(capacity: capacity, seed: seed)
    mailboxLinks = LinkSlab(capacity: messages.capacity)
    connectionLinks = LinkSlab(capacity: messages.capacity)
    tagLinks = LinkSlab(capacity: messages.capacity)
  }

  @inline(__always) func id(_ slot: Slot) -> MessageID { MessageID(slot: slot, generation: messages[slot].generation) }

  @inline(__always) func next(inMailbox slot: Slot) -> Slot { mailboxLinks.next(slot) }
  @inline(__always) func next(inConnection slot: Slot) -> Slot { connectionLinks.next(slot) }

  /// A slot in no list.
  @inline(__always) mutating func allocate(
    _ header: MessageHeader, length: Int, rendezvous: Bool, cost: UInt32, _ mailbox: Slot, _ connection: Slot
  ) -> Slot {
    let slot = messages.allocate()
    messages[slot].begin(header, length: length, rendezvous: rendezvous, cost: cost, mailbox, connection)
    mailboxLinks.cover(slot)
    connectionLinks.cover(slot)
    tagLinks.cover(slot)
    return slot
  }

  /// Puts it behind all that wait.
  @inline(__always) mutating func append(_ slot: Slot, mailbox: inout SlotList, connection: inout SlotList) {
    messages[slot].state = .waiting
    mailbox.append(slot, &mailboxLinks)
    connection.append(slot, &connectionLinks)
    hash.append(slot, messages[slot].tag, messages[slot].mailbox, &tagLinks)
    if hash.isFull { rehash() }
  }

  @inline(__always) mutating func remove(_ slot: Slot, mailbox: inout SlotList, connection: inout SlotList) {
    messages[slot].state = .leaving
    mailbox.remove(slot, &mailboxLinks)
    connection.remove(slot, &connectionLinks)
    hash.remove(slot, messages[slot].tag, messages[slot].mailbox, &tagLinks)
  }

  /// Puts a message that is ahead of its turn among its like, by sequence. False when that number is there already.
  mutating func park(_ slot: Slot, in list: inout SlotList) -> Bool {
    let sequence = messages[slot].sequence
    var previous = list.tail
    while previous != .none {
      let distance = Int32(bitPattern: sequence &- messages[previous].sequence)
      if distance == 0 { return false }
      if distance > 0 { break }
      previous = connectionLinks[previous].previous
    }
    messages[slot].state = .parked
    list.insert(slot, after: previous, &connectionLinks)
    return true
  }

  mutating func unpark(_ slot: Slot, from list: inout SlotList) {
    messages[slot].state = .leaving
    list.remove(slot, &connectionLinks)
  }

  /// The oldest of a mailbox that fits, or none.
  @inline(__always) func first(_ tag: UInt64, _ mask: UInt64, mailbox: Slot, _ list: SlotList) -> Slot {
    if mask == .max {
      var slot = hash.head(tag, mailbox)
      while slot != .none && (messages[slot].tag != tag || messages[slot].mailbox != mailbox) { slot = tagLinks.next(slot) }
      return slot
    }
    var slot = list.head
    while slot != .none && (messages[slot].tag ^ tag) & mask != 0 { slot = mailboxLinks.next(slot) }
    return slot
  }

  /// The oldest of a connection that fits, or none. For an exact tag the connection's messages and those with the tag are walked side by
  /// side: the shorter way wins.
  func first(_ tag: UInt64, _ mask: UInt64, mailbox: Slot, connection: Slot, _ list: SlotList) -> Slot {
    var slot = list.head
    if mask != .max {
      while slot != .none && (messages[slot].tag ^ tag) & mask != 0 { slot = connectionLinks.next(slot) }
      return slot
    }
    var other = hash.head(tag, mailbox)
    while slot != .none && other != .none {
      if messages[slot].tag == tag { return slot }
      if messages[other].tag == tag && messages[other].connection == connection { return other }
      slot = connectionLinks.next(slot)
      other = tagLinks.next(other)
    }
    return .none
  }

  private mutating func rehash() {
    let old = hash.grow()
    for bucket in 0..<old {
      var slot = hash.take(bucket)
      while slot != .none {
        let next = tagLinks.next(slot)
        hash.putBack(slot, messages[slot].tag, messages[slot].mailbox, &tagLinks)
        slot = next
      }
    }
  }
}
