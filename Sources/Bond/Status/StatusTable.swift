internal import CausewayBase
package import CausewaySupport

/// A bond's status as lines for people: one row a path, under it the sums of its peer. Fits 80 columns; wider ones show where a path goes
/// too, and a longer sparkline.
package enum StatusTable {
  /// Peers shown in a table; the rest are counted.
  package static let peerLimit = 50
  private static let fixedWidth = 73
  /// From so many columns on there is one for the far address.
  private static let wideColumns = 110
  private static let remoteWidth = 22
  private static let sparkLimit = 40

  /// What all rows of a table go by.
  private struct Layout {
    var history: StatusHistory?
    var columns: Int
    /// Some path's capacity towards here is known.
    var knowsDown: Bool
    var isWide: Bool { columns >= StatusTable.wideColumns }
    var sparkWidth: Int {
      min(StatusTable.sparkLimit, max(0, columns - 1 - StatusTable.fixedWidth - (isWide ? StatusTable.remoteWidth + 1 : 0)))
    }
  }

  package static func lines(_ status: BondStatus, history: StatusHistory? = nil, columns: Int = 80) -> [StyledText] {
    var lines = [head(status)]
    for peer in status.peers.prefix(peerLimit) {
      lines.append(self.peer(peer))
      let layout = Layout(history: history, columns: columns, knowsDown: peer.paths.contains { $0.capacityDown != nil })
      if !peer.paths.isEmpty { lines.append(titles(layout)) }
      for path in peer.paths { lines.append(row(path, peer, layout)) }
      lines += sums(peer)
    }
    if status.peers.count > peerLimit {
      lines.append(StyledText("… and \(status.peers.count - peerLimit) more peers (--json has all)", .dim))
    }
    let drops = status.drops.filter { $0.count > 0 }
    if !drops.isEmpty { lines.append(StyledText("dropped  " + drops.map { "\($0.name) \($0.count)" }.joined(separator: ", "), .dim)) }
    return lines.map { $0.truncated(to: max(20, columns - 1)) }
  }

  private static func head(_ status: BondStatus) -> StyledText {
    var line = StyledText(status.name, .bold)
    line.append("  up \(age(status.uptimeSeconds))")
    var facts = ["UDP port \(status.listenPort)"]
    if let port = status.listenTCPPort { facts.append("TCP port \(port)") }
    facts += [status.scheduler, "MTU \(status.mtu)", status.threads == 1 ? "1 thread" : "\(status.threads) threads"]
    line.append("  " + facts.joined(separator: ", "), .dim)
    return line
  }

  private static func peer(_ peer: PeerStatus) -> StyledText {
    var line = StyledText("peer ")
    line.append(peer.publicKey.count > 9 ? peer.publicKey.prefix(8) + "…" : peer.publicKey[...], .cyan)
    switch peer.kind {
    case .unknown: line.append("  no session", .yellow)
    case .stock: line.append("  stock WireGuard")
    case .causeway: line.append("  causeway")
    }
    line.append(
      peer.secondsSinceHandshake.map { "  handshake \(age($0)) ago" } ?? "  no handshake yet",
      .dim)
    line.append("  in \(Quantity.bytes(peer.receivedByteCount)), out \(Quantity.bytes(peer.sentByteCount))", .dim)
    return line
  }

  // MARK: Columns

  private static func titles(_ layout: Layout) -> StyledText {
    StyledText(
      "  " + left("PATH", 10) + " " + (layout.isWide ? left("REMOTE", remoteWidth) + " " : "") + left("STATE", 8) + " " + right("RTT ms", 9)
        + " " + right("LOSS", 5) + " "
        + right(layout.knowsDown ? "CAP up/dn" : "CAP up", 11)
        + " "
        + right("RATE up/dn", 11) + " " + right("SHARE", 5) + " " + right("FLT", 4)
        + (layout.history != nil && layout.sparkWidth > 3 ? " LAST" : ""), .dim)
  }

  private static func row(_ path: PathStatus, _ peer: PeerStatus, _ layout: Layout) -> StyledText {
    // The side that is called doesn't know what the other calls its paths.
    var line = StyledText("  " + left(path.name.isEmpty ? "path \(path.id)" : path.name, 10) + " ")
    if layout.isWide { line.append(left(path.remote, remoteWidth) + " ", .dim) }
    line.append(left(path.state, 8), style(of: path.state))
    let rtt = path.rttMilliseconds.map { number($0) + (path.jitterMilliseconds.map { "±" + number($0) } ?? "") } ?? "-"
    line.append(" " + right(rtt, 9))
    line.append(" " + right(percent(path.loss), 5), path.loss >= 0.02 ? .yellow : .plain)
    let capacity = layout.knowsDown ? pair(path.capacityUp, path.capacityDown) : path.capacityUp.map(Rate.column) ?? "-"
    line.append(" " + right(capacity, 11) + " " + right(pair(path.rateUp, path.rateDown), 11))
    line.append(" " + right("\(Int((min(1, max(0, path.share)) * 100).rounded()))%", 5))
    line.append(" " + right(shortBytes(path.inFlightByteCount), 4))
    if let history = layout.history { line.append(" " + history.sparkline(peer, path, width: layout.sparkWidth), .green) }
    return line
  }

  private static func sums(_ peer: PeerStatus) -> [StyledText] {
    let bond = peer.bond
    var first = StyledText("  bond", .bold)
    first.append("  up \(Rate.text(bond.rateUp)), down \(Rate.text(bond.rateDown))")
    if bond.queuedByteCount > 0 {
      first.append("  queue \(Quantity.bytes(bond.queuedByteCount)) (\(number(bond.queueDelayMilliseconds)) ms)", .dim)
    }
    var second = StyledText(
      "        order \(number(bond.reorderDelayMeanMilliseconds)) ms (most \(number(bond.reorderDelayMaximumMilliseconds)))")
    second.append("  repaired \(bond.repairedPacketCount)")
    second.append("  lost \(bond.lostPacketCount)", bond.lostPacketCount > 0 ? .yellow : .plain)
    var lines = [first, second]
    let more = [
      ("resent", bond.resentPacketCount), ("parity", bond.paritySentPacketCount), ("copies", bond.copiesSentPacketCount),
      ("duplicates", bond.duplicatePacketCount), ("queue drops", bond.queueDroppedPacketCount), ("marks", bond.queueMarkedPacketCount),
    ].filter { $0.1 > 0 }
    if !more.isEmpty { lines.append(StyledText("        " + more.map { "\($0) \($1)" }.joined(separator: "  "), .dim)) }
    let fragmenting = peer.paths.filter(\.isFragmenting)
    if !fragmenting.isEmpty {
      let names = fragmenting.map { "\($0.name) (\($0.pathMTU))" }.joined(separator: ", ")
      lines.append(StyledText("        packets go in fragments on \(names)", .yellow))
    }
    return lines
  }

  /// Whole seconds, however odd the figure.
  private static func age(_ seconds: Double) -> String { Quantity.duration(.seconds(min(1e10, max(0, seconds.rounded())))) }

  private static func style(of state: String) -> StyledText.Style {
    switch state {
    case "normal": .green
    case "lost": .red
    default: .yellow
    }
  }

  private static func pair(_ up: Double?, _ down: Double?) -> String {
    (up.map(Rate.column) ?? "-") + "/" + (down.map(Rate.column) ?? "-")
  }

  private static func percent(_ part: Double) -> String {
    let percent = min(100, max(0, part * 100))
    return percent >= 9.95 ? "\(Int(percent.rounded()))%" : tenths(percent) + "%"
  }

  private static func number(_ value: Double) -> String {
    let value = min(99999, max(0, value))
    return value >= 9.95 ? String(Int(value.rounded())) : tenths(value)
  }

  private static func tenths(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }

  /// `62K`, four cells.
  private static func shortBytes(_ count: UInt64) -> String {
    if count < 1000 { return String(count) }
    if count < 1_000_000 { return "\(count / 1000)K" }
    return count < 1_000_000_000 ? "\(count / 1_000_000)M" : "\(count / 1_000_000_000)G"
  }

  private static func left(_ text: some StringProtocol, _ width: Int) -> String {
    let text = text.printable
    return text.count > width ? text.prefix(width - 1) + "…" : text + String(repeating: " ", count: width - text.count)
  }

  private static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
}
