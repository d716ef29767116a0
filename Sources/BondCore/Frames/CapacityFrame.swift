package import CausewayPaths
import CausewayWire

/// What a side thinks that one path carries in its own direction: an entry of a CAPACITY frame.
package struct CapacityEntry: Equatable, Sendable, BitwiseCopyable {
  package static let byteCount = 1 + 4

  package var path: PathID
  /// In units of 1000 bit/s; 0: not known.
  package var kilobits: UInt32

  package init(path: PathID, kilobits: UInt32) {
    self.path = path
    self.kilobits = kilobits
  }
}

/// Capacities of the sender's direction, for the other end's status: nothing is decided by them. Nobody acknowledges it; the next one says
/// what is new. Only for peers whose HELLO has `Hello.Features.capacity`.
/// ```
/// +---------------+---------------+---------------+-------------------------------+
/// |     0xD8      |  entries: 8   |     path      |         kbit/s: 32            |   path and rate for each
/// +---------------+---------------+---------------+-------------------------------+
/// ```
package struct CapacityList: Equatable, Sendable, BitwiseCopyable {
  package static let headByteCount = 1 + 1
  package static let entryLimit = PathID.limit

  package private(set) var remaining: Int
  private var offset: Int
  let end: Int

  init(_ payload: Span<UInt8>, at start: Int) throws(FrameError) {
    guard payload.count - start >= Self.headByteCount else { throw .truncated }
    remaining = Int(payload[start + 1])
    offset = start + Self.headByteCount
    guard (1...Self.entryLimit).contains(remaining) else { throw .outOfRange }
    end = offset + remaining * CapacityEntry.byteCount
    guard end <= payload.count else { throw .truncated }
    for entry in 0..<remaining where Int(payload[offset + entry * CapacityEntry.byteCount]) >= PathID.limit { throw .outOfRange }
  }

  /// The next entry, nil behind the last. `payload` is the one the frame was read from.
  package mutating func next(_ payload: Span<UInt8>) -> CapacityEntry? {
    guard remaining > 0, payload.count - offset >= CapacityEntry.byteCount, Int(payload[offset]) < PathID.limit else { return nil }
    defer {
      remaining -= 1
      offset += CapacityEntry.byteCount
    }
    return CapacityEntry(path: PathID(payload[offset]), kilobits: payload.littleEndian(at: offset + 1))
  }

  @discardableResult package static func write(_ entries: Span<CapacityEntry>, into out: inout OutputSpan<UInt8>) -> Int? {
    let byteCount = headByteCount + entries.count * CapacityEntry.byteCount
    guard (1...entryLimit).contains(entries.count), out.freeCapacity >= byteCount else { return nil }
    out.append(FrameKind.capacity)
    out.append(UInt8(entries.count))
    for index in entries.indices {
      out.append(entries[index].path.rawValue)
      out.appendFrameInteger(entries[index].kilobits)
    }
    return byteCount
  }
}
