import CausewayBase

@testable import CausewayTunnelCore

/// Frames as a peer writes them, byte by byte and without our writer.
enum Wire {
  static func integer<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(T.bitWidth - 8 - 8 * $0)) }
  }
  static func frame(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    [kind, flags] + integer(UInt16(payload.count)) + integer(stream) + payload
  }
  static func data(_ stream: UInt32, at offset: UInt64, _ bytes: [UInt8], end: Bool = false) -> [UInt8] {
    frame(1, flags: end ? 1 : 0, stream: stream, integer(offset) + bytes)
  }
  static func entry(_ stream: UInt32, _ received: UInt64, _ credit: UInt64) -> [UInt8] {
    integer(stream) + integer(received) + integer(credit)
  }
  static func acknowledge(_ stream: UInt32, received: UInt64, credit: UInt64) -> [UInt8] { frame(2, entry(stream, received, credit)) }
  static func reset(_ stream: UInt32, _ code: UInt16 = 1) -> [UInt8] { frame(3, stream: stream, integer(code)) }
  static func ping(_ echo: UInt64) -> [UInt8] { frame(4, integer(echo)) }
  static func pong(_ echo: UInt64) -> [UInt8] { frame(5, integer(echo)) }
  static func synchronize(highest: UInt32, _ entries: [UInt8] = []) -> [UInt8] { frame(7, flags: 1, stream: highest, entries) }
}

/// A frame as a peer reads it.
struct SentFrame: Equatable, CustomStringConvertible {
  var kind: UInt8
  var flags: UInt8
  var stream: UInt32
  var payload: [UInt8]

  var byteCount: Int { 8 + payload.count }
  /// Of a data frame.
  var offset: UInt64 { payload[0..<8].reduce(0) { $0 << 8 | UInt64($1) } }
  var dataByteCount: Int { payload.count - 8 }
  var entries: [AckEntry] {
    let bytes = payload
    return stride(from: 0, to: bytes.count, by: 20).map { AckEntry(bytes.span, at: $0) }
  }
  var description: String { "kind \(kind) flags \(flags) stream \(stream), \(payload.count) bytes" }
}

extension Session {
  /// Feeds whole bytes and returns what happened; everything must be used.
  func feed(_ bytes: [UInt8], at now: Instant = .ms(0)) throws(SessionError) -> [SessionEvent] {
    var events: [SessionEvent] = []
    let used = try receive(bytes.span, at: now, into: &events)
    precondition(used == bytes.count, "the fixture feeds whole frames")
    return events
  }

  /// One `produce` as frames; pings only if asked for.
  func sent(upTo target: Int = .max, at now: Instant = .ms(0), withPings: Bool = false) -> [SentFrame] {
    let out = ByteBuffer()
    produce(into: out, upTo: target, at: now)
    var frames: [SentFrame] = []
    while out.count > 0 {
      let header = (0..<8).map { out.bytes[$0] }
      let count = Int(header[2]) << 8 | Int(header[3])
      let payload = [UInt8](copying: out.bytes.extracting(8..<8 + count))
      let stream = header[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      frames.append(SentFrame(kind: header[0], flags: header[1], stream: stream, payload: payload))
      out.consume(8 + count)
    }
    return withPings ? frames : frames.filter { $0.kind != 4 }
  }

  func open(_ byteCount: Int, at now: Instant = .ms(0)) -> StreamID? { open([UInt8](repeating: 7, count: byteCount).span, at: now) }
  func write(_ id: StreamID, _ byteCount: Int, at now: Instant = .ms(0)) {
    append(id, [UInt8](repeating: 9, count: byteCount).span, at: now)
  }

  static func attached(_ role: SessionRole, _ change: (inout SessionLimits) -> Void = { _ in }) -> Session {
    var limits = SessionLimits()
    change(&limits)
    let session = Session(role: role, limits: limits, pool: ChunkPool(), at: .ms(0))
    session.attach(resumed: false, at: .ms(0))
    return session
  }
}

extension Instant {
  /// Milliseconds after one second, so that zero is nothing special.
  static func ms(_ milliseconds: Double) -> Instant { Instant(nanoseconds: 1_000_000_000 + UInt64(milliseconds * 1e6)) }
}

/// Carries everything between two sessions at one moment until both are silent.
func exchange(_ a: Session, _ b: Session, at now: Instant = .ms(0)) throws(SessionError) -> (a: [SessionEvent], b: [SessionEvent]) {
  var (atA, atB): ([SessionEvent], [SessionEvent]) = ([], [])
  let out = ByteBuffer()
  while a.hasOutput(at: now) || b.hasOutput(at: now) {
    a.produce(into: out, upTo: .max, at: now)
    _ = try b.receive(out.bytes, at: now, into: &atB)
    out.removeAll()
    b.produce(into: out, upTo: .max, at: now)
    _ = try a.receive(out.bytes, at: now, into: &atA)
    out.removeAll()
  }
  return (atA, atB)
}

extension [UInt8] {
  init(copying bytes: Span<UInt8>) {
    // SAFETY: copied within the call.
    self = unsafe bytes.withUnsafeBufferPointer { source in unsafe Array(source) }
  }

  mutating func append(_ bytes: Span<UInt8>) { append(contentsOf: [UInt8](copying: bytes)) }
}
