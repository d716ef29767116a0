import CausewayWire

package struct DataFlags: OptionSet, Sendable, BitwiseCopyable {
  package let rawValue: UInt8
  @inline(__always) package init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Sent before, or sent on several paths: the receiver expects duplicates.
  package static let copy = DataFlags(rawValue: 1)
  /// Outside the order: delivered at once, and nothing waits for it or names it as its previous packet.
  package static let unordered = DataFlags(rawValue: 2)
  /// The transport checksum holds the sum of the pseudo header only; whoever writes the packet to a TUN device completes it or says so.
  package static let checksumPartial = DataFlags(rawValue: 4)
  static let all = DataFlags(rawValue: 7)
}

/// What stands before each inner packet. With an inner MTU of 1400, 8 + 1400 bytes are a multiple of the cipher's 64.
/// ```
///  0               1               2               3
/// +-+-+-+-+-+-----+---------------+-------------------------------+
/// |1 1 0 0 0|flags|    bucket     |           previous            |
/// +-+-+-+-+-+-----+---------------+-------------------------------+
/// |                           sequence                            |
/// +---------------------------------------------------------------+
/// |  IP packet, ended by its own total length; then padding
/// ```
package struct DataHeader: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 2 + 4

  package var flags: DataFlags
  /// The low byte of the flow's hash: what the receiver keeps in order.
  package var bucket: UInt8
  /// How far back the bucket's previous packet is in `sequence`; 0: wait for nothing.
  package var previous: UInt16
  /// Number of the inner packet, the same for all its copies. One space for each direction and thread; begins at 1 and wraps.
  package var sequence: UInt32

  @inline(__always) package init(flags: DataFlags = [], bucket: UInt8, previous: UInt16, sequence: UInt32) {
    self.flags = flags
    self.bucket = bucket
    self.previous = previous
    self.sequence = sequence
  }

  /// The eight bytes as one little-endian integer, for a single store.
  @inline(__always) package var word: UInt64 {
    UInt64(FrameKind.data | flags.rawValue & DataFlags.all.rawValue) | UInt64(bucket) &<< 8 | UInt64(previous) &<< 16
      | UInt64(sequence) &<< 32
  }

  /// From the integer `word` gives; nil when its first byte is no DATA frame's.
  @inline(__always) package init?(word: UInt64) {
    guard word & 0xF8 == UInt64(FrameKind.data) else { return nil }
    flags = DataFlags(rawValue: UInt8(truncatingIfNeeded: word & 7))
    bucket = UInt8(truncatingIfNeeded: word &>> 8)
    previous = UInt16(truncatingIfNeeded: word &>> 16)
    sequence = UInt32(truncatingIfNeeded: word &>> 32)
  }

  /// The frame at `offset` and where its IP packet lies. The way of nearly every payload: no detour over `FrameReader`.
  @inline(__always) package static func read(
    _ payload: Span<UInt8>, at offset: Int = 0
  ) throws(FrameError) -> (header: DataHeader, packet: Range<Int>) {
    guard offset >= 0, payload.count &- offset >= byteCount else { throw .truncated }
    guard let header = DataHeader(word: payload.littleEndian(at: offset)) else { throw .notAFrame }
    let start = offset &+ byteCount
    guard let length = InnerPacket.byteCount(payload, at: start) else { throw .badPacket }
    return (header, start..<start &+ length)
  }

  /// Writes the header at `offset`.
  /// - Returns: bytes written, or nil when they don't fit.
  @inline(__always) @discardableResult package func write(into bytes: inout MutableSpan<UInt8>, at offset: Int) -> Int? {
    guard offset >= 0, bytes.count &- offset >= Self.byteCount else { return nil }
    // SAFETY: a byte has no invalid values; `storeBytes` checks the bounds itself.
    var raw = unsafe bytes.mutableBytes
    raw.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
    return Self.byteCount
  }

  @discardableResult package func write(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    out.appendFrameInteger(word)
    return Self.byteCount
  }
}

/// The length an inner packet gives itself.
package enum InnerPacket {
  /// Total length of the IPv4 or IPv6 packet at `offset`, or nil when there is none, when it is shorter than its header, or longer than
  /// what is there (whitepaper §5.4.6: cut by the length field, drop what lies).
  @inline(__always) package static func byteCount(_ bytes: Span<UInt8>, at offset: Int) -> Int? {
    let available = bytes.count &- offset
    guard offset >= 0, available >= 20 else { return nil }
    switch bytes[offset] &>> 4 {
    case 4:
      let headerByteCount = Int(bytes[offset] & 15) &* 4
      let length = Int(bytes.bigEndian(at: offset &+ 2, as: UInt16.self))
      return headerByteCount >= 20 && length >= headerByteCount && length <= available ? length : nil
    case 6:
      guard available >= 40 else { return nil }
      let length = Int(bytes.bigEndian(at: offset &+ 4, as: UInt16.self)) &+ 40
      return length <= available ? length : nil
    default: return nil
    }
  }
}
