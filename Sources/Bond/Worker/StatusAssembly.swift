import CausewayBase
import CausewayBondCore
import CausewayCrypto
import CausewayLinuxIO
import CausewayPaths
import CausewaySupport
import CausewayWire
import Glibc

/// Byte counts of the last request, so that a status can tell rates.
final class RateTable {
  struct Key: Hashable {
    var peer: PeerID
    var path: Int
  }
  struct Sample {
    var at: Instant
    var sent: UInt64
    var received: UInt64
    var rateUp = 0.0
    var rateDown = 0.0
  }
  /// Requests that follow each other faster get the rates of the one before.
  static let minimumInterval: UInt64 = 200_000_000
  private var samples: [Key: Sample] = [:]

  /// Bits a second since the sample before.
  func rates(_ key: Key, sent: UInt64, received: UInt64, at now: Instant) -> (up: Double, down: Double) {
    guard let old = samples[key] else {
      samples[key] = Sample(at: now, sent: sent, received: received)
      return (0, 0)
    }
    let elapsed = now.nanoseconds(since: old.at)
    guard elapsed >= Self.minimumInterval else { return (old.rateUp, old.rateDown) }
    let seconds = Double(elapsed) / 1e9
    let up = Double(sent &- min(sent, old.sent)) * 8 / seconds
    let down = Double(received &- min(received, old.received)) * 8 / seconds
    samples[key] = Sample(at: now, sent: sent, received: received, rateUp: up, rateDown: down)
    return (up, down)
  }
}

/// Makes a status of what the packet threads tell.
struct StatusAssembly {
  let configuration: WorkerConfiguration
  let peerIDs: [PeerKey: PeerID]
  let uplinks: [PeerID: [UplinkPlace]]
  let rates: RateTable
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
      peerIDs[peer.publicKey].map { self.peer(peer, $0, parts.flatMap { $0.peers }) }
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

  private func peer(_ configured: BondConfiguration.Peer, _ id: PeerID, _ all: [PeerSnapshot]) -> PeerStatus {
    var status = PeerStatus()
    status.publicKey = configured.publicKey.description
    status.hasPresharedKey = configured.presharedKey != nil
    status.allowedIPs = configured.allowedIPs.map(\.description)
    let parts = all.filter { $0.id == id }
    for part in parts {
      switch part.kind {
      case .unknown: break
      case .stock: status.kind = .stock
      case .bond: status.kind = .causeway
      }
      if let route = part.endpoint { status.endpoint = "\(SocketAddress(route.remote))" }
      if let handshake = part.lastHandshake { status.secondsSinceHandshake = Double(now.nanoseconds(since: handshake)) / 1e9 }
      status.receivedByteCount += part.statistics.receivedBytes
      status.sentByteCount += part.statistics.sentBytes
      status.receivedPacketCount += part.statistics.receivedPackets
      status.sentPacketCount += part.statistics.sentPackets
      status.bond.heldPacketCount += part.heldPackets
      status.bond.latePacketCount += part.latePackets
      status.bond.duplicatePacketCount += part.duplicatePackets
      status.bond.lostPacketCount += part.missingPackets
      status.bond.resentPacketCount += part.statistics.resentPackets
      status.bond.copiesSentPacketCount += part.statistics.copiesSent
      status.bond.paritySentPacketCount += part.statistics.paritySent
      status.bond.parityRepairedPacketCount += part.statistics.parityRepaired
      status.bond.queuedByteCount += UInt64(part.queuedBytes)
      status.bond.queueDroppedPacketCount += part.queueControlled + part.queueOverflowed + part.queueExpired
      status.bond.queueMarkedPacketCount += part.queueMarks
      status.bond.reorderDelayMeanMilliseconds = max(status.bond.reorderDelayMeanMilliseconds, Double(part.meanReorderDelay) / 1e6)
      status.bond.reorderDelayMaximumMilliseconds = max(status.bond.reorderDelayMaximumMilliseconds, Double(part.maximumReorderDelay) / 1e6)
      status.bond.queueDelayMilliseconds = max(status.bond.queueDelayMilliseconds, Double(part.meanQueueDelay) / 1e6)
      status.paths += part.paths.map { path($0, configured, id) }
    }
    let sums = rates.rates(
      RateTable.Key(peer: id, path: -1), sent: status.sentByteCount, received: status.receivedByteCount, at: now)
    (status.bond.rateUp, status.bond.rateDown) = sums
    let total = status.paths.reduce(0) { $0 + $1.rateUp }
    if total > 0 { for index in status.paths.indices { status.paths[index].share = status.paths[index].rateUp / total } }
    return status
  }

  private func path(_ report: PathReport, _ configured: BondConfiguration.Peer, _ id: PeerID) -> PathStatus {
    var status = PathStatus()
    status.id = report.sender.id.rawValue
    if let uplink = report.uplink, let places = uplinks[id], uplink < places.count {
      let path = places[uplink].path
      status.name = path.name
      status.transport = path.transport.rawValue
      switch path.binding {
      case .any: break
      case .device(let name): status.via = name
      case .source(let address): status.via = address.description
      }
    } else if let route = report.route {
      status.transport = route.isStream ? "tcp" : "udp"
    }
    if let route = report.route {
      status.remote = "\(SocketAddress(route.remote))"
      if !route.local.isUnspecified { status.local = "\(SocketAddress(route.local))" }
    }
    status.state = "\(report.sender.state)"
    status.isBackup = report.preference > 0
    if report.sender.smoothedRoundTrip > 0 {
      status.rttMilliseconds = Double(report.sender.smoothedRoundTrip) / 1e6
      status.jitterMilliseconds = Double(report.sender.jitter) / 1e6
    }
    status.loss = report.sender.loss
    status.capacityUp = Double(report.sender.capacity) * 8
    status.inFlightByteCount = UInt64(max(0, report.sender.inFlightByteCount))
    status.pathMTU = report.mtu
    status.isFragmenting = report.isFragmenting
    status.sentByteCount = report.statistics.sentBytes
    status.receivedByteCount = report.statistics.receivedBytes
    status.lostPacketCount = report.sender.lostPacketCount
    status.transitionCount = report.statistics.transitions
    (status.rateUp, status.rateDown) = rates.rates(
      RateTable.Key(peer: id, path: Int(status.id)), sent: status.sentByteCount, received: status.receivedByteCount, at: now)
    return status
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
