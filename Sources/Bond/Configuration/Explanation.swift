internal import CausewayWire

/// A configuration in plain words, for `causeway bond check`.
package enum Explanation {
  package static func lines(_ bond: BondConfiguration, processors: Int = BondConfiguration.processorCount) -> [String] {
    var lines: [String] = []
    let form =
      switch bond.form {
      case .wireGuard: "WireGuard's form"
      case .multipath: "multipath's form"
      case .commandLine: "the command line"
      }
    lines.append("\(bond.file) is in \(form) and makes the interface \(bond.name).")
    if bond.form == .multipath {
      lines.append("  It isn't compatible with multipath on the wire: both ends must run causeway, with the same secret.")
    }
    lines.append("  Public key: \(bond.publicKey)")
    lines.append("  Addresses: " + list(bond.addresses.map(\.description), none: "none, so nothing can use it before one is added"))
    lines.append("  " + listening(bond))
    lines.append("  Packets inside have at most \(bond.mtu) bytes; a path that can't carry them gets them in fragments.")
    lines.append("  " + threads(bond, processors))
    lines.append("  " + routes(bond))
    if !bond.dns.isEmpty {
      lines.append(
        "  Name servers: \(list(bond.dns.servers.map(\.description), none: "none")); search domains: \(list(bond.dns.searchDomains, none: "none"))."
      )
    }
    if let metrics = bond.metrics { lines.append("  Prometheus' metrics are served at http://\(metrics)/metrics.") }
    for (when, commands) in [
      ("Before it comes up", bond.hooks.preUp), ("When it is up", bond.hooks.postUp), ("Before it goes down", bond.hooks.preDown),
      ("When it is down", bond.hooks.postDown),
    ] {
      for command in commands { lines.append("  \(when), bash runs: \(command.replacing("%i", with: bond.name))") }
    }
    lines.append("  Scheduler \(bond.scheduler.rawValue): \(bond.scheduler.explanation)")
    lines.append("  " + repair(bond.repair))
    if bond.peers.isEmpty { lines.append("  There is no peer: nothing will be sent or taken.") }
    for peer in bond.peers { lines += explain(peer) }
    for warning in bond.warnings { lines.append("warning: \(warning)") }
    return lines
  }

  private static func list(_ texts: [String], none: String) -> String { texts.isEmpty ? none : texts.joined(separator: ", ") }

  private static func listening(_ bond: BondConfiguration) -> String {
    let host = bond.listenAddress.map { " of \($0)" } ?? ""
    var text = bond.listenPort.map { "Listens on UDP port \($0)\(host)" } ?? "Sends from any free UDP port"
    if let port = bond.listenTCPPort { text += " and on TCP port \(port)\(host)" }
    if let mark = bond.firewallMark { text += "; outer packets carry the mark \(mark)" }
    return text + "."
  }

  private static func threads(_ bond: BondConfiguration, _ processors: Int) -> String {
    if let note = bond.threadNote(processors: processors) { return "Uses \(note)." }
    return "Uses \(BondConfiguration.threadWords(bond.threadCount(processors: processors)))."
  }

  private static func routes(_ bond: BondConfiguration) -> String {
    let networks = bond.peers.flatMap(\.allowedIPs)
    switch bond.table {
    case .off: return "Adds no routes (Table = off)."
    case .number(let table): return "Adds routes to the allowed networks in table \(table)."
    case .automatic:
      if networks.contains(where: { $0.prefixLength == 0 }) {
        return "Becomes the default route, by policy routing: all traffic but the bond's own packets goes through it."
      }
      return networks.isEmpty ? "Adds no routes." : "Adds routes to the allowed networks."
    }
  }

  private static func repair(_ repair: RepairChoice) -> String {
    var on: [String] = []
    var off: [String] = []
    if repair.resends { on.append("lost packets are sent again while that is in time") } else { off.append("resends") }
    if repair.parity { on.append("parity packets help on paths where resends would be late") } else { off.append("parity packets") }
    if repair.duplicates { on.append("small urgent packets may go twice") } else { off.append("copies of urgent packets") }
    let text = on.isEmpty ? "Nothing is repaired" : on.joined(separator: "; ")
    return (text.prefix(1).uppercased() + text.dropFirst()) + (off.isEmpty ? "." : "; switched off: \(off.joined(separator: ", ")).")
  }

  private static func explain(_ peer: BondConfiguration.Peer) -> [String] {
    var lines = ["Peer \(peer.publicKey)" + (peer.presharedKey == nil ? "" : ", with a pre-shared key") + ":"]
    lines.append("  May use, and gets what goes to: \(list(peer.allowedIPs.map(\.description), none: "nothing (AllowedIPs is empty)")).")
    if peer.persistentKeepalive > 0 { lines.append("  At least one packet every \(peer.persistentKeepalive) s keeps NATs open.") }
    switch peer.paths.count {
    case 0: lines.append("  Has no path: this end waits for it to call.")
    case 1: lines.append("  One path; this works with any WireGuard peer:")
    default: lines.append("  \(peer.paths.count) paths; a stock WireGuard peer would use the first one only:")
    }
    return lines + peer.paths.map { "    \($0.name): \(explain($0))" }
  }

  private static func explain(_ path: PathConfiguration) -> String {
    var text = "\(path.transport.rawValue.uppercased()) to \(path.remote)"
    switch path.binding {
    case .any: text += ", wherever the routing table sends it"
    case .device(let device): text += ", out of \(device) only"
    case .source(let address): text += ", from the address \(address)"
    }
    text += path.rateUp.map { ", at most \(Rate.text(Double($0))) up" } ?? ", rate up learned"
    text += path.rateDown.map { ", at most \(Rate.text(Double($0))) down" } ?? ", rate down learned"
    if let weight = path.weight { text += ", weight \(weight)" }
    if path.isBackup { text += ", only when no other path works" }
    return text
  }
}

extension SchedulerChoice {
  /// What it means for whoever chooses.
  package var explanation: String {
    switch self {
    case .auto: "bulk over every path by its measured capacity, small urgent packets where they arrive first."
    case .cfs: "every path carries its share, by measured capacity or fixed weight; best for bulk."
    case .earliest:
      "each packet takes the path on which it arrives first, queues included; best for delay, slow paths help when there is much to send."
    case .redundant: "every packet goes over every path and the first copy wins; nothing adds up, nothing is lost."
    case .backup: "one path at a time, in order of preference; the others wait until it fails."
    }
  }
}
