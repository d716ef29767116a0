import CausewayBase
import CausewayBondCore
import CausewayPaths
import CausewayWire

// The input is a sequence of payloads, each behind a byte of its length (times four), as an authenticated but hostile peer may send them.
// Whatever is read must be written as it was read, and the receiver behind it must keep its limits and lose no slot.

/// Writes a frame that was read from `bytes` again.
private func rewritten(_ frame: Frame, _ bytes: Span<UInt8>) -> [UInt8] {
  [UInt8](capacity: 2000) { out in
    switch frame {
    case .data(let header, let packet):
      header.write(into: &out)
      for i in packet { out.append(bytes[i]) }
    case .fragment(let header, let piece):
      var whole = [UInt8](repeating: 0, count: header.total)
      for (offset, i) in zip(header.range, piece) { whole[offset] = bytes[i] }
      header.write(of: whole.span, into: &out)
    case .acknowledgement(var list):
      AcknowledgementWriter.begin(blockCount: list.remaining, into: &out)
      while let block = list.next(bytes) {
        block.writeHead(into: &out)
        var above = block.largest + 1
        var ranges = AcknowledgedRanges(block)
        while let range = ranges.next(bytes) {
          for value in [above - range.upperBound - 1, UInt64(range.count)] {
            out.append(UInt8(value & 255))
            out.append(UInt8(value >> 8))
          }
          above = range.lowerBound
        }
      }
    case .probe(let probe): probe.write(into: &out)
    case .echo(let echo): echo.write(into: &out)
    case .paths(var list):
      let sequence = list.sequence
      var entries: [PathAnnouncement] = []
      while let entry = list.next(bytes) { entries.append(entry) }
      PathList.write(sequence: sequence, entries.span, into: &out)
    case .skip(let skip): skip.write(into: &out)
    case .parameters(let parameters): parameters.write(into: &out)
    case .repair(let header, let parity):
      _ = header.writeHead(parityByteCount: parity.count, into: &out)
      for i in parity { out.append(bytes[i]) }
    case .suspect(let suspicion): suspicion.write(into: &out)
    case .capacity(var list):
      var entries: [CapacityEntry] = []
      while let entry = list.next(bytes) { entries.append(entry) }
      CapacityList.write(entries.span, into: &out)
    case .hello(let hello): hello.write(isAcknowledgement: false, into: &out)
    case .helloAcknowledgement(let hello): hello.write(isAcknowledgement: true, into: &out)
    }
  }
}

private struct Receiver: ~Copyable {
  let pool: PacketPool
  var order: ReorderBuffer
  var repair: RepairDecoder
  var reassembler: Reassembler
  var now = Instant(nanoseconds: 1_000_000_000)

  init(pool: PacketPool) {
    self.pool = pool
    order = ReorderBuffer(pool: pool)
    repair = RepairDecoder(pool: pool)
    reassembler = Reassembler(pool: pool)
  }

  /// Takes a packet in a slot of its own.
  mutating func take(_ header: DataHeader, _ slot: PacketSlot) {
    if order.receive(header, at: now) == .hold { order.hold(slot, header, at: now) } else { pool.give(slot) }
    while let slot = order.nextReleased() { pool.give(slot) }
  }

  mutating func receive(_ bytes: Span<UInt8>) {
    now = Instant(nanoseconds: now.nanoseconds + 1_000_000)
    var reader = FrameReader()
    while let frame = try? reader.next(bytes) {
      let again = rewritten(frame, bytes)
      var second = FrameReader()
      guard let read = try? second.next(again.span) else { fatalError("law broken: a written frame can't be read") }
      law(rewritten(read, again.span) == again, "a written frame means something else")
      switch frame {
      case .data(let header, let packet):
        repair.add(header, bytes.extracting(packet), at: now)
        guard let slot = pool.take() else { break }
        pool[slot].length = packet.count
        take(header, slot)
      case .fragment(let header, let piece):
        if let (data, slot) = reassembler.receive(header, bytes.extracting(piece), path: PathID(0), at: now) { take(data, slot) }
      case .repair(let header, let parity): repair.receive(header, bytes.extracting(parity), at: now)
      case .skip(let skip): order.skip(skip, at: now)
      case .parameters(let wish):
        order.update(holdLimit: UInt64(wish.holdLimitMicroseconds) * 1000, memoryByteCount: Int(wish.memoryByteCount))
        if wish.flags.contains(.repairsFollow) { repair.activate(at: now) }
      case .acknowledgement, .probe, .echo, .paths, .suspect, .capacity, .hello, .helloAcknowledgement: break
      }
      while let (slot, header) = repair.nextRecovered() { take(header, slot) }
      while let slot = order.nextReleased() { pool.give(slot) }
    }
    order.advance(to: now)
    while let slot = order.nextReleased() { pool.give(slot) }
    reassembler.advance(to: now)
    law(order.heldByteCount <= ReorderBuffer.memoryLimitCap, "more held than the limit")
  }
}

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  let pool = PacketPool(packetByteCount: 1440, limit: 512)
  do {
    var receiver = Receiver(pool: pool)
    var offset = 0
    while offset < bytes.count {
      let start = offset + 1
      let end = min(bytes.count, start + 4 * Int(bytes[offset]))
      receiver.receive(bytes.span.extracting(start..<end))
      offset = end
    }
  }
  law(pool.lentCount == 0, "a slot is lost")
  return 0
}
