package import CausewayPaths
import CausewayWire

/// What a receiver says of one path. Several follow one another in an ACK frame:
/// ```
///  0               1               2               3
/// +---------------+---------------+
/// |     0xD0      |    blocks     |   1...8, then each block:
/// +---+-----------+---------------+-------------------------------+
/// |key|   path    |    ranges     |   largest, low 16 bits        |
/// +---+-----------+---------------+-------------------------------+
/// |                   largest, high 32 bits                       |
/// +---------------------------------------------------------------+
/// |              arrival of the largest, microseconds             |
/// +-------------------------------+-------------------------------+
/// |   delay, units of 8 us        |   CE packets, low 16 bits
/// +-------------------------------+-------------------------------+
///     CE packets, high 16 bits    |   then for each of 1...32 ranges
/// +-------------------------------+-------------------------------+
/// |             gap               |            length             |
/// +-------------------------------+-------------------------------+
/// ```
/// Ranges go down from `largest`: skip `gap` counters that did not arrive, then `length` that did. The first gap is 0, others and all
/// lengths at least 1.
package struct AcknowledgementBlock: Equatable, Sendable {
  package static let headByteCount = 1 + 1 + 6 + 4 + 2 + 4
  package static let rangeByteCount = 2 + 2
  package static let rangeLimit = 32
  /// Counters have 48 bits here: 2^48 packets of 1400 bytes at 10 Gbit/s take ten years, keys three minutes.
  package static let counterLimit: UInt64 = 1 << 48
  package static let delayUnit: UInt64 = 8
  static let byteCountLimit = headByteCount + rangeLimit * rangeByteCount

  package var path: PathID
  /// Low two bits of whatever the engine numbers key pairs with: an acknowledgement of old counters must not count for new keys.
  package var keyTag: UInt8
  package var largest: UInt64
  /// Receiver's clock when `largest` came, in microseconds; wraps. Only differences mean anything.
  package var arrivalMicroseconds: UInt32
  /// From that arrival to the sending of this block, in microseconds, at most 524 280.
  package var delayMicroseconds: UInt32
  /// Packets that came marked CE on this path under these keys, in all; wraps.
  package var congestionCount: UInt32
  package var rangeCount: Int
  /// Where in the payload the ranges begin.
  var rangesOffset: Int

  /// Received counters from the largest down. The frame was checked as a whole when it was read.
  package func ranges(in payload: Span<UInt8>, _ body: (ClosedRange<UInt64>) -> Void) {
    var cursor = AcknowledgedRanges(self)
    while let range = cursor.next(payload) { body(range) }
  }

  static func read(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) -> AcknowledgementBlock {
    guard payload.count - offset >= headByteCount else { throw .truncated }
    let rangeCount = Int(payload[offset + 1])
    guard rangeCount >= 1, rangeCount <= rangeLimit else { throw .outOfRange }
    let block = AcknowledgementBlock(
      path: PathID(payload[offset] & 63), keyTag: payload[offset] >> 6,
      largest: UInt64(payload.littleEndian(at: offset + 2, as: UInt16.self))
        | UInt64(payload.littleEndian(at: offset + 4, as: UInt32.self)) << 16,
      arrivalMicroseconds: payload.littleEndian(at: offset + 8),
      delayMicroseconds: UInt32(payload.littleEndian(at: offset + 12, as: UInt16.self)) * UInt32(delayUnit),
      congestionCount: payload.littleEndian(at: offset + 14), rangeCount: rangeCount, rangesOffset: offset + headByteCount)
    guard payload.count - block.rangesOffset >= rangeCount * rangeByteCount else { throw .truncated }
    var below = block.largest + 1
    for i in 0..<rangeCount {
      let gap = UInt64(payload.littleEndian(at: block.rangesOffset + i * rangeByteCount, as: UInt16.self))
      let length = UInt64(payload.littleEndian(at: block.rangesOffset + i * rangeByteCount + 2, as: UInt16.self))
      guard (gap == 0) == (i == 0), length > 0, gap + length <= below else { throw .outOfRange }
      below -= gap + length
    }
    return block
  }

  var byteCount: Int { Self.headByteCount + rangeCount * Self.rangeByteCount }

  package func writeHead(into out: inout OutputSpan<UInt8>) {
    out.append(path.rawValue | keyTag << 6)
    out.append(UInt8(truncatingIfNeeded: rangeCount))
    out.appendFrameInteger(largest, byteCount: 6)
    out.appendFrameInteger(arrivalMicroseconds)
    out.appendFrameInteger(UInt16(clamping: delayMicroseconds / UInt32(Self.delayUnit)))
    out.appendFrameInteger(congestionCount)
  }
}

/// A cursor over the ranges of a block that was read from the same payload.
package struct AcknowledgedRanges: BitwiseCopyable {
  private var offset: Int
  private var left: Int
  private var below: UInt64

  package init(_ block: AcknowledgementBlock) {
    offset = block.rangesOffset
    left = block.rangeCount
    below = block.largest &+ 1
  }

  @inline(__always) package mutating func next(_ payload: Span<UInt8>) -> ClosedRange<UInt64>? {
    guard left > 0 else { return nil }
    let gap = UInt64(payload.littleEndian(at: offset, as: UInt16.self))
    let length = UInt64(payload.littleEndian(at: offset &+ 2, as: UInt16.self))
    // The frame was checked when it was read; another payload than that one yields an early end here, not a trap.
    guard length > 0, gap &+ length <= below else { return nil }
    let upper = below &- gap &- 1
    below = upper &- length &+ 1
    offset &+= AcknowledgementBlock.rangeByteCount
    left &-= 1
    return below...upper
  }
}

/// The blocks of an ACK frame.
package struct AcknowledgementList: Equatable, Sendable, BitwiseCopyable {
  package static let headByteCount = 1 + 1
  package static let blockLimit = 8

  package private(set) var remaining: Int
  private var offset: Int
  let end: Int

  init(_ payload: Span<UInt8>, at start: Int) throws(FrameError) {
    guard payload.count - start >= Self.headByteCount else { throw .truncated }
    remaining = Int(payload[start + 1])
    offset = start + Self.headByteCount
    guard remaining >= 1, remaining <= Self.blockLimit else { throw .outOfRange }
    var at = offset
    for _ in 0..<remaining { at += try AcknowledgementBlock.read(payload, at: at).byteCount }
    end = at
  }

  /// The next block, nil behind the last. `payload` is the one the frame was read from.
  package mutating func next(_ payload: Span<UInt8>) -> AcknowledgementBlock? {
    guard remaining > 0, let block = try? AcknowledgementBlock.read(payload, at: offset) else { return nil }
    remaining -= 1
    offset += block.byteCount
    return block
  }
}

/// Begins an ACK frame; the blocks of `AckTracker.writeBlock` follow. The caller knows how many.
package enum AcknowledgementWriter {
  @discardableResult package static func begin(blockCount: Int, into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= AcknowledgementList.headByteCount, blockCount >= 1, blockCount <= AcknowledgementList.blockLimit else {
      return nil
    }
    out.append(FrameKind.acknowledgement)
    out.append(UInt8(blockCount))
    return AcknowledgementList.headByteCount
  }
}
