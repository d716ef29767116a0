package import CausewayWire

/// A rule of policy routing, as a default route through a bond needs two for each family.
package struct DefaultRouteRule: Hashable, Sendable {
  package enum Kind: String, Sendable {
    /// What doesn't carry the bond's own mark looks into its table.
    case unmarked
    /// The main table counts, but for its default route.
    case suppressDefault = "suppress_default"
  }

  package var kind: Kind
  package var family: IPAddress.Family
  /// The mark and the table of `unmarked`.
  package var table: UInt32

  package init(_ kind: Kind, _ family: IPAddress.Family, table: UInt32) {
    self.kind = kind
    self.family = family
    self.table = table
  }
}

/// What changes the network around a bond, one fact each.
package enum NetworkOperation: Equatable, Sendable {
  case addAddress(IPAddress, prefixLength: Int)
  /// Packets that wait in the device are bounded by its queue, the bond's own queue does the rest.
  case setUp(mtu: Int, queueLength: Int)
  /// nil: the main table.
  case addRoute(IPNetwork, table: UInt32?)
  case removeRoute(IPNetwork, table: UInt32?)
  case addRule(DefaultRouteRule)
  case removeRule(DefaultRouteRule)
  case removeLink
}

/// How name servers are told to the system.
package enum DNSTool: String, Sendable {
  case resolvconf, resolvectl
}

/// One step of bringing a bond up. Each is undone by what `undo` says, which is written down before the step is taken.
package enum BringUpStep: Equatable, Sendable {
  /// Commands of the configuration.
  case hooks([String])
  case openTunnel
  case startWorker
  case network(NetworkOperation)
  case nameServers(DNSTool)
  /// A file under /proc/sys/net/ gets this value, unless it has it.
  case control(String, value: String)
  /// Nothing is done, but `commands` belong to the undoing from here on.
  case promise(commands: [String])
}

extension BondConfiguration {
  /// The first mark and table that are tried for a default route, as wg-quick counts.
  package static let firstDefaultTable: UInt32 = 51820
  /// Packets; each may be 64 KiB.
  package static let deviceQueueLength = 500

  /// Families whose default route goes through the bond by policy routing.
  package var defaultRouteFamilies: [IPAddress.Family] {
    guard table == .automatic else { return [] }
    let networks = peers.flatMap(\.allowedIPs)
    return [.v4, .v6].filter { family in networks.contains { $0.prefixLength == 0 && $0.address.family == family } }
  }

  /// Networks that get a route of their own: the most specific first, none twice, none that an address brings along.
  package var routedNetworks: [IPNetwork] {
    guard table != .off else { return [] }
    let connected = Set(addresses.map { IPNetwork(masking: $0.address, prefixLength: $0.prefixLength) })
    var seen: Set<IPNetwork> = []
    return peers.flatMap(\.allowedIPs).filter { network in
      if table == .automatic && (network.prefixLength == 0 || connected.contains(network)) { return false }
      return seen.insert(network).inserted
    }.sorted { $0.prefixLength > $1.prefixLength }
  }

  var routeTable: UInt32? {
    guard case .number(let table) = table else { return nil }
    return table
  }

  /// From nothing to a bond that carries packets, in wg-quick's order.
  /// - Parameters:
  ///   - mark: Of the bond's own packets and of its table; needed when `defaultRouteFamilies` isn't empty.
  ///   - strictFilter: net.ipv4.conf.all.rp_filter is 1, which would drop the answers to marked packets.
  package func steps(mark: UInt32?, dns tool: DNSTool?, strictFilter: Bool) -> [BringUpStep] {
    var steps: [BringUpStep] = []
    if !hooks.postDown.isEmpty { steps.append(.promise(commands: hooks.postDown)) }
    if !hooks.preUp.isEmpty { steps.append(.hooks(hooks.preUp)) }
    steps += [.openTunnel, .startWorker]
    for address in addresses { steps.append(.network(.addAddress(address.address, prefixLength: address.prefixLength))) }
    steps.append(.network(.setUp(mtu: mtu, queueLength: Self.deviceQueueLength)))
    if !dns.isEmpty, let tool { steps.append(.nameServers(tool)) }
    for network in routedNetworks { steps.append(.network(.addRoute(network, table: routeTable))) }
    if let mark {
      for family in defaultRouteFamilies {
        let network = IPNetwork(masking: family == .v4 ? IPAddress(ipv4: 0) : IPAddress(ipv6High: 0, low: 0), prefixLength: 0)
        steps += [
          .network(.addRoute(network, table: mark)), .network(.addRule(DefaultRouteRule(.unmarked, family, table: mark))),
          .network(.addRule(DefaultRouteRule(.suppressDefault, family, table: mark))),
        ]
        if family == .v4 {
          steps.append(.control("ipv4/conf/all/src_valid_mark", value: "1"))
          if strictFilter { steps.append(.control("ipv4/conf/all/rp_filter", value: "2")) }
        }
      }
    }
    if !hooks.preDown.isEmpty { steps.append(.promise(commands: hooks.preDown)) }
    if !hooks.postUp.isEmpty { steps.append(.hooks(hooks.postUp)) }
    return steps
  }
}
