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
  public var latePackets: UInt64
  public var duplicatePackets: UInt64
  /// Given up: by the hold limit, by memory, or abandoned by the sender.
  public var missingPackets: UInt64
  /// Nanoseconds of packets that were delivered since the last snapshot.
  public var meanReorderDelay: UInt64
  public var maximumReorderDelay: UInt64
  public var queuedBytes: Int
  public var meanQueueDelay: UInt64
  /// Dropped by CoDel, for want of room, and because they grew old while no path was there.
  public var queueControlled: UInt64
  public var queueOverflowed: UInt64
  public var queueExpired: UInt64
  public var queueMarks: UInt64
}

public struct PathReport: Sendable {
  public var uplink: Int?
  public var route: Route?
  public var isValidated: Bool
  public var isFragmenting: Bool
  public var preference: Int
  /// Outer packet bytes that the path is known to carry.
  public var mtu: Int
  public var sender: PathSnapshot
  public var statistics: PathStatistics
}

extension BondEngine {
  public func snapshot() -> [PeerSnapshot] { peerOrder.map { $0.snapshot() } }

  /// The tunnel's own drops by reason, without zeros.
  public var dropList: [(reason: DropReason, count: UInt64)] {
    DropReason.allCases.compactMap { drops[$0] == 0 ? nil : ($0, drops[$0]) }
  }
}

extension PeerLink {
  func snapshot() -> PeerSnapshot {
    let counters = order.counters
    let queueCounters = queue.counters
    var snapshot = PeerSnapshot(
      id: id, kind: kind, endpoint: path(.handshake)?.route ?? handshakeRoute, lastHandshake: lastHandshake, statistics: statistics,
      heldPackets: counters.held, latePackets: counters.late, duplicatePackets: counters.duplicates, missingPackets: counters.gaveUp,
      meanReorderDelay: counters.meanDelay, maximumReorderDelay: counters.delayMaximum, queuedBytes: queue.byteCount,
      meanQueueDelay: queueCounters.meanSojourn, queueControlled: queueCounters.controlled,
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
          uplink: path.uplink, route: path.route, isValidated: path.isValidated,
          isFragmenting: kind == .bond && path.isFragmenting(innerMTU: engine.configuration.innerMTU),
          preference: path.preference, mtu: limit + (path.route?.overheadByteCount ?? 28), sender: sender,
          statistics: path.statistics))
    }
    return snapshot
  }
}

extension BondPath {
  func isFragmenting(innerMTU: Int) -> Bool { datagramLimit < innerMTU + DataHeader.byteCount + TransportHeader.overhead }
}
