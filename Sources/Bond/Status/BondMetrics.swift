/// A status in Prometheus' text format 0.0.4, for the address of `Metrics =` or `promListenAddr`.
package enum BondMetrics {
  package static func text(_ status: BondStatus) -> String {
    var page = Page()
    let bond = [("interface", status.name)]
    page.family("causeway_bond_uptime_seconds", .gauge, "Seconds since the bond came up.") { $0.sample(bond, status.uptimeSeconds) }
    page.family("causeway_bond_drops_total", .counter, "Packets dropped, by reason.") { family in
      for drop in status.drops { family.sample(bond + [("reason", drop.name)], Double(drop.count)) }
    }
    let peers = status.peers.map { (labels: bond + [("peer", $0.publicKey)], $0) }
    page.families("causeway_bond_", peers.map { (labels: $0, record: $1) })
    page.families("causeway_bond_", peers.map { (labels: $0, record: $1.bond) })
    let paths = peers.flatMap { labels, peer in
      peer.paths.map { (labels: labels + [("path", String($0.id)), ("name", $0.name), ("transport", $0.transport)], record: $0) }
    }
    page.family("causeway_bond_path_state", .gauge, "1 for the state that a path is in.") { family in
      for (labels, path) in paths {
        for state in ["initializing", "normal", "unstable", "lost"] {
          family.sample(labels + [("state", state)], path.state == state ? 1 : 0)
        }
      }
    }
    page.families("causeway_bond_path_", paths)
    return page.text
  }

  /// Families with their samples; one without samples leaves no trace.
  private struct Page {
    typealias Labels = [(String, String)]

    private(set) var text = ""
    private var name = ""

    /// Each figure of a kind of records.
    mutating func families<Record: StatusRecord>(_ prefix: String, _ records: [(labels: Labels, record: Record)]) {
      for field in Record.fields {
        family(prefix + field.metric.name, field.metric.kind, field.metric.help) { page in
          for (labels, record) in records { if let value = field.sample(record) { page.sample(labels, value) } }
        }
      }
    }

    mutating func family(_ name: String, _ kind: StatusMetric.Kind, _ help: String, _ samples: (inout Page) -> Void) {
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
