internal import CausewayBase

/// The receiving end of a bulk transfer as Linux has it: every second segment acknowledged or after 40 ms, at once while something is
/// missing, SACK with the newest block first, duplicates reported (RFC 2883), CE echoed until answered (RFC 3168).
final class TCPReceiver: FlowEnd {
  static let acknowledgementDelay = Duration.milliseconds(40)
  /// Segments acknowledged at once at the start.
  static let quickCount = 16

  var writer: PacketWriter
  private let address: FlowAddress
  private let opens: Bool
  private let usesECN: Bool
  private let start: Instant
  private let initialSequence: UInt32
  private let segmentByteCount: Int
  let window: UInt32
  let meter: GoodputMeter

  private var remoteInitial: UInt32?
  private var isEstablished = false
  /// Bytes of data received in order.
  private(set) var received: UInt64 = 0
  /// What came beyond `received`, ascending, never touching.
  private var islands: [(start: UInt64, end: UInt64)] = []
  /// Bytes inside the islands that grew last, newest first.
  private var newest: [UInt64] = []
  private var duplicate: (start: UInt64, end: UInt64)?
  private var acknowledged: UInt64 = 0
  private var quickLeft = TCPReceiver.quickCount
  private var owesAcknowledgement = false
  private var delayedAt: Instant?
  private var synAt: Instant?
  private var synCount = 0
  private var recentTimestamp: UInt32 = 0
  private var echoesCongestion = false
  private(set) var outOfOrderCount = 0
  private(set) var duplicateCount = 0
  private(set) var markedCount = 0

  init(_ address: FlowAddress, opens: Bool, usesECN: Bool, segmentByteCount: Int, window: UInt32, start: Instant, seed: UInt32) {
    self.address = address
    self.opens = opens
    self.usesECN = usesECN
    self.start = start
    self.segmentByteCount = segmentByteCount
    self.window = window
    initialSequence = seed
    meter = GoodputMeter(start: start)
    writer = address.writer(InnerHeader.tcp, longest: TCPHeader.longestHeaderByteCount)
    synAt = opens ? start : nil
  }

  func receive(_ packet: Span<UInt8>, _ ip: InnerHeader, at now: Instant) {
    guard let header = TCPHeader(packet) else { return }
    if header.flags & TCPHeader.syn != 0 {
      remoteInitial = header.sequence
      recentTimestamp = header.timestamp
      isEstablished = opens || isEstablished
      synAt = nil
      owesAcknowledgement = true
      return
    }
    guard let remoteInitial else { return }
    isEstablished = true
    let count = packet.count - header.headerByteCount
    guard count > 0 else { return }
    if ip.congestionBits == 3 {
      markedCount += 1
      echoesCongestion = usesECN
    }
    if header.flags & TCPHeader.reduced != 0 { echoesCongestion = ip.congestionBits == 3 }
    let first = WireSequence.unwrap(header.sequence &- remoteInitial &- 1, near: received)
    if first <= acknowledged { recentTimestamp = max(recentTimestamp, header.timestamp) }
    take(first, first + UInt64(count), at: now)
  }

  private func take(_ start: UInt64, _ end: UInt64, at now: Instant) {
    let before = received
    if end <= received || island(at: start).map({ end <= islands[$0].end }) ?? false {
      duplicateCount += 1
      duplicate = (start, end)
      owesAcknowledgement = true
      return
    }
    if start <= received {
      received = end
      let filled = islands.firstIndex { $0.start > received } ?? islands.count
      // Only the first can touch: the others are apart from it.
      if filled > 0 {
        received = max(received, islands[filled - 1].end)
        islands.removeSubrange(0..<filled)
      }
      meter.add(Int(received - before), at: now)
      let isGapOpen = !islands.isEmpty || received > end
      if isGapOpen || quickLeft > 0 || received - acknowledged >= UInt64(2 * segmentByteCount) {
        quickLeft = max(0, quickLeft - 1)
        owesAcknowledgement = true
      } else if delayedAt == nil {
        delayedAt = now + Self.acknowledgementDelay
      }
    } else {
      outOfOrderCount += 1
      insert(start, end)
      owesAcknowledgement = true
    }
  }

  /// The first island that ends at or after `position`.
  private func firstIsland(endingFrom position: UInt64) -> Int {
    var low = 0
    var high = islands.count
    while low < high {
      let middle = (low + high) / 2
      if islands[middle].end < position { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The island that holds the byte at `position`.
  private func island(at position: UInt64) -> Int? {
    let index = firstIsland(endingFrom: position + 1)
    return index < islands.count && islands[index].start <= position ? index : nil
  }

  private func insert(_ start: UInt64, _ end: UInt64) {
    let first = firstIsland(endingFrom: start)
    var island = (start: start, end: end)
    var last = first
    while last < islands.count, islands[last].start <= end {
      island.start = min(island.start, islands[last].start)
      island.end = max(island.end, islands[last].end)
      last += 1
    }
    islands.replaceSubrange(first..<last, with: CollectionOfOne(island))
    newest.removeAll { island.start <= $0 && $0 < island.end }
    newest.insert(start, at: 0)
    if newest.count > 4 { newest.removeLast() }
  }

  func nextPacket(at now: Instant) -> Int? {
    var header = TCPHeader()
    header.window = window
    header.timestamp = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000)
    header.echoedTimestamp = recentTimestamp
    if let due = synAt, due <= now {
      synCount += 1
      synAt = now + .seconds(1 << min(6, synCount - 1))
      header.flags = TCPHeader.syn
      header.sequence = initialSequence
      return header.write(to: &writer, address, payloadByteCount: 0, congestionBits: 0)
    }
    guard owesAcknowledgement, let remoteInitial else { return nil }
    owesAcknowledgement = false
    delayedAt = nil
    if !isEstablished {
      header.flags = TCPHeader.syn | TCPHeader.ack
      header.sequence = initialSequence
      header.acknowledgement = remoteInitial &+ 1
      return header.write(to: &writer, address, payloadByteCount: 0, congestionBits: 0)
    }
    acknowledged = received
    header.flags = TCPHeader.ack | (echoesCongestion ? TCPHeader.echo : 0)
    header.sequence = initialSequence &+ 1
    header.acknowledgement = UInt32(truncatingIfNeeded: received) &+ remoteInitial &+ 1
    addBlocks(to: &header, remoteInitial &+ 1)
    return header.write(to: &writer, address, payloadByteCount: 0, congestionBits: 0)
  }

  private func addBlocks(to header: inout TCPHeader, _ base: UInt32) {
    if let duplicate {
      header.blocks.append(UInt32(truncatingIfNeeded: duplicate.start) &+ base, UInt32(truncatingIfNeeded: duplicate.end) &+ base)
      self.duplicate = nil
    }
    for position in newest where header.blocks.count < 3 {
      guard let index = island(at: position) else { continue }
      header.blocks.append(
        UInt32(truncatingIfNeeded: islands[index].start) &+ base, UInt32(truncatingIfNeeded: islands[index].end) &+ base)
    }
  }

  var nextDeadline: Instant? { SimulatedClockMinimum.of(delayedAt, synAt) }

  func advance(to now: Instant) {
    if let due = delayedAt, due <= now {
      delayedAt = nil
      owesAcknowledgement = true
    }
  }
}

enum SimulatedClockMinimum {
  static func of(_ a: Instant?, _ b: Instant?) -> Instant? {
    guard let a else { return b }
    guard let b else { return a }
    return min(a, b)
  }
}
