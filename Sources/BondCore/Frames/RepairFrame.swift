import CausewayWire

/// Parity over a group of packets: see RepairEncoder. Reaches over `byteCount` of parity; then padding.
/// ```
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |     0xD6      |    parity     |       parity byte count       |
/// +---------------+---------------+-------------------------------+
/// |                  first sequence of the group                  |
/// +---------------------------------------------------------------+
/// |    members: bit i stands for first + i; bit 0 is set: 64      |
/// |                                                               |
/// +---------------------------------------------------------------+
/// |  parity
/// ```
package struct RepairHeader: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 2 + 4 + 8
  /// Parities of a group. Three rows of powers of 1, 2 and 4 in GF(256) are the most for which every choice of packets can be solved.
  package static let parityLimit = 3
  /// A member is its length, the first four bytes of its DATA header, and its packet.
  package static let prefixByteCount = 2 + 4

  /// Which parity of the group, 0..<3.
  package var parity: Int
  package var parityByteCount: Int
  package var first: UInt32
  package var members: UInt64

  package init(parity: Int, parityByteCount: Int, first: UInt32, members: UInt64) {
    self.parity = parity
    self.parityByteCount = parityByteCount
    self.first = first
    self.members = members
  }

  package var memberCount: Int { members.nonzeroBitCount }

  static func read(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) -> (header: RepairHeader, parity: Range<Int>) {
    guard payload.count - offset >= byteCount else { throw .truncated }
    let header = RepairHeader(
      parity: Int(payload[offset + 1]), parityByteCount: Int(payload.littleEndian(at: offset + 2, as: UInt16.self)),
      first: payload.littleEndian(at: offset + 4), members: payload.littleEndian(at: offset + 8))
    guard header.parity < parityLimit, header.members & 1 == 1, header.parityByteCount > prefixByteCount else { throw .outOfRange }
    let start = offset + byteCount
    guard payload.count - start >= header.parityByteCount else { throw .truncated }
    return (header, start..<start + header.parityByteCount)
  }

  /// Writes the header; the caller appends `parityByteCount` bytes, for which there is room when this isn't nil.
  func writeHead(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount + parityByteCount else { return nil }
    out.append(FrameKind.repair)
    out.append(UInt8(truncatingIfNeeded: parity))
    out.appendFrameInteger(UInt16(truncatingIfNeeded: parityByteCount))
    out.appendFrameInteger(first)
    out.appendFrameInteger(members)
    return Self.byteCount
  }
}
