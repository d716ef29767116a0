package import CausewayPaths
import CausewayWire

/// What a side says of one of its paths: an entry of a PATHS frame.
/// ```
///  0               1               2               3               4
/// +---------------+---------------+---------------+---------------+---------------+---------------+
/// |     path      |     state     |  preference   |            weight             |
/// +---------------+---------------+---------------+---------------+---------------+---------------+
/// |                  rate limit, kbit/s                           |
/// +---------------------------------------------------------------+
/// ```
package struct PathAnnouncement: Equatable, Sendable {
  package static let byteCount = 1 + 1 + 1 + 2 + 4

  package enum State: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Known, not to be used yet.
    case open = 0
    case available = 1
    /// Only when no available one is alive.
    case backup = 2
    /// Send nothing more; the id may come back.
    case closing = 3
  }

  package var path: PathID
  package var state: State
  /// Lower is preferred.
  package var preference: UInt8
  /// 1...1000; 0: by learned capacity.
  package var weight: UInt16
  /// What the peer may send on it, in units of 1000 bit/s; 0: no limit.
  package var rateLimitKilobits: UInt32

  package static let weightLimit: UInt16 = 1000

  package init(path: PathID, state: State, preference: UInt8 = 0, weight: UInt16 = 0, rateLimitKilobits: UInt32 = 0) {
    self.path = path
    self.state = state
    self.preference = preference
    self.weight = weight
    self.rateLimitKilobits = rateLimitKilobits
  }

  fileprivate init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    guard Int(payload[offset]) < PathID.limit, let state = State(rawValue: payload[offset + 1]) else { throw .outOfRange }
    path = PathID(payload[offset])
    self.state = state
    preference = payload[offset + 2]
    weight = payload.littleEndian(at: offset + 3)
    rateLimitKilobits = payload.littleEndian(at: offset + 5)
    guard weight <= Self.weightLimit else { throw .outOfRange }
  }

  fileprivate func write(into out: inout OutputSpan<UInt8>) {
    out.append(path.rawValue)
    out.append(state.rawValue)
    out.append(preference)
    out.appendFrameInteger(min(weight, Self.weightLimit))
    out.appendFrameInteger(rateLimitKilobits)
  }
}

/// All paths of a side, repeated until the packet that carried it is acknowledged. The newest sequence wins (serial arithmetic).
/// ```
///  0               1                                               5
/// +---------------+-----------------------------------------------+---------------+
/// |     0xD3      |              sequence: 32                     |    entries    |   then each entry
/// +---------------+-----------------------------------------------+---------------+
/// ```
package struct PathList: Equatable, Sendable, BitwiseCopyable {
  package static let headByteCount = 1 + 4 + 1
  package static let entryLimit = PathID.limit

  package let sequence: UInt32
  package private(set) var remaining: Int
  private var offset: Int
  let end: Int

  init(_ payload: Span<UInt8>, at start: Int) throws(FrameError) {
    guard payload.count - start >= Self.headByteCount else { throw .truncated }
    sequence = payload.littleEndian(at: start + 1)
    remaining = Int(payload[start + 5])
    offset = start + Self.headByteCount
    guard remaining <= Self.entryLimit else { throw .outOfRange }
    end = offset + remaining * PathAnnouncement.byteCount
    for i in 0..<remaining { _ = try PathAnnouncement(payload, at: offset + i * PathAnnouncement.byteCount) }
  }

  /// The next entry, nil behind the last. `payload` is the one the frame was read from.
  package mutating func next(_ payload: Span<UInt8>) -> PathAnnouncement? {
    guard remaining > 0, let entry = try? PathAnnouncement(payload, at: offset) else { return nil }
    remaining -= 1
    offset += PathAnnouncement.byteCount
    return entry
  }

  @discardableResult package static func write(
    sequence: UInt32, _ entries: Span<PathAnnouncement>, into out: inout OutputSpan<UInt8>
  ) -> Int? {
    let byteCount = headByteCount + entries.count * PathAnnouncement.byteCount
    guard entries.count <= entryLimit, out.freeCapacity >= byteCount else { return nil }
    out.append(FrameKind.paths)
    out.appendFrameInteger(sequence)
    out.append(UInt8(entries.count))
    for i in entries.indices { entries[i].write(into: &out) }
    return byteCount
  }
}

/// "I set this path aside in my direction." The peer then suspects its own direction, resends what is in flight on it, and probes.
/// ```
/// +---------------+---------------+---------------+
/// |     0xD7      |     path      |    reason     |
/// +---------------+---------------+---------------+
/// ```
package struct Suspicion: Equatable, Sendable {
  package static let byteCount = 1 + 1 + 1

  /// For the log of the other side; an unknown one is as good as any.
  package struct Reason: RawRepresentable, Equatable, Sendable, BitwiseCopyable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let unacknowledged = Reason(rawValue: 1)
    package static let probesUnanswered = Reason(rawValue: 2)
    package static let interfaceDown = Reason(rawValue: 3)
    package static let sendFailed = Reason(rawValue: 4)
  }

  package var path: PathID
  package var reason: Reason

  package init(path: PathID, reason: Reason) {
    self.path = path
    self.reason = reason
  }

  init(_ payload: Span<UInt8>, at offset: Int) throws(FrameError) {
    guard payload.count - offset >= Self.byteCount else { throw .truncated }
    guard Int(payload[offset + 1]) < PathID.limit else { throw .outOfRange }
    path = PathID(payload[offset + 1])
    reason = Reason(rawValue: payload[offset + 2])
  }

  @discardableResult package func write(into out: inout OutputSpan<UInt8>) -> Int? {
    guard out.freeCapacity >= Self.byteCount else { return nil }
    out.append(FrameKind.suspect)
    out.append(path.rawValue)
    out.append(reason.rawValue)
    return Self.byteCount
  }
}
