package import CausewaySupport

/// One way to a peer: an uplink of this side or of the other, with the paths that all packet threads have over it. Rates are bit/s of the
/// last second, counts since the start.
package struct PathStatus: StatusRecord, Equatable, Sendable {
  /// On the wire; with several threads the least of theirs.
  package var id: UInt8 = 0
  package var name = ""
  /// "udp" or "tcp".
  package var transport = "udp"
  package var local = ""
  package var remote = ""
  /// The device or address it was bound to; nil: the routing table decides.
  package var via: String?
  /// initializing, normal, unstable, lost; the worst of the threads'.
  package var state = "initializing"
  package var isBackup = false
  /// nil: not measured.
  package var rttMilliseconds: Double?
  package var jitterMilliseconds: Double?
  /// Of the packets of the last seconds, 0...1.
  package var loss = 0.0
  /// Estimated (or fixed) in bit/s, towards here as the other end says; nil: not known.
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
  /// Changes of state since the start, of all threads.
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
    try exchangeFields(&json)
    try json.field("fragmenting", &isFragmenting)
  }

  static let fields: [StatusField<PathStatus>] = [
    .init("rtt_ms", .optional(\.rttMilliseconds), .time("rtt_seconds", "Smoothed round-trip time.")),
    .init("jitter_ms", .optional(\.jitterMilliseconds), .time("jitter_seconds", "Its mean deviation.")),
    .init("loss", .reading(\.loss), .gauge("loss_ratio", "Part of the packets that are lost.")),
    .init("capacity_up", .optional(\.capacityUp), .gauge("capacity_up_bits_per_second", "Estimated capacity away from here.")),
    .init(
      "capacity_down", .optional(\.capacityDown),
      .gauge("capacity_down_bits_per_second", "Estimated capacity towards here, as the peer tells.")),
    .init("rate_up", .reading(\.rateUp), .gauge("rate_up_bits_per_second", "Rate away from here, last second.")),
    .init("rate_down", .reading(\.rateDown), .gauge("rate_down_bits_per_second", "Rate towards here, last second.")),
    .init("share", .reading(\.share), .gauge("share_ratio", "Part of what the bond sends.")),
    .init("in_flight_bytes", .count(\.inFlightByteCount), .gauge("in_flight_bytes", "Bytes sent and not acknowledged.")),
    .init("mtu", .size(\.pathMTU), .gauge("mtu_bytes", "Largest outer packet that comes through.")),
    .init("tx_bytes", .count(\.sentByteCount), .counter("transmit_bytes_total", "Bytes sent on the path.")),
    .init("rx_bytes", .count(\.receivedByteCount), .counter("receive_bytes_total", "Bytes received on the path.")),
    .init("lost_packets", .count(\.lostPacketCount), .counter("lost_packets_total", "Packets that the path lost.")),
    .init("transitions", .count(\.transitionCount), .counter("transitions_total", "Changes of the path's state.")),
  ]
}
