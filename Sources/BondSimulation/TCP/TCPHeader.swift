internal import CausewayBase
internal import CausewayWire

/// The TCP header as the flows use it: timestamps always (RFC 7323), SACK blocks where there are some (RFC 2018).
///
///      0               16              32
///     | source port    | destination   |
///     | sequence number                |
///     | acknowledgement number         |
///     | offset | flags | window        |
///     | checksum       | urgent        |
///     | NOP NOP timestamps 10 bytes    |
///     | NOP NOP SACK 2 + 8 n bytes     |
struct TCPHeader {
  static let fin: UInt8 = 1
  static let syn: UInt8 = 2
  static let ack: UInt8 = 16
  static let echo: UInt8 = 64  // ECE
  static let reduced: UInt8 = 128  // CWR

  /// Of a data packet: IP, TCP, timestamps.
  static let dataHeaderByteCount = 20 + 20 + 12
  static let longestHeaderByteCount = 20 + 60
  static let windowShift: UInt32 = 8

  var flags: UInt8 = 0
  var sequence: UInt32 = 0
  var acknowledgement: UInt32 = 0
  /// Scaled already.
  var window: UInt32 = 0
  var timestamp: UInt32 = 0
  var echoedTimestamp: UInt32 = 0
  /// The first may be a duplicate report (RFC 2883).
  var blocks = SACKBlocks()
  var headerByteCount = 0

  init() {}

  /// Nil when a length is wrong.
  init?(_ packet: Span<UInt8>) {
    let start = InnerHeader.byteCount
    guard packet.count >= start + 20 else { return nil }
    let length = Int(packet[start + 12] >> 4) * 4
    guard length >= 20, packet.count >= start + length else { return nil }
    headerByteCount = start + length
    sequence = packet.bigEndian(at: start + 4)
    acknowledgement = packet.bigEndian(at: start + 8)
    flags = packet[start + 13]
    window = UInt32(packet.bigEndian(at: start + 14, as: UInt16.self)) << Self.windowShift
    var offset = start + 20
    while offset < headerByteCount {
      let kind = packet[offset]
      if kind == 0 { break }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 1 < headerByteCount else { return nil }
      let count = Int(packet[offset + 1])
      guard count >= 2, offset + count <= headerByteCount else { return nil }
      if kind == 8 && count == 10 {
        timestamp = packet.bigEndian(at: offset + 2)
        echoedTimestamp = packet.bigEndian(at: offset + 6)
      } else if kind == 5 {
        for block in 0..<(count - 2) / 8 {
          blocks.append(packet.bigEndian(at: offset + 2 + 8 * block), packet.bigEndian(at: offset + 6 + 8 * block))
        }
      }
      offset += count
    }
  }

  /// Writes headers for `payloadByteCount` bytes of zeros behind them and returns the packet's length.
  func write(to writer: inout PacketWriter, _ address: FlowAddress, payloadByteCount: Int, congestionBits: UInt8) -> Int {
    let start = InnerHeader.byteCount
    var offset = start + 20
    writer.put(UInt16(0x0101), at: offset)
    writer.put(UInt16(0x080A), at: offset + 2)
    writer.put(timestamp, at: offset + 4)
    writer.put(echoedTimestamp, at: offset + 8)
    offset += 12
    if blocks.count > 0 {
      writer.put(UInt16(0x0101), at: offset)
      writer.put(UInt16(0x0500) | UInt16(2 + 8 * blocks.count), at: offset + 2)
      offset += 4
      for index in 0..<blocks.count {
        writer.put(blocks[index].start, at: offset)
        writer.put(blocks[index].end, at: offset + 4)
        offset += 8
      }
    }
    writer.put(address.port, at: start)
    writer.put(address.remotePort, at: start + 2)
    writer.put(sequence, at: start + 4)
    writer.put(acknowledgement, at: start + 8)
    writer.put(UInt8((offset - start) / 4) << 4, at: start + 12)
    writer.put(flags, at: start + 13)
    writer.put(UInt16(min(0xFFFF, window >> Self.windowShift)), at: start + 14)
    writer.put(UInt16(0), at: start + 18)
    writer.finish(offset + payloadByteCount, congestionBits: congestionBits, checksumAt: start + 16, summed: offset)
    return offset + payloadByteCount
  }
}

/// At most four ranges of sequence numbers, without a heap allocation.
struct SACKBlocks {
  private var storage: InlineArray<4, (start: UInt32, end: UInt32)> = .init(repeating: (0, 0))
  private(set) var count = 0

  subscript(index: Int) -> (start: UInt32, end: UInt32) { storage[index] }

  mutating func append(_ start: UInt32, _ end: UInt32) {
    if count == 4 { return }
    storage[count] = (start, end)
    count += 1
  }
}

/// Sequence numbers on the wire are the low 32 bits of 64-bit offsets.
enum WireSequence {
  /// The offset nearest to `reference` with these low bits.
  static func unwrap(_ value: UInt32, near reference: UInt64) -> UInt64 {
    let difference = Int64(Int32(bitPattern: value &- UInt32(truncatingIfNeeded: reference)))
    return UInt64(max(0, Int64(reference) + difference))
  }
}
