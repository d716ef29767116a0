internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore

/// An offered message on its way into its receive.
@safe struct ReadSlot {
  var receive: UnsafeMutablePointer<ReceiveSlot>?
  var offer = Offer(address: 0, length: 0, ticketAddress: 0, ticket: 0)
  var sequence: UInt32 = 0
  var connection = MessagePort.nothing
  /// Bytes that are there, from the beginning.
  var offset = 0
  /// From here on they are there too, but for those that the reading thread has before it.
  var end = 0
  var isHelped = false
}

/// The receiver's side of a single copy: offered data are read from the peer's memory into the receive's, a piece at a time, so that
/// everything else goes on between two pieces. Reads under way take turns.
extension Driver {
  /// Bytes read between two looks at everything else: a huge page, in about 200 µs. Half of it is 3 % slower, twice as much no faster.
  static let readLimit = 2 << 20
  /// From so many bytes on that are left, a second thread reads from the end, a piece at a time, if there is a core for it: none of a peer that
  /// reads from us. One core copies 1 GiB at 11 GB/s here, two at 13 to 20.
  static let helpLimit = 16 << 20
  static let helpPiece = 4 << 20
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
    unsafe place.pointee = ReadSlot(receive: slot, offer: offer, sequence: sequence, connection: info.connection, end: offer.length)
    return nil
  }

  /// Reads on, in turns. Outside of UCX and the core.
  @inline(never) func readOn() {
    takeHelp()
    var left = Self.readLimit
    while unsafe left > 0 && work.pointee.readCount > 0 {
      if unsafe work.pointee.nextRead >= work.pointee.readCount { unsafe work.pointee.nextRead = 0 }
      let index = unsafe work.pointee.nextRead
      let read = unsafe reads.pointer(UInt32(index))
      unsafe help(read)
      let count = unsafe min(read.pointee.end - read.pointee.offset, Self.readLimit)
      left -= max(count, Self.leastRead)
      if count == 0 {
        // The rest is on its way by the other thread.
        if unsafe work.pointee.readCount == 1 { return }
        unsafe work.pointee.nextRead += 1
        continue
      }
      let piece = unsafe piece(read, read.pointee.offset, count)
      unsafe read.pointee.offset += count
      unsafe advance(index, read, piece?.read() ?? .gone)
    }
  }

  /// A piece of a read is there, or can't be had.
  private func advance(_ index: Int, _ read: UnsafeMutablePointer<ReadSlot>, _ outcome: ProcessMemory.Outcome) {
    if outcome != .read {
      let connection = unsafe read.pointee.connection
      endRead(index, .peerLost)
      fail(connection)
    } else if unsafe read.pointee.offset == read.pointee.end && !read.pointee.isHelped {
      endRead(index, nil)
    } else {
      unsafe work.pointee.nextRead = index + 1
    }
  }

  private func piece(_ read: UnsafeMutablePointer<ReadSlot>, _ offset: Int, _ count: Int) -> ReadingThread.Piece? {
    guard let memory = unsafe connections.pointer(read.pointee.connection.slot).pointee.memory,
      let base = unsafe read.pointee.receive?.pointee.base
    else { return nil }
    // SAFETY: the core matched by the room of the memory, which its owner keeps until the receive ends; the offer's end is no overflow.
    return unsafe ReadingThread.Piece(
      memory, at: read.pointee.offer.address + UInt64(offset), into: UnsafeMutableRawBufferPointer(start: base + offset, count: count),
      wordAddress: read.pointee.offer.ticketAddress, word: read.pointee.offer.ticket)
  }

  // MARK: The second thread

  /// Gives it the end of a long read.
  private func help(_ read: UnsafeMutablePointer<ReadSlot>) {
    guard unsafe read.pointee.end - read.pointee.offset >= Self.helpLimit, unsafe work.pointee.offerCount == 0, !pace.isManual else {
      return
    }
    if readingThread == nil && !hasTriedHelp {
      hasTriedHelp = true
      if cucx_core_count() > 1 { readingThread = try? ReadingThread(name: "reading") }
    }
    guard let readingThread, readingThread.isIdle else { return }
    let end = unsafe read.pointee.end - Self.helpPiece
    guard let piece = unsafe piece(read, end, Self.helpPiece) else { return }
    unsafe read.pointee.end = end
    unsafe read.pointee.isHelped = true
    readingThread.give(piece)
  }

  private func takeHelp() {
    guard let outcome = readingThread?.takeOutcome() else { return }
    for index in 0..<(unsafe work.pointee.readCount) {
      let read = unsafe reads.pointer(UInt32(index))
      guard unsafe read.pointee.isHelped else { continue }
      unsafe read.pointee.isHelped = false
      return unsafe advance(index, read, outcome)
    }
  }

  /// Ends a read, and its receive: well, or with `code`.
  private func endRead(_ index: Int, _ code: MessagingError.Code?) {
    let last = unsafe work.pointee.readCount - 1
    let read = unsafe reads.pointer(UInt32(index)).pointee
    // Nobody writes to the memory any more when its owner has it.
    if read.isHelped { _ = readingThread?.wait() }
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

  /// Before the receive is told its end: its memory is left alone from now on.
  func haltRead(into slot: UnsafeMutablePointer<ReceiveSlot>) {
    for index in 0..<(unsafe work.pointee.readCount) where unsafe reads.pointer(UInt32(index)).pointee.receive == slot {
      if unsafe reads.pointer(UInt32(index)).pointee.isHelped { _ = readingThread?.wait() }
      unsafe reads.pointer(UInt32(index)).pointee.isHelped = false
    }
  }

  /// And after it: the sender's memory is free.
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
