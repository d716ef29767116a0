import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayLinuxIO
import CausewayPaths
import CausewaySupport
import CausewayWire
import Glibc

/// Makes a status of what the packet threads tell.
struct StatusAssembly {
  let configuration: WorkerConfiguration
  let peerIDs: [PeerKey: PeerID]
  let uplinks: [PeerID: [UplinkPlace]]
  let intervals: IntervalTable
  let startedAt: Instant
  let now: Instant

  func status(_ parts: [ThreadSnapshot], udpPort: UInt16) -> BondStatus {
    var status = BondStatus()
    status.name = configuration.name
    status.processID = getpid()
    status.version = Version.number
    status.uptimeSeconds = Double(now.nanoseconds(since: startedAt)) / 1e9
    if let key = configuration.privateKey { status.publicKey = PublicKey(of: key).description }
    status.listenPort = udpPort
    status.listenTCPPort = configuration.listenTCPPort
    status.scheduler = configuration.scheduler.rawValue
    status.mtu = configuration.mtu
    status.threads = configuration.queueCount
    status.peers = configuration.peers.compactMap { peer in
      peerIDs[peer.publicKey].map { id in self.peer(peer, id, parts.compactMap { $0.peers.first { $0.id == id } }) }
    }
    var drops: [String: UInt64] = [:]
    for part in parts {
      for (reason, count) in part.drops { drops["\(reason)", default: 0] += count }
      for peer in part.peers {
        drops["queueControlled", default: 0] += peer.queueControlled
        drops["queueOverflowed", default: 0] += peer.queueOverflowed
        drops["queueExpired", default: 0] += peer.queueExpired
      }
      drops["socketBuffer", default: 0] += part.socketDrops
      drops["sendFailed", default: 0] += part.sendFailures
      drops["device", default: 0] += part.deviceDrops
      drops["handOver", default: 0] += part.shards.handOverDrops
      drops["streamViolation", default: 0] += part.streams.violations
      drops["streamEvicted", default: 0] += part.streams.evictions
      drops["streamRefused", default: 0] += part.streams.refusals
      drops["streamFull", default: 0] += part.streams.droppedDatagrams
    }
    status.drops = drops.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { NamedCount($0.key, $0.value) }
    return status
  }

  private func peer(_ configured: BondConfiguration.Peer, _ id: PeerID, _ parts: [PeerSnapshot]) -> PeerStatus {
    var status = PeerStatus()
    status.publicKey = configured.publicKey.description
    status.hasPresharedKey = configured.presharedKey != nil
    status.allowedIPs = configured.allowedIPs.map(\.description)
    for part in parts {
      switch part.kind {
      case .unknown: break
      case .stock: status.kind = .stock
      case .bond: status.kind = .causeway
      }
      if let route = part.endpoint { status.endpoint = "\(SocketAddress(route.remote))" }
      status.add(PeerStatus(part, at: now))
      status.bond.add(BondSums(part))
    }
    (status.bond.rateUp, status.bond.rateDown) = intervals.rates(
      key(id, .peer), sent: status.sentByteCount, received: status.receivedByteCount, at: now)
    status.bond.reorderDelayMeanMilliseconds =
      intervals.mean(
        key(id, .reorderDelay), sum: sum(parts, \.reorderDelaySum), count: sum(parts, \.releasedPackets), at: now) / 1e6
    status.bond.queueDelayMilliseconds =
      intervals.mean(key(id, .queueDelay), sum: sum(parts, \.queueDelaySum), count: sum(parts, \.dequeuedPackets), at: now) / 1e6
    status.paths = paths(parts.flatMap(\.paths), id)
    return status
  }

  private func key(_ peer: PeerID, _ subject: IntervalTable.Key.Subject) -> IntervalTable.Key {
    IntervalTable.Key(peer: peer, subject: subject)
  }

  private func sum(_ parts: [PeerSnapshot], _ count: (PeerSnapshot) -> UInt64) -> UInt64 { parts.reduce(0) { $0 &+ count($1) } }

  // MARK: Paths

  /// One row for each uplink, of whatever thread; the handshake's path has its own.
  func paths(_ reports: [PathReport], _ id: PeerID) -> [PathStatus] {
    var groups: [PathGroup] = []
    for report in reports {
      let rates = intervals.rates(
        key(id, .path(report.sender.id)), sent: report.statistics.sentBytes, received: report.statistics.receivedBytes, at: now)
      if let known = groups.firstIndex(where: { $0.line == report.line }) {
        groups[known].add(report, rates)
      } else {
        groups.append(PathGroup(report, rates))
      }
    }
    var rows = groups.map { $0.status(describe($0, id)) }
    let total = rows.reduce(0) { $0 + $1.rateUp }
    if total > 0 { for index in rows.indices { rows[index].share = rows[index].rateUp / total } }
    return rows
  }

  /// Where it goes, and what its owner calls it.
  private func describe(_ group: PathGroup, _ id: PeerID) -> PathStatus {
    var status = PathStatus()
    if let uplink = group.uplink, let places = uplinks[id], uplink < places.count {
      let path = places[uplink].path
      status.name = path.name
      status.transport = path.transport.rawValue
      switch path.binding {
      case .any: break
      case .device(let name): status.via = name
      case .source(let address): status.via = address.description
      }
    } else if let route = group.route {
      status.transport = route.isStream ? "tcp" : "udp"
    }
    if let route = group.route {
      status.remote = "\(SocketAddress(route.remote))"
      if !route.local.isUnspecified { status.local = "\(SocketAddress(route.local))" }
    }
    return status
  }
}

extension PeerStatus {
  /// The figures of one packet thread.
  init(_ part: PeerSnapshot, at now: Instant) {
    self.init()
    secondsSinceHandshake = part.lastHandshake.map { Double(now.nanoseconds(since: $0)) / 1e9 }
    receivedByteCount = part.statistics.receivedBytes
    sentByteCount = part.statistics.sentBytes
    receivedPacketCount = part.statistics.receivedPackets
    sentPacketCount = part.statistics.sentPackets
  }
}

extension BondSums {
  /// The figures of one packet thread, but for rates and means.
  init(_ part: PeerSnapshot) {
    self.init()
    reorderDelayMaximumMilliseconds = Double(part.recentReorderDelay) / 1e6
    heldPacketCount = UInt64(max(0, part.waitingPackets))
    latePacketCount = part.latePackets
    duplicatePacketCount = part.duplicatePackets
    lostPacketCount = part.missingPackets &+ part.skippedPackets
    repairedPacketCount = part.repairedPackets &+ part.statistics.parityRepaired
    resentPacketCount = part.statistics.resentPackets
    copiesSentPacketCount = part.statistics.copiesSent
    paritySentPacketCount = part.statistics.paritySent
    parityRepairedPacketCount = part.statistics.parityRepaired
    queuedByteCount = UInt64(max(0, part.queuedBytes))
    queueDroppedPacketCount = part.queueControlled &+ part.queueOverflowed &+ part.queueExpired
    queueMarkedPacketCount = part.queueMarks
  }
}

extension IPAddress {
  init(_ address: DatagramAddress) {
    switch address.family {
    case .ipv4: self.init(ipv4: UInt32(truncatingIfNeeded: address.low))
    case .ipv6: self.init(ipv6High: address.high, low: address.low)
    }
  }
}
