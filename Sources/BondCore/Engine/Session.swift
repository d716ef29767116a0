import CausewayBase
import CausewayPaths

/// One key pair of one peer as this thread uses it, with what came in under it and waits to be acknowledged.
///
/// Counters start at 0 with each key pair, so acknowledgements travel under the keys of the packets they speak of: a counter then can't be
/// taken for the same one under other keys.
final class Session {
  let keys: TransportKeys
  unowned let peer: PeerLink
  /// Counts this peer's key pairs.
  let epoch: UInt32
  /// Paths whose datagrams this thread opens, by id.
  var ownedPaths: UInt64 = .max
  private var trackers: [AckTracker?]
  /// Paths with packets that want to be acknowledged.
  private var pendingPaths: UInt64 = 0
  var establishedAt = Instant.zero
  /// When the newest packet under these keys came.
  var receivedAt = Instant.zero
  /// When the next acknowledgement is due.
  var acknowledgementDue = Instant.distantFuture

  init(keys: TransportKeys, peer: PeerLink, epoch: UInt32) {
    self.keys = keys
    self.peer = peer
    self.epoch = epoch
    trackers = Array(repeating: nil, count: PathID.limit)
  }

  /// Encrypts `count` bytes to `target`, with the transport header in front, and returns the counter used.
  @discardableResult @inline(__always) func seal(
    _ path: PathID, _ source: UnsafeMutablePointer<UInt8>, _ count: Int, to target: UnsafeMutablePointer<UInt8>
  ) -> UInt64 {
    // SAFETY: the caller's buffers. `isUsable` was asked at the start of the run; 2^64 counters do not end within one.
    unsafe keys.seal(on: path, from: source, count: count, to: target) ?? 0
  }

  // MARK: Acknowledgements

  /// Whether frames came in under these keys: only a peer that knows what we are sends any but HELLO.
  var hasRecorded: Bool { trackers.contains { $0 != nil } }

  @inline(__always) func record(
    _ path: PathID, _ counter: UInt64, wantsAcknowledgement: Bool, isCongested: Bool, arrivedAt arrival: Instant, at now: Instant
  ) {
    let index = Int(path.rawValue)
    if trackers[index] == nil { trackers[index] = AckTracker() }
    trackers[index]!.record(counter, wantsAcknowledgement: wantsAcknowledgement, isCongested: isCongested, arrivedAt: arrival, at: now)
    guard wantsAcknowledgement else { return }
    pendingPaths |= 1 &<< UInt64(index)
    let due = trackers[index]!.dueTime
    if due < acknowledgementDue { acknowledgementDue = due }
  }

  /// Paths to speak of when an acknowledgement goes now: those that are due and, for the same price, those that wait.
  func pendingTrackers(at now: Instant, limit: Int) -> UInt64 {
    var mask = pendingPaths
    var chosen: UInt64 = 0
    var count = 0
    while mask != 0, count < limit {
      chosen |= mask & (~mask &+ 1)
      mask &= mask - 1
      count += 1
    }
    return chosen
  }

  /// - Returns: Whether a block was written.
  func writeBlock(_ path: PathID, into out: inout OutputSpan<UInt8>, at now: Instant) -> Bool {
    let index = Int(path.rawValue)
    guard out.freeCapacity >= AcknowledgementBlock.headByteCount + AcknowledgementBlock.rangeByteCount else { return false }
    // A path whose counters are all beyond what an acknowledgement can name has nothing to say, now or later.
    pendingPaths &= ~(1 &<< UInt64(index))
    return trackers[index]?.writeBlock(path: path, into: &out, at: now) != nil
  }

  func updateAcknowledgementDue() {
    acknowledgementDue = .distantFuture
    var mask = pendingPaths
    while mask != 0 {
      let index = mask.trailingZeroBitCount
      mask &= mask - 1
      if let due = trackers[index]?.dueTime, due < acknowledgementDue { acknowledgementDue = due }
    }
  }

  /// Round trips set how long an acknowledgement may wait.
  func update(roundTrip: UInt64, of path: PathID) { trackers[Int(path.rawValue)]?.update(roundTrip: roundTrip) }
}

/// Receiver indices of this device: the low six bits are the path.
struct SessionTable {
  private var sessions: [UInt32: Session] = [:]
  private var lastIndex: UInt32 = 0
  private var last: Session?

  @inline(__always) mutating func session(for index: UInt32) -> Session? {
    if index == lastIndex, let last { return last }
    guard let found = sessions[index] else { return nil }
    lastIndex = index
    last = found
    return found
  }

  mutating func insert(_ session: Session) {
    sessions[session.keys.localIndex] = session
    last = nil
  }

  mutating func remove(_ session: Session) {
    sessions[session.keys.localIndex] = nil
    last = nil
  }

  var count: Int { sessions.count }
}
