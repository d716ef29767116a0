public import CausewayBase
public import CausewayPaths

/// What status and metrics show of one peer, as one thread knows it. Counts since the start.
public struct PeerSnapshot: Sendable {
  public var id: PeerID
  public var kind: PeerKind
  public var endpoint: Route?
  public var lastHandshake: Instant?
  public var statistics: PeerStatistics
  public var paths: [PathReport] = []
  public var heldPackets: UInt64
  /// Waiting now.
  public var waitingPackets: Int
  public var latePackets: UInt64
  public var duplicatePackets: UInt64
  /// Given up: by the hold limit, by memory, or abandoned by the sender.
  public var missingPackets: UInt64
  /// Gaps that the sender abandoned.
  public var skippedPackets: UInt64
  /// Came again after they had been lost, in time.
  public var repairedPackets: UInt64
  /// Nanoseconds of all packets that were delivered.
  public var meanReorderDelay: UInt64
  public var maximumReorderDelay: UInt64
  /// Nanoseconds of the packets that had to wait, and how many; the longest of the last seconds.
  public var reorderDelaySum: UInt64
  public var releasedPackets: UInt64
  public var recentReorderDelay: UInt64
  public var queuedBytes: Int
  public var queueDelaySum: UInt64
  public var dequeuedPackets: UInt64
  /// Dropped by CoDel, for want of room, and because they grew old while no path was there.
  public var queueControlled: UInt64
  public var queueOverflowed: UInt64
  public var queueExpired: UInt64
  public var queueMarks: UInt64
}

public struct PathReport: Sendable {
  public var uplink: Int?
  /// Which of its opener's uplinks it belongs to: the same for that uplink's paths on every thread. nil: the handshake's path.
  public var line: Line?
  /// What the peer says that its direction carries, bits a second; 0: not told.
  public var remoteCapacity: UInt64
  public var route: Route?
  public var isValidated: Bool
  public var isFragmenting: Bool
  public var preference: Int
  /// Outer packet bytes that the path is known to carry.
  public var mtu: Int
  /// Of our direction, bytes a second: fixed for all threads, or this one's estimate. 0: what was sent says nothing about it.
  public var knownCapacity: UInt64
  public var sender: PathSnapshot
  public var statistics: PathStatistics
}

/// An uplink of this side or of the peer.
public struct Line: Hashable, Sendable, BitwiseCopyable {
  public var isOurs: Bool
  public var number: Int
}

extension BondEngine {
  /// - Parameter now: For figures of the last seconds.
  public func snapshot(at now: Instant = .distantFuture) -> [PeerSnapshot] { peerOrder.map { $0.snapshot(at: now) } }

  /// The tunnel's own drops by reason, without zeros.
  public var dropList: [(reason: DropReason, count: UInt64)] {
    DropReason.allCases.compactMap { drops[$0] == 0 ? nil : ($0, drops[$0]) }
  }
}

extension PeerLink {
  func snapshot(at now: Instant) -> PeerSnapshot {
    let counters = order.counters
    let queueCounters = queue.counters
    var snapshot = PeerSnapshot(
      id: id, kind: kind, endpoint: path(.handshake)?.route ?? handshakeRoute, lastHandshake: lastHandshake, statistics: statistics,
      heldPackets: counters.held, waitingPackets: order.heldCount, latePackets: counters.late, duplicatePackets: counters.duplicates,
      missingPackets: counters.gaveUp, skippedPackets: counters.skipped, repairedPackets: counters.repaired,
      meanReorderDelay: counters.meanDelay, maximumReorderDelay: counters.delayMaximum, reorderDelaySum: counters.delaySum,
      releasedPackets: counters.released, recentReorderDelay: counters.recentDelay.value(at: now), queuedBytes: queue.byteCount,
      queueDelaySum: queueCounters.sojournSum, dequeuedPackets: queueCounters.dequeued, queueControlled: queueCounters.controlled,
      queueOverflowed: queueCounters.overflowed, queueExpired: queueCounters.expired,
      queueMarks: queueCounters.marked)
    for path in paths where !(kind == .bond && path.id == .handshake && hasOpenedPath) {
      var sender = path.sender.snapshot
      var limit = path.datagramLimit
      if kind != .bond {
        // Nothing is asked of a stock peer: its path works while there are keys, and carries what it is given.
        limit = engine.configuration.innerMTU + TransportHeader.overhead
        if current != nil { sender.state = .normal }
      }
      snapshot.paths.append(
        PathReport(
          uplink: path.uplink,
          line: path.id == .handshake ? nil : Line(isOurs: isOwn(path.id), number: path.uplink ?? uplinkOfPeer(path.id)),
          remoteCapacity: path.remoteCapacity, route: path.route, isValidated: path.isValidated,
          isFragmenting: kind == .bond && path.isFragmenting(innerMTU: engine.configuration.innerMTU),
          preference: path.preference, mtu: limit + (path.route?.overheadByteCount ?? 28),
          knownCapacity: knownCapacity(path), sender: sender,
          statistics: path.statistics))
    }
    return snapshot
  }
}

extension BondPath {
  func isFragmenting(innerMTU: Int) -> Bool { datagramLimit < innerMTU + DataHeader.byteCount + TransportHeader.overhead }
}
