internal import CUCX
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Synchronization

/// The sender's side of a single copy: a message whose data the peer reads where they are (CMA), instead of UCX's rendezvous, which copies
/// twice where it has to notice deaths. See `Offer` for what is said, Driver+Reads for the other side.
extension Driver {
  /// Shortest message that is offered: where one copy by system call overtakes UCX's two in pieces, by both engines' cores at once
  /// (GB/s one way and both ways: 64 KiB 7.6 and 13.4 against 7.1 and 13.8, 128 KiB 10.4 and 16.4 against 8.3 and 11.6).
  static let offerLimit = 128 << 10
  /// From here on memory in small pages goes by UCX, unless this engine's core is busy reading. It is larger than a cache of its own, and
  /// the kernel looks each page up: 1 GiB one way 5.8 GB/s against 9.2; in huge pages 10.4 against 9.6.
  static let smallPageLimit = 2 << 20

  /// The memory to offer; nil when UCX carries the message.
  @inline(__always) func offerable(_ bytes: SendBytes, _ connection: ConnectionID) -> (UnsafeRawPointer, Int)? {
    guard case .contiguous(let base?, let count) = bytes, count >= Self.offerLimit else { return nil }
    let slot = unsafe connections.pointer(connection.slot)
    guard unsafe slot.pointee.takesOffers, unsafe slot.pointee.endpoint != nil else { return nil }
    if count >= Self.smallPageLimit {
      let isOffered = unsafe isReading || pageMap?.isHuge(UInt64(UInt(bitPattern: base + count / 2))) ?? true
      unsafe slot.pointee.wasReadLast = isOffered
      if !isOffered { return nil }
    }
    return unsafe (base, count)
  }

  /// Tells the peer where the data are. The send ends by `returned`.
  func offer(
    _ slot: UnsafeMutablePointer<SendSlot>, _ id: SendID, _ header: MessageHeader, _ connection: ConnectionID, _ base: UnsafeRawPointer,
    _ count: Int
  ) {
    unsafe core.pointee.offer(id)
    unsafe work.pointee.offerCount += 1
    unsafe work.pointee.ticket &+= 2
    let ticket = unsafe work.pointee.ticket
    unsafe slot.pointee.ticket = ticket
    var header = header
    header.flags.insert(.offered)
    let ticketAddress = UInt(bitPattern: slot) + UInt(SendSlot.ticketOffset)
    let offer = Offer(
      address: UInt64(UInt(bitPattern: base)), length: count, ticketAddress: UInt64(ticketAddress), ticket: ticket)
    // Without it the peer's order has a hole, and nobody would ever return the memory.
    if post(header, offer, connection) < 0 { fail(connection) }
  }

  /// The peer reads no more: the ticket goes first.
  func returned(_ id: SendID, failed: Bool) {
    let slot = unsafe sends.pointer(id.slot)
    unsafe slot.pointee.ticket = 0
    unsafe work.pointee.offerCount -= 1
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    unsafe finish(slot, failed: failed)
  }

  /// The peer has said that it can read our memory.
  func peerReads(_ id: ConnectionID) {
    let slot = unsafe connections.pointer(id.slot)
    if unsafe slot.pointee.id == id { unsafe slot.pointee.takesOffers = true }
  }
}
