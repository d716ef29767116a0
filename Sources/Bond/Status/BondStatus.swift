package import CausewaySupport

/// What a running bond tells of itself, without secrets. Rates are bit/s of the last second, counts since the start.
package struct BondStatus: JSONRecord, Equatable, Sendable {
  package var name = ""
  package var processID: Int32 = 0
  package var version = ""
  package var uptimeSeconds = 0.0
  /// The interface's own, in base64.
  package var publicKey = ""
  package var listenPort: UInt16 = 0
  package var listenTCPPort: UInt16?
  package var scheduler = ""
  package var mtu = 0
  package var threads = 0
  package var peers: [PeerStatus] = []
  /// Packets dropped, by reason; zeros may be left out.
  package var drops: [NamedCount] = []

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("name", &name)
    try json.field("pid", &processID)
    try json.field("version", &version)
    try json.field("uptime_s", &uptimeSeconds)
    try json.field("public_key", &publicKey)
    try json.field("listen_port", &listenPort)
    try json.field("listen_tcp_port", &listenTCPPort)
    try json.field("scheduler", &scheduler)
    try json.field("mtu", &mtu)
    try json.field("threads", &threads)
    try json.field("peers", &peers)
    try json.field("drops", &drops)
  }
}

package struct NamedCount: JSONRecord, Equatable, Sendable {
  package var name = ""
  package var count: UInt64 = 0
  package init() {}
  package init(_ name: String, _ count: UInt64) {
    self.name = name
    self.count = count
  }
  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("name", &name)
    try json.field("count", &count)
  }
}

package struct PeerStatus: JSONRecord, Equatable, Sendable {
  package enum Kind: String, Sendable {
    /// No session yet.
    case unknown
    case stock
    case causeway
  }

  package var publicKey = ""
  package var kind = Kind.unknown
  /// Where its newest packet came from.
  package var endpoint: String?
  package var allowedIPs: [String] = []
  package var hasPresharedKey = false
  /// nil: never.
  package var secondsSinceHandshake: Double?
  /// Bytes of inner packets.
  package var receivedByteCount: UInt64 = 0
  package var sentByteCount: UInt64 = 0
  package var receivedPacketCount: UInt64 = 0
  package var sentPacketCount: UInt64 = 0
  package var paths: [PathStatus] = []
  package var bond = BondSums()

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("public_key", &publicKey)
    try json.field("kind", &kind)
    try json.field("endpoint", &endpoint)
    try json.field("allowed_ips", &allowedIPs)
    try json.field("preshared_key", &hasPresharedKey)
    try json.field("last_handshake_s", &secondsSinceHandshake)
    try json.field("rx_bytes", &receivedByteCount)
    try json.field("tx_bytes", &sentByteCount)
    try json.field("rx_packets", &receivedPacketCount)
    try json.field("tx_packets", &sentPacketCount)
    try json.field("paths", &paths)
    try json.field("bond", &bond)
  }
}

package struct PathStatus: JSONRecord, Equatable, Sendable {
  package var id: UInt8 = 0
  package var name = ""
  /// "udp" or "tcp".
  package var transport = "udp"
  package var local = ""
  package var remote = ""
  /// The device or address it was bound to; nil: the routing table decides.
  package var via: String?
  /// initializing, normal, unstable, lost.
  package var state = "initializing"
  package var isBackup = false
  /// nil: not measured.
  package var rttMilliseconds: Double?
  package var jitterMilliseconds: Double?
  /// Of the packets of the last seconds, 0...1.
  package var loss = 0.0
  /// Estimated (or fixed) in bit/s; nil: not known.
  package var capacityUp: Double?
  package var capacityDown: Double?
  package var rateUp = 0.0
  package var rateDown = 0.0
  /// Of what the bond sends now, 0...1.
  package var share = 0.0
  package var inFlightByteCount: UInt64 = 0
  /// Outer, of the whole IP packet.
  package var pathMTU = 0
  /// The inner MTU doesn't fit: packets go in FRAGMENT frames.
  package var isFragmenting = false
  package var sentByteCount: UInt64 = 0
  package var receivedByteCount: UInt64 = 0
  package var lostPacketCount: UInt64 = 0
  /// Changes of state since the start.
  package var transitionCount: UInt64 = 0

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("id", &id)
    try json.field("name", &name)
    try json.field("transport", &transport)
    try json.field("local", &local)
    try json.field("remote", &remote)
    try json.field("via", &via)
    try json.field("state", &state)
    try json.field("backup", &isBackup)
    try json.field("rtt_ms", &rttMilliseconds)
    try json.field("jitter_ms", &jitterMilliseconds)
    try json.field("loss", &loss)
    try json.field("capacity_up", &capacityUp)
    try json.field("capacity_down", &capacityDown)
    try json.field("rate_up", &rateUp)
    try json.field("rate_down", &rateDown)
    try json.field("share", &share)
    try json.field("in_flight_bytes", &inFlightByteCount)
    try json.field("mtu", &pathMTU)
    try json.field("fragmenting", &isFragmenting)
    try json.field("tx_bytes", &sentByteCount)
    try json.field("rx_bytes", &receivedByteCount)
    try json.field("lost_packets", &lostPacketCount)
    try json.field("transitions", &transitionCount)
  }
}

/// What happens above the paths, for one peer.
package struct BondSums: JSONRecord, Equatable, Sendable {
  package var rateUp = 0.0
  package var rateDown = 0.0
  /// Of packets that had to wait, last second.
  package var reorderDelayMeanMilliseconds = 0.0
  package var reorderDelayMaximumMilliseconds = 0.0
  package var heldPacketCount: UInt64 = 0
  /// Lost by a path and sent again in time.
  package var resentPacketCount: UInt64 = 0
  /// Missing here and then repaired, by a resend or by parity.
  package var repairedPacketCount: UInt64 = 0
  /// Given up here.
  package var lostPacketCount: UInt64 = 0
  package var duplicatePacketCount: UInt64 = 0
  package var latePacketCount: UInt64 = 0
  package var paritySentPacketCount: UInt64 = 0
  package var parityRepairedPacketCount: UInt64 = 0
  package var copiesSentPacketCount: UInt64 = 0
  package var queuedByteCount: UInt64 = 0
  package var queueDelayMilliseconds = 0.0
  package var queueDroppedPacketCount: UInt64 = 0
  package var queueMarkedPacketCount: UInt64 = 0

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("rate_up", &rateUp)
    try json.field("rate_down", &rateDown)
    try json.field("reorder_delay_ms", &reorderDelayMeanMilliseconds)
    try json.field("reorder_delay_max_ms", &reorderDelayMaximumMilliseconds)
    try json.field("held_packets", &heldPacketCount)
    try json.field("resent_packets", &resentPacketCount)
    try json.field("repaired_packets", &repairedPacketCount)
    try json.field("lost_packets", &lostPacketCount)
    try json.field("duplicate_packets", &duplicatePacketCount)
    try json.field("late_packets", &latePacketCount)
    try json.field("parity_sent_packets", &paritySentPacketCount)
    try json.field("parity_repaired_packets", &parityRepairedPacketCount)
    try json.field("copies_sent_packets", &copiesSentPacketCount)
    try json.field("queued_bytes", &queuedByteCount)
    try json.field("queue_delay_ms", &queueDelayMilliseconds)
    try json.field("queue_dropped_packets", &queueDroppedPacketCount)
    try json.field("queue_marked_packets", &queueMarkedPacketCount)
  }
}
