import CausewayWire

/// The sender gives up on a bucket's packets up to and with `sequence`: nobody need wait for them (as RFC 3758's FORWARD TSN).
/// ```
/// +---------------+---------------+-------------------------------+
/// |     0xD4      |    bucket     |         sequence: 32          |
/// +---------------+---------------+-------------------------------+
/// ```
package struct Skip: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 4

  package var bucket: UInt8
  package var sequence: UInt32

  package init(bucket: UInt8, sequence: UInt32) {
    self.bucket = bucket
    self.sequence = sequence
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    bucket = payload[offset + 1]
    sequence = payload.littleEndian(at: offset + 2)
  }

  @discardableResult package func write(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    out.append(FrameKind.skip)
    out.append(bucket)
    out.appendFrameInteger(sequence)
    return Self.byteCount
  }
}

/// What a sender, who knows its paths, asks of the receiver. The receiver keeps its own limits beside it.
/// ```
///  0               1               2               3
/// +---------------+---------------+-------------------------------+
/// |     0xD5      |     flags     | greatest ack delay, us: 16    |
/// +---------------+---------------+-------------------------------+
/// |                 hold limit, microseconds                      |
/// +---------------------------------------------------------------+
/// |             memory for packets held, bytes                    |
/// +---------------------------------------------------------------+
/// ```
package struct OrderParameters: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 1 + 2 + 4 + 4

  package struct Flags: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// REPAIR frames will come: keep copies of what arrives.
    package static let repairsFollow = Flags(rawValue: 1)
  }

  package var flags: Flags
  /// 0: no wish.
  package var acknowledgementDelayMicroseconds: UInt16
  package var holdLimitMicroseconds: UInt32
  package var memoryByteCount: UInt32

  package init(
    flags: Flags = [], acknowledgementDelayMicroseconds: UInt16 = 0, holdLimitMicroseconds: UInt32, memoryByteCount: UInt32
  ) {
    self.flags = flags
    self.acknowledgementDelayMicroseconds = acknowledgementDelayMicroseconds
    self.holdLimitMicroseconds = holdLimitMicroseconds
    self.memoryByteCount = memoryByteCount
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    flags = Flags(rawValue: payload[offset + 1])
    acknowledgementDelayMicroseconds = payload.littleEndian(at: offset + 2)
    holdLimitMicroseconds = payload.littleEndian(at: offset + 4)
    memoryByteCount = payload.littleEndian(at: offset + 8)
  }

  @discardableResult package func write(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    out.append(FrameKind.parameters)
    out.append(flags.rawValue)
    out.appendFrameInteger(acknowledgementDelayMicroseconds)
    out.appendFrameInteger(holdLimitMicroseconds)
    out.appendFrameInteger(memoryByteCount)
    return Self.byteCount
  }
}
