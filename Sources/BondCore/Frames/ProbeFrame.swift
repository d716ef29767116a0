import CausewayWire

/// Asks the other end of one path to answer: for its round trip, to prove an address by `challenge`, and, padded, for its MTU.
/// ```
///  0               1                               5
/// +---------------+-------------------------------+----------------------+-----------------------+
/// |     0xD1      |              id: 32           |  sent, microseconds: 64  |   challenge: 64   | padding
/// +---------------+-------------------------------+----------------------+-----------------------+
/// ```
package struct Probe: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 4 + 8 + 8

  package var id: UInt32
  /// Sender's clock; comes back unchanged.
  package var sentMicroseconds: UInt64
  package var challenge: UInt64

  package init(id: UInt32, sentMicroseconds: UInt64, challenge: UInt64) {
    self.id = id
    self.sentMicroseconds = sentMicroseconds
    self.challenge = challenge
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    id = payload.littleEndian(at: offset + 1)
    sentMicroseconds = payload.littleEndian(at: offset + 5)
    challenge = payload.littleEndian(at: offset + 13)
  }

  /// Writes the frame, then zeros until `out` holds `paddedByteCount` bytes in all (0: no padding).
  @discardableResult package func write(into out: inout OutputSpan<UInt8>, paddedByteCount: Int = 0) -> Int? {
    let before = out.count
    let padding = max(0, paddedByteCount - before - Self.byteCount)
    guard out.freeCapacity >= Self.byteCount + padding else { return nil }
    write(kind: FrameKind.probe, into: &out)
    for _ in 0..<padding { out.append(0) }
    return out.count - before
  }

  fileprivate func write(kind: UInt8, into out: inout OutputSpan<UInt8>) {
    out.append(kind)
    out.appendFrameInteger(id)
    out.appendFrameInteger(sentMicroseconds)
    out.appendFrameInteger(challenge)
  }
}

/// The answer, on the same path, never padded: all of the probe, when it came and how long its payload was.
/// ```
/// +---------------+-----------------------+---------------------------+------------------------+
/// |     0xD2      |  id, sent, challenge  | arrival, microseconds: 32 | received byte count: 16 |
/// +---------------+-----------------------+---------------------------+------------------------+
/// ```
package struct Echo: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = Probe.byteCount + 4 + 2

  package var probe: Probe
  /// Receiver's clock; wraps.
  package var arrivalMicroseconds: UInt32
  /// Bytes of the decrypted payload that held the probe.
  package var receivedByteCount: UInt16

  package init(of probe: Probe, arrivalMicroseconds: UInt32, receivedByteCount: Int) {
    self.probe = probe
    self.arrivalMicroseconds = arrivalMicroseconds
    self.receivedByteCount = UInt16(clamping: receivedByteCount)
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    probe = try Probe(payload, at: offset)
    arrivalMicroseconds = payload.littleEndian(at: offset + Probe.byteCount)
    receivedByteCount = payload.littleEndian(at: offset + Probe.byteCount + 4)
  }

  @discardableResult package func write(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    probe.write(kind: FrameKind.echo, into: &out)
    out.appendFrameInteger(arrivalMicroseconds)
    out.appendFrameInteger(receivedByteCount)
    return Self.byteCount
  }
}
