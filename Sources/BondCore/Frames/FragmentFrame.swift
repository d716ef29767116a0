import CausewayWire

/// A piece of a DATA frame (its header and packet) for a path whose MTU it exceeds. Where a piece begins and how long it is follows from
/// `total`, `count` and `index`, so that pieces can neither overlap nor lie about their length.
/// ```
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |     0xC8      |  total: 14 bits          | index: 5 |count-1:5|
/// +---------------+---------------+-------------------------------+
/// |                           sequence                            |
/// +---------------------------------------------------------------+
/// |  piece
/// ```
/// The 24 bits are one little-endian integer: total | index << 14 | (count - 1) << 19.
package struct FragmentHeader: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 3 + 4
  /// 9000 bytes over a path of 576 bytes take 19.
  package static let countLimit = 32
  package static let totalLimit = 1 << 14 - 1
  /// Pieces but the last are multiples of this, WireGuard's padding.
  package static let granule = 16

  /// Bytes of the whole DATA frame.
  package let total: Int
  package let index: Int
  package let count: Int
  /// Of the DATA frame. All pieces of one copy go over one path.
  package let sequence: UInt32

  /// Nil when a piece would be empty or a field is out of range.
  package init?(total: Int, index: Int, count: Int, sequence: UInt32) {
    guard total > DataHeader.byteCount, total <= Self.totalLimit, count >= 2, count <= Self.countLimit, index >= 0, index < count,
      Self.pieceByteCount(total: total, count: count) * (count - 1) < total
    else { return nil }
    self.total = total
    self.index = index
    self.count = count
    self.sequence = sequence
  }

  /// Length of every piece but the last.
  static func pieceByteCount(total: Int, count: Int) -> Int { ((total + count - 1) / count + granule - 1) / granule * granule }

  /// Fewest pieces of at most `limit` bytes that make `total`, or nil when that is more than `countLimit`.
  package static func count(total: Int, pieceLimit limit: Int) -> Int? {
    let usable = limit / granule * granule
    guard usable > 0, total > 0, total <= totalLimit else { return nil }
    let count = max(2, (total + usable - 1) / usable)
    return count <= countLimit ? count : nil
  }

  /// The bytes of the DATA frame that this piece holds; never empty.
  package var range: Range<Int> {
    let size = Self.pieceByteCount(total: total, count: count)
    return index * size..<min(total, (index + 1) * size)
  }

  package static func read(_ payload: Span<UInt8>, at offset: Int = 0) throws(FrameError) -> (header: FragmentHeader, piece: Range<Int>) {
    guard payload.count - offset >= byteCount else { throw .truncated }
    let word = payload.littleEndian(at: offset, as: UInt32.self)
    guard UInt8(truncatingIfNeeded: word) == FrameKind.fragment else { throw .notAFrame }
    guard
      let header = FragmentHeader(
        total: Int(word >> 8 & 0x3FFF), index: Int(word >> 22 & 31), count: Int(word >> 27 & 31) + 1,
        sequence: payload.littleEndian(at: offset + 4))
    else { throw .outOfRange }
    let start = offset + byteCount
    guard payload.count - start >= header.range.count else { throw .truncated }
    return (header, start..<start + header.range.count)
  }

  /// Writes the header and, from the DATA frame it is a piece of, the piece.
  /// - Returns: bytes written, or nil when they don't fit or `frame` is not `total` long.
  @discardableResult package func write(of frame: Span<UInt8>, into out: inout OutputSpan<UInt8>) -> Int? {
    let range = self.range
    guard frame.count == total, out.freeCapacity >= Self.byteCount + range.count else { return nil }
    let word = UInt32(FrameKind.fragment) | UInt32(total) << 8 | UInt32(index) << 22 | UInt32(count - 1) << 27
    out.appendFrameInteger(word)
    out.appendFrameInteger(sequence)
    for i in range { out.append(frame[i]) }
    return Self.byteCount + range.count
  }
}
