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

package struct PeerStatus: StatusRecord, Equatable, Sendable {
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
    try exchangeFields(&json)
    try json.field("paths", &paths)
    try json.field("bond", &bond)
  }

  static let fields: [StatusField<PeerStatus>] = [
    .init(
      "last_handshake_s", .optional(\.secondsSinceHandshake), .gauge("peer_handshake_age_seconds", "Seconds since the last handshake.")),
    .init("rx_bytes", .count(\.receivedByteCount), .counter("peer_receive_bytes_total", "Bytes of inner packets received.")),
    .init("tx_bytes", .count(\.sentByteCount), .counter("peer_transmit_bytes_total", "Bytes of inner packets sent.")),
    .init("rx_packets", .count(\.receivedPacketCount), .counter("peer_receive_packets_total", "Inner packets received.")),
    .init("tx_packets", .count(\.sentPacketCount), .counter("peer_transmit_packets_total", "Inner packets sent.")),
  ]
}
