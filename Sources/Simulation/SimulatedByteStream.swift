public import CausewayBase

/// One direction of a connection in virtual time: bytes arrive in order, late, and in pieces of random size. It holds a bounded number
/// of them, those that arrived and were not taken included: that is the back-pressure.
public struct SimulatedByteStream: ~Copyable {
  public let conditions: LinkConditions
  private var random: SeededRandom
  private let bytes = ByteBuffer()
  private var segments: [(byteCount: Int, arrival: UInt64)] = []
  private var firstSegment = 0
  private var busyUntil: UInt64 = 0
  private var lastArrival: UInt64 = 0

  public init(_ conditions: LinkConditions = LinkConditions(), seed: UInt64) {
    self.conditions = conditions
    random = SeededRandom(seed: seed)
  }

  /// Sent and not yet taken.
  public var inFlightByteCount: Int { bytes.count }
  /// What `send` would take.
  public var roomByteCount: Int { max(0, conditions.queueByteCount - bytes.count) }

  /// Takes a prefix of `source`.
  /// - Returns: its length, 0 when the stream is full.
  public mutating func send(_ source: Span<UInt8>, at now: Instant) -> Int {
    let accepted = min(source.count, roomByteCount)
    bytes.append(source.extracting(first: accepted))
    var left = accepted
    while left > 0 {
      let part = min(left, Int.random(in: conditions.segmentByteCount, using: &random))
      busyUntil = conditions.departure(of: part, from: max(now.nanoseconds, busyUntil))
      let arrival = busyUntil + UInt64(conditions.delay.wholeNanoseconds) + random.duration(upTo: conditions.jitter)
      lastArrival = max(lastArrival, arrival)
      segments.append((part, lastArrival))
      left -= part
    }
    return accepted
  }

  /// When the next piece arrives; nil when none is under way.
  public var nextArrival: Instant? { firstSegment < segments.count ? Instant(nanoseconds: segments[firstSegment].arrival) : nil }

  /// Appends the next piece that has arrived by `now` to `buffer`, at most `limit` bytes of it.
  /// - Returns: its length, 0 when nothing has arrived.
  public mutating func receive(into buffer: ByteBuffer, atMost limit: Int = .max, at now: Instant) -> Int {
    guard let arrival = nextArrival, arrival <= now else { return 0 }
    let part = min(limit, segments[firstSegment].byteCount)
    let held = bytes
    buffer.append(held.bytes.extracting(first: part))
    bytes.consume(part)
    segments[firstSegment].byteCount -= part
    if segments[firstSegment].byteCount == 0 { firstSegment += 1 }
    if firstSegment == segments.count {
      segments.removeAll(keepingCapacity: true)
      firstSegment = 0
    }
    return part
  }

  /// Loses everything under way.
  public mutating func removeAll() {
    bytes.removeAll()
    segments.removeAll()
    firstSegment = 0
  }
}
