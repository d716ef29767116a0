internal import CausewayCrypto
package import CausewaySupport
package import CausewayWire

/// What a changed file means for a running bond: what can't change, and which routes come and go. Hooks never run again.
package struct ReloadPlan: Equatable, Sendable {
  package var addedRoutes: [IPNetwork] = []
  package var removedRoutes: [IPNetwork] = []

  /// - Parameter threads: Packet threads that run.
  /// - Throws: When something changed that only a restart can change; the bond goes on as it was.
  package init(from old: BondConfiguration, to new: BondConfiguration, threads: Int) throws(CommandFailure) {
    var fixed: [String] = []
    if old.name != new.name { fixed.append("the interface's name") }
    if !KeyText.areEqual(old.privateKey, new.privateKey) { fixed.append("PrivateKey") }
    if old.listenPort != new.listenPort || old.listenAddress != new.listenAddress { fixed.append("ListenPort") }
    if old.listenTCPPort != new.listenTCPPort { fixed.append("ListenTCP") }
    if old.addresses != new.addresses { fixed.append("Address") }
    if old.mtu != new.mtu { fixed.append("MTU") }
    if old.threads != new.threads { fixed.append("Threads") }
    if old.table != new.table { fixed.append("Table") }
    if old.firewallMark != new.firewallMark { fixed.append("FwMark") }
    if old.dns != new.dns { fixed.append("DNS") }
    if old.metrics != new.metrics { fixed.append("Metrics") }
    if old.defaultRouteFamilies != new.defaultRouteFamilies { fixed.append("a default route in AllowedIPs") }
    if !fixed.isEmpty {
      throw .usage(
        "\(new.file): \(fixed.joined(separator: ", ")) can't change while \(old.name) runs, and nothing was changed: run 'causeway bond down \(old.name)' and 'up' again"
      )
    }
    for peer in new.peers {
      guard let reason = BondConfiguration.pathIDProblem(paths: peer.paths.count, threads: threads) else { continue }
      throw .usage(
        "\(new.file)\(peer.line > 0 ? ":\(peer.line)" : ""): \(reason), and nothing was changed: fewer paths, or 'causeway bond down \(old.name)' and 'up' again"
      )
    }
    let (before, after) = (old.routedNetworks, new.routedNetworks)
    addedRoutes = after.filter { !before.contains($0) }
    removedRoutes = before.filter { !after.contains($0) }
  }
}
