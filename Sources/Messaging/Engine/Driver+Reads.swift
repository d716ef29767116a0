internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore

/// An offered message on its way into its receive.
@safe struct ReadSlot {
  var receive: UnsafeMutablePointer<ReceiveSlot>?
  var offer = Offer(address: 0, length: 0, ticketAddress: 0, ticket: 0)
  var sequence: UInt32 = 0
  var connection = MessagePort.nothing
  /// Bytes that are there.
  var offset = 0
}

/// The receiver's side of a single copy: offered data are read from the peer's memory into the receive's, a piece at a time, so that
/// everything else goes on between two pieces. Reads under way take turns.
extension Driver {
  /// Bytes read between two looks at everything else: a huge page, in about 200 µs. Half of it is 3 % slower, twice as much no faster.
  static let readLimit = 2 << 20
  /// What a read counts for at least, so that very many small ones take turns with the rest too.
  private static let leastRead = 16 << 10

  /// An offer came in instead of data. One that is none, or that was not asked for, is a message of impossible length.
  @inline(never)
  func takeOffer(_ header: MessageHeader, _ data: UnsafeMutableRawPointer?, _ length: Int, rendezvous isRendezvous: Bool) -> ucs_status_t {
    var offer: Offer?
    if header.kind == .data, !isRendezvous, length == Offer.byteCount, let data = unsafe data, isReadable(header.connection) {
      unsafe offer = Offer(
        words: (
          data.loadUnaligned(as: UInt64.self), data.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
          data.loadUnaligned(fromByteOffset: 16, as: UInt64.self), data.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        ))
    }
    switch unsafe core.pointee.arrive(header, length: offer?.length ?? -1, rendezvous: true) {
    case .matched(let id, let info):
      guard let offer else { return UCS_OK }
      let slot = unsafe receives.pointer(id.slot)
      if let outcome = unsafe read(offer, header.sequence, info, into: slot) { unsafe end(slot, outcome) }
    case .stored(let id):
      guard let offer else { return UCS_OK }
      let slot = unsafe messages.pointer(id.slot)
      unsafe slot.pointee.length = offer.length
      unsafe slot.pointee.connection = header.connection
      // SAFETY: a block of this size, given back by `takeBack`.
      let block = unsafe work.pointee.blocks.take(StoredOffer.byteCount)
      unsafe block.initializeMemory(as: StoredOffer.self, to: StoredOffer(offer: offer, sequence: header.sequence))
      unsafe slot.pointee.data = .offered(block)
    case .control: break
    case .dropped(let reason): return drop(reason, header)
    }
    return UCS_OK
  }

  private func isReadable(_ connection: UInt32) -> Bool {
    let slot = unsafe connections.pointer(ConnectionID(rawValue: connection).slot)
    return unsafe slot.pointee.id?.rawValue == connection && slot.pointee.memory != nil
  }

  /// An offer that waited for its receive, or for its end.
  struct StoredOffer {
    static let byteCount = MemoryLayout<StoredOffer>.size
    var offer: Offer
    var sequence: UInt32
  }

  func takeBack(_ block: UnsafeMutableRawPointer) -> StoredOffer {
    // SAFETY: `takeOffer` wrote it there.
    let stored = unsafe block.load(as: StoredOffer.self)
    unsafe work.pointee.blocks.give(block, StoredOffer.byteCount)
    return stored
  }

