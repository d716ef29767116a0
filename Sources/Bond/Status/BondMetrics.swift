/// A status in Prometheus' text format 0.0.4, for the address of `Metrics =` or `promListenAddr`.
package enum BondMetrics {
  package static func text(_ status: BondStatus) -> String {
    var page = Page()
    let bond = [("interface", status.name)]
    page.family("causeway_bond_uptime_seconds", .gauge, "Seconds since the bond came up.") { $0.sample(bond, status.uptimeSeconds) }
    page.family("causeway_bond_drops_total", .counter, "Packets dropped, by reason.") { family in
      for drop in status.drops { family.sample(bond + [("reason", drop.name)], Double(drop.count)) }
    }
    let peers = status.peers.map { (bond + [("peer", $0.publicKey)], $0) }
    for (name, kind, help, value) in peerFamilies {
      page.family("causeway_bond_" + name, kind, help) { family in
        for (labels, peer) in peers { if let value = value(peer) { family.sample(labels, value) } }
      }
    }
    let paths = peers.flatMap { labels, peer in
      peer.paths.map { (labels + [("path", String($0.id)), ("name", $0.name), ("transport", $0.transport)], $0) }
    }
    page.family("causeway_bond_path_state", .gauge, "1 for the state that a path is in.") { family in
      for (labels, path) in paths {
        for state in ["initializing", "normal", "unstable", "lost"] {
          family.sample(labels + [("state", state)], path.state == state ? 1 : 0)
        }
      }
    }
    for (name, kind, help, value) in pathFamilies {
      page.family("causeway_bond_path_" + name, kind, help) { family in
        for (labels, path) in paths { if let value = value(path) { family.sample(labels, value) } }
      }
    }
    return page.text
  }

  private static let peerFamilies: [(String, Page.Kind, String, @Sendable (PeerStatus) -> Double?)] = [
    ("peer_handshake_age_seconds", .gauge, "Seconds since the last handshake.", { $0.secondsSinceHandshake }),
    ("peer_receive_bytes_total", .counter, "Bytes of inner packets received.", { Double($0.receivedByteCount) }),
    ("peer_transmit_bytes_total", .counter, "Bytes of inner packets sent.", { Double($0.sentByteCount) }),
    ("peer_receive_packets_total", .counter, "Inner packets received.", { Double($0.receivedPacketCount) }),
    ("peer_transmit_packets_total", .counter, "Inner packets sent.", { Double($0.sentPacketCount) }),
    (
      "reorder_delay_seconds", .gauge, "Mean wait of packets that came out of order, last second.",
      { $0.bond.reorderDelayMeanMilliseconds / 1e3 }
    ),
    ("held_packets", .gauge, "Packets that wait for an earlier one.", { Double($0.bond.heldPacketCount) }),
    ("resent_packets_total", .counter, "Packets sent again because a path lost them.", { Double($0.bond.resentPacketCount) }),
    ("repaired_packets_total", .counter, "Packets that were missing here and then repaired.", { Double($0.bond.repairedPacketCount) }),
    ("lost_packets_total", .counter, "Packets given up here.", { Double($0.bond.lostPacketCount) }),
    ("duplicate_packets_total", .counter, "Copies dropped here.", { Double($0.bond.duplicatePacketCount) }),
    ("late_packets_total", .counter, "Packets that came after they were given up.", { Double($0.bond.latePacketCount) }),
    ("parity_packets_total", .counter, "Parity packets sent.", { Double($0.bond.paritySentPacketCount) }),
    ("parity_repaired_packets_total", .counter, "Packets repaired by parity.", { Double($0.bond.parityRepairedPacketCount) }),
    ("queue_bytes", .gauge, "Bytes that wait for a path.", { Double($0.bond.queuedByteCount) }),
    ("queue_delay_seconds", .gauge, "How long they wait.", { $0.bond.queueDelayMilliseconds / 1e3 }),
    ("queue_dropped_packets_total", .counter, "Packets dropped by the queue.", { Double($0.bond.queueDroppedPacketCount) }),
    ("queue_marked_packets_total", .counter, "Packets marked CE by the queue.", { Double($0.bond.queueMarkedPacketCount) }),
  ]

  private static let pathFamilies: [(String, Page.Kind, String, @Sendable (PathStatus) -> Double?)] = [
    ("rtt_seconds", .gauge, "Smoothed round-trip time.", { $0.rttMilliseconds.map { $0 / 1e3 } }),
    ("jitter_seconds", .gauge, "Its mean deviation.", { $0.jitterMilliseconds.map { $0 / 1e3 } }),
    ("loss_ratio", .gauge, "Part of the packets that are lost.", { $0.loss }),
    ("capacity_up_bits_per_second", .gauge, "Estimated capacity away from here.", { $0.capacityUp }),
    ("capacity_down_bits_per_second", .gauge, "Estimated capacity towards here.", { $0.capacityDown }),
    ("rate_up_bits_per_second", .gauge, "Rate away from here, last second.", { $0.rateUp }),
    ("rate_down_bits_per_second", .gauge, "Rate towards here, last second.", { $0.rateDown }),
    ("share_ratio", .gauge, "Part of what the bond sends.", { $0.share }),
    ("in_flight_bytes", .gauge, "Bytes sent and not acknowledged.", { Double($0.inFlightByteCount) }),
    ("mtu_bytes", .gauge, "Largest outer packet that comes through.", { Double($0.pathMTU) }),
    ("transmit_bytes_total", .counter, "Bytes sent on the path.", { Double($0.sentByteCount) }),
    ("receive_bytes_total", .counter, "Bytes received on the path.", { Double($0.receivedByteCount) }),
    ("lost_packets_total", .counter, "Packets that the path lost.", { Double($0.lostPacketCount) }),
    ("transitions_total", .counter, "Changes of the path's state.", { Double($0.transitionCount) }),
  ]

  /// Families with their samples; one without samples leaves no trace.
  private struct Page {
    enum Kind: String { case counter, gauge }

    private(set) var text = ""
    private var name = ""

    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: (inout Page) -> Void) {
      var inner = Page()
      inner.name = name
      samples(&inner)
      if !inner.text.isEmpty { text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n" + inner.text }
    }

    mutating func sample(_ labels: [(String, String)], _ value: Double) {
      guard value.isFinite else { return }
      let number = value == value.rounded() && value.magnitude < 1e15 ? String(Int64(value)) : value.description
      text += name + "{" + labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",") + "} \(number)\n"
    }

    private static func escaped(_ text: String) -> String {
      text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
  }
}
