internal import CausewayBase

/// Buffers of one size for datagrams under way, named by number. Grows in blocks and keeps what it has: steady traffic allocates nothing.
@safe final class DatagramStore {
  private static let slotsPerBlock = 64
  let slotByteCount: Int
  private var blocks: [UnsafeMutablePointer<UInt8>] = unsafe []
  private var free: [UInt32] = []

  init(slotByteCount: Int) { self.slotByteCount = slotByteCount }

  deinit {
    for index in unsafe blocks.indices { unsafe blocks[index].deallocate() }
  }

  /// Copies `datagram`, at most `slotByteCount` bytes, into a free slot.
  func keep(_ datagram: Span<UInt8>) -> UInt32 {
    precondition(datagram.count <= slotByteCount, "a datagram longer than its slot")
    if free.isEmpty { grow() }
    let slot = free.removeLast()
    if !datagram.isEmpty {
      // SAFETY: the slot has slotByteCount bytes, checked above.
      unsafe datagram.withUnsafeBufferPointer { source in
        unsafe address(slot).update(from: source.baseAddress.unsafelyUnwrapped, count: source.count)
      }
    }
    return slot
  }

  func give(_ slot: UInt32) { free.append(slot) }

  func withBytes<R>(_ slot: UInt32, count: Int, _ body: (inout MutableSpan<UInt8>) -> R) -> R {
    precondition(count <= slotByteCount, "a datagram longer than its slot")
    // SAFETY: the slot's own memory for the length of the call.
    var bytes = unsafe MutableSpan(_unsafeStart: address(slot), count: count)
    return body(&bytes)
  }

  private func address(_ slot: UInt32) -> UnsafeMutablePointer<UInt8> {
    unsafe blocks[Int(slot) / Self.slotsPerBlock] + Int(slot) % Self.slotsPerBlock * slotByteCount
  }

  private func grow() {
    // SAFETY: freed in deinit.
    unsafe blocks.append(.allocate(capacity: Self.slotsPerBlock * slotByteCount))
    let first = unsafe (blocks.count - 1) * Self.slotsPerBlock
    free.append(contentsOf: (first..<first + Self.slotsPerBlock).reversed().lazy.map { UInt32($0) })
  }
}
