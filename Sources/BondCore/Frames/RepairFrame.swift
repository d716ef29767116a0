import CausewayWire

/// Parity over a group of packets: see `RepairEncoder`. Reaches to the end of the payload; padding only adds zeros to it, which it may
/// have anyway. 1400 bytes of packet fit an IPv6 path of 1500: 48 + 32 + 14 + 6 + 1400.
/// ```
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |     0xD6      |    parity     |  first sequence, low 16 bits
/// +---------------+---------------+-------------------------------+
///      first sequence, high 16    |  members: bit i stands for
/// +-------------------------------+                               |
/// |  first + i, bit 0 is set: 64                                  |
/// +                               +-------------------------------+
/// |                               |  parity: 6 bytes of prefix, then as long as the longest packet
/// ```
package struct RepairHeader: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 4 + 8
  /// Parities of a group. Three rows of powers of 1, 2 and 4 in GF(256) are the most for which every choice of packets can be solved.
  package static let parityLimit = 3
  /// Sequences a group can span.
  package static let spanLimit = 64
  /// A member is its length, the first four bytes of its DATA header, and its packet.
  package static let prefixByteCount = 2 + 4
  /// The shortest IP packet there is.
  static let minimumParityByteCount = prefixByteCount + 20

  /// Which parity of the group, 0..<3.
  package var parity: Int
  package var first: UInt32
  package var members: UInt64

  package init(parity: Int, first: UInt32, members: UInt64) {
    self.parity = parity
    self.first = first
    self.members = members
  }

  package var memberCount: Int { members.nonzeroBitCount }

  static func read(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) -> (header: RepairHeader, parity: Range<Int>) {
    guard payload.count - offset >= byteCount + minimumParityByteCount else { throw .truncated }
    let header = RepairHeader(
      parity: Int(payload[offset + 1]), first: payload.littleEndian(at: offset + 2), members: payload.littleEndian(at: offset + 6))
    guard header.parity < parityLimit, header.members & 1 == 1 else { throw .outOfRange }
    return (header, offset + byteCount..<payload.count)
  }

  /// Writes the header; the parity follows. Nil when the two don't fit.
  package func writeHead(parityByteCount: Int, into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount + parityByteCount else { return nil }
    out.append(FrameKind.repair)
    out.append(UInt8(truncatingIfNeeded: parity))
    out.appendFrameInteger(first)
    out.appendFrameInteger(members)
    return Self.byteCount
  }
}
