internal import CPacketSocket

/// Room for whole Ethernet frames, in slots of one size. The memory is touched only as far as it is used.
@safe final class FramePool {
  /// Bytes of a slot: an MTU of 2000 and the Ethernet header. Longer frames are a sign of offloads left on.
  static let slotByteCount = 2048
  /// Frames under way on all links together: 0.7 s of 300 Mbit/s. Beyond it frames are lost and counted as exhausted.
  static let slotCount = 16384

  private let base: UnsafeMutablePointer<UInt8>
  private var free: [UInt32]

  init?() {
    guard let memory = unsafe shim_packet_map(Self.slotByteCount * Self.slotCount) else { return nil }
    // SAFETY: freshly mapped, page-aligned, zero-filled, and kept for the life of the process.
    unsafe base = memory.bindMemory(to: UInt8.self, capacity: Self.slotByteCount * Self.slotCount)
    free = (0..<UInt32(Self.slotCount)).reversed()
  }

  /// A free slot, or nil. The last one freed comes first: its memory is warm.
  func take() -> UInt32? { free.popLast() }

  func give(_ slot: UInt32) { free.append(slot) }

  /// The bytes of a slot, for the one call.
  func withBytes<Result>(of slot: UInt32, count: Int, _ body: (inout MutableSpan<UInt8>) -> Result) -> Result {
    precondition(Int(slot) < Self.slotCount && count <= Self.slotByteCount, "a slot and a length of this pool")
    // SAFETY: in bounds by the line above; one thread, and no other view lives during the call.
    var span = unsafe MutableSpan(_unsafeStart: base + Int(slot) * Self.slotByteCount, count: count)
    return body(&span)
  }

  func copy(_ count: Int, from source: UInt32, to target: UInt32) {
    precondition(
      max(Int(source), Int(target)) < Self.slotCount && source != target && count <= Self.slotByteCount, "two slots of this pool")
    // SAFETY: both in bounds and disjoint by the line above.
    unsafe (base + Int(target) * Self.slotByteCount).update(from: base + Int(source) * Self.slotByteCount, count: count)
  }

  /// Receives into `slots[0..<count]`; see `shim_packet_receive`.
  func receive(from socket: CInt, into slots: [UInt32], lengths: inout [UInt32], count: Int) -> Int {
    precondition(count <= slots.count && count <= lengths.count, "a slot and a length for each frame")
    // SAFETY: the kernel writes at most slotByteCount bytes to each slot of this pool, and only during the call.
    return unsafe Int(shim_packet_receive(socket, base, Self.slotByteCount, slots, &lengths, CInt(count)))
  }

  /// Sends `count` frames of these slots; see `shim_packet_send`.
  func send(to socket: CInt, _ slots: [UInt32], _ lengths: [UInt32], from first: Int, count: Int) -> Int {
    precondition(first + count <= slots.count && slots.count == lengths.count, "a slot and a length for each frame")
    return unsafe slots.withUnsafeBufferPointer { slots in
      unsafe lengths.withUnsafeBufferPointer { lengths in
        // SAFETY: read only during the call, in bounds by the precondition.
        unsafe Int(
          shim_packet_send(socket, base, Self.slotByteCount, slots.baseAddress! + first, lengths.baseAddress! + first, CInt(count)))
      }
    }
  }
}