  /// Begins to read. Returns how the receive ended when it did so at once.
  func read(_ offer: Offer, _ sequence: UInt32, _ info: MessageInfo, into slot: UnsafeMutablePointer<ReceiveSlot>) -> Completion? {
    var outcome = Completion(tag: info.tag, byteCount: info.length, connection: info.connection.rawValue)
    let connection = unsafe connections.pointer(info.connection.slot)
    if unsafe connection.pointee.id != info.connection || connection.pointee.memory == nil {
      outcome.status = MessagingError.Code.peerLost.rawValue
      return outcome
    }
    if unsafe slot.pointee.allocates && !allocate(slot, info.length) {
      unsafe core.pointee.offerEnded(info.connection, sequence: sequence)
      outcome.status = MessagingError.Code.limitReached.rawValue
      return outcome
    }
    unsafe slot.pointee.outcome = outcome
    unsafe slot.pointee.isUnderWay = true
    unsafe connection.pointee.requests += 1
    let place = unsafe reads.pointer(UInt32(work.pointee.readCount))
    unsafe work.pointee.readCount += 1
    unsafe place.pointee = ReadSlot(receive: slot, offer: offer, sequence: sequence, connection: info.connection)
    return nil
  }

  /// Reads on, in turns. Outside of UCX and the core.
  @inline(never) func readOn() {
    var left = Self.readLimit
    while unsafe left > 0 && work.pointee.readCount > 0 {
      if unsafe work.pointee.nextRead >= work.pointee.readCount { unsafe work.pointee.nextRead = 0 }
      let index = unsafe work.pointee.nextRead
      let read = unsafe reads.pointer(UInt32(index))
      let count = unsafe min(read.pointee.offer.length - read.pointee.offset, Self.readLimit)
      left -= max(count, Self.leastRead)
      switch unsafe readPiece(read, count) {
      case .read?:
        unsafe read.pointee.offset += count
        if unsafe read.pointee.offset == read.pointee.offer.length {
          endRead(index, nil)
        } else {
          unsafe work.pointee.nextRead += 1
        }
      case .gone?, .refused?, .unreadable?, nil:
        let connection = unsafe read.pointee.connection
        endRead(index, .peerLost)
        fail(connection)
      }
    }
  }

  private func readPiece(_ read: UnsafeMutablePointer<ReadSlot>, _ count: Int) -> ProcessMemory.Outcome? {
    guard let memory = unsafe connections.pointer(read.pointee.connection.slot).pointee.memory,
      let base = unsafe read.pointee.receive?.pointee.base
    else { return nil }
    let offset = unsafe read.pointee.offset
    // SAFETY: the core matched by the room of the memory, which its owner keeps until the receive ends; the offer's end is no overflow.
    return unsafe memory.read(
      at: read.pointee.offer.address + UInt64(offset), into: UnsafeMutableRawBufferPointer(start: base + offset, count: count),
      wordAddress: read.pointee.offer.ticketAddress, word: read.pointee.offer.ticket)
  }

  /// Ends a read, and its receive: well, or with `code`.
  private func endRead(_ index: Int, _ code: MessagingError.Code?) {
    let last = unsafe work.pointee.readCount - 1
    let read = unsafe reads.pointer(UInt32(index)).pointee
    unsafe reads.pointer(UInt32(index)).pointee = reads.pointer(UInt32(last)).pointee
    unsafe reads.pointer(UInt32(last)).pointee = ReadSlot()
    unsafe work.pointee.readCount = last
    if let slot = unsafe read.receive {
      var outcome = unsafe slot.pointee.outcome
      if let code { outcome.status = code.rawValue }
      unsafe end(slot, outcome)
    }
    unsafe core.pointee.offerEnded(read.connection, sequence: read.sequence)
    requestCameBack(read.connection)
  }

  /// The receive was told its end already: its memory is left alone from now on, and the sender's is free.
  func stopRead(into slot: UnsafeMutablePointer<ReceiveSlot>) {
    for index in 0..<(unsafe work.pointee.readCount) where unsafe reads.pointer(UInt32(index)).pointee.receive == slot {
      return endRead(index, nil)
    }
  }

  /// Nothing more is read from this peer.
  func stopReads(of id: ConnectionID, _ code: MessagingError.Code) {
    var index = unsafe work.pointee.readCount - 1
    while index >= 0 {
      if unsafe reads.pointer(UInt32(index)).pointee.connection == id { endRead(index, code) }
      index -= 1
    }
  }
}
