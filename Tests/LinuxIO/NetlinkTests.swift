import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1)), .enabled(if: isRoot)) struct NetlinkTests {
  static func prefix(_ text: String) -> AddressPrefix { AddressPrefix(text)! }

  @Test("links: found by name, switched, resized, removed")
  func links() throws {
    try inNewNamespace {
      let netlink = try Netlink()
      let device = try TUNDevice(name: "cwlink")
      var link = try #require(try netlink.link(named: "cwlink"))
      #expect(!link.isUp && link.kind == "tun")
      try netlink.setLink(link.index, up: true, maximumTransmissionUnit: 1380, transmitQueueLength: 77)
      link = try #require(try netlink.link(named: "cwlink"))
      #expect(link.isUp && link.maximumTransmissionUnit == 1380 && link.transmitQueueLength == 77)
      try netlink.setLink(link.index, maximumTransmissionUnit: 1300)
      #expect(try netlink.link(named: "cwlink")?.isUp == true)
      try netlink.setLink(link.index, up: false)
      #expect(try netlink.link(named: "cwlink")?.isUp == false)
      try netlink.removeLink(link.index)
      #expect(try netlink.link(named: "cwlink") == nil)
      #expect(try netlink.links().map(\.name) == ["lo"])
      #expect(Self.code { try netlink.setLink(link.index, up: true) } == ENODEV)
      _ = device
    }
  }

  static func code(_ body: () throws -> Void) -> CInt? {
    do { try body() } catch { return (error as? SystemError)?.code }
    return nil
  }

  @Test("addresses of both families: added once, listed, removed once")
  func addresses() throws {
    try inNewNamespace {
      let netlink = try Netlink()
      let device = try TUNDevice(name: "cwaddr")
      let index = try #require(try netlink.link(named: "cwaddr")).index
      try netlink.setLink(index, up: true)
      let addresses = ["10.9.0.1/24", "10.9.0.5/32", "fd09::1/64"].map { InterfaceAddress(Self.prefix($0), interface: index) }
      for address in addresses { try netlink.addAddress(address) }
      let listed = try netlink.addresses(of: index)
      #expect(Set(addresses).isSubset(of: listed))
      #expect(Self.code { try netlink.addAddress(addresses[0]) } == EEXIST)
      for address in addresses { try netlink.removeAddress(address) }
      #expect(try Set(netlink.addresses(of: index)).isDisjoint(with: addresses))
      #expect(Self.code { try netlink.removeAddress(addresses[0]) } == EADDRNOTAVAIL)
      _ = device
    }
  }

  @Test("routes: table, metric, MTU and source; replaced in place; host bits are no error")
  func routes() throws {
    try inNewNamespace {
      let netlink = try Netlink()
      let device = try TUNDevice(name: "cwroute")
      let index = try #require(try netlink.link(named: "cwroute")).index
      try netlink.setLink(index, up: true)
      try netlink.addAddress(InterfaceAddress(Self.prefix("10.9.0.1/24"), interface: index))
      try netlink.addAddress(InterfaceAddress(Self.prefix("fd09::1/64"), interface: index))
      let source = Self.prefix("10.9.0.1").address
      var routes = [
        NetworkRoute(
          Self.prefix("192.168.0.0/16"), interface: index, preferredSource: source, table: 51820, metric: 7, maximumTransmissionUnit: 1300),
        NetworkRoute(Self.prefix("0.0.0.0/0"), interface: index, table: 51820, metric: 5),
        NetworkRoute(Self.prefix("172.16.0.0/12"), interface: index, gateway: Self.prefix("10.9.0.9").address, table: 51820),
        NetworkRoute(Self.prefix("::/0"), interface: index, table: 51820, metric: 9, maximumTransmissionUnit: 1350),
        NetworkRoute(Self.prefix("fd55::/16"), interface: index, table: 51820, metric: 1024),
      ]
      for route in routes { try netlink.addRoute(route) }
      #expect(try Set(netlink.routes(table: 51820)) == Set(routes))
      #expect(Self.code { try netlink.addRoute(routes[0]) } == EEXIST)
      routes[0].maximumTransmissionUnit = 1200
      try netlink.setRoute(routes[0])
      #expect(try Set(netlink.routes(table: 51820)) == Set(routes))
      try netlink.setRoute(NetworkRoute(Self.prefix("10.77.1.2/16"), interface: index))
      #expect(try netlink.routes().contains { $0.destination == Self.prefix("10.77.0.0/16") })
      for route in routes { try netlink.removeRoute(route) }
      #expect(try netlink.routes(table: 51820).isEmpty)
      #expect(Self.code { try netlink.removeRoute(routes[0]) } == ESRCH)
      #expect(Self.code { try netlink.addRoute(NetworkRoute(Self.prefix("1.0.0.0/8"), interface: 999)) } == ENODEV)
      _ = device
    }
  }

  @Test("rules: mark, not, suppressed prefix; added once, listed, removed", arguments: [RoutingRule.Family.ipv4, .ipv6])
  func rules(_ family: RoutingRule.Family) throws {
    try inNewNamespace {
      let netlink = try Netlink()
      let before = try netlink.rules()
      let rules = [
        RoutingRule(family, table: 51820, priority: 100, mark: 51820, isInverted: true),
        RoutingRule(family, table: NetworkRoute.mainTable, priority: 99, suppressedPrefixLength: 0),
        RoutingRule(family, table: 77, priority: 98, mark: 5),
      ]
      for rule in rules { try netlink.addRule(rule) }
      #expect(try Set(netlink.rules()).subtracting(before) == Set(rules))
      #expect(Self.code { try netlink.addRule(rules[0]) } == EEXIST)
      for rule in rules { try netlink.removeRule(rule) }
      #expect(try Set(netlink.rules()) == Set(before))
      #expect(Self.code { try netlink.removeRule(rules[0]) } == ENOENT)
    }
  }

  @Test("errors carry the kernel's reason")
  func reason() throws {
    let text = try inNewNamespace {
      let netlink = try Netlink()
      let route = NetworkRoute(Self.prefix("10.0.0.0/8"), interface: 0, gateway: Self.prefix("192.0.2.1").address)
      do { try netlink.addRoute(route) } catch { return "\(error)" }
      return ""
    }
    #expect(text.hasPrefix("add route 10.0.0.0/8 via 192.0.2.1 (") && text.contains("): "))
  }

  @Test("the monitor names interface and kind of a change")
  func monitor() throws {
    let (changes, index) = try inNewNamespace {
      let monitor = try NetlinkMonitor()
      let netlink = try Netlink()
      var changes: [NetworkChange] = []
      let device = try TUNDevice(name: "cwmon")
      let index = try #require(try netlink.link(named: "cwmon")).index
      try netlink.setLink(index, up: true)
      let address = InterfaceAddress(Self.prefix("10.9.0.1/24"), interface: index)
      try netlink.addAddress(address)
      try netlink.removeAddress(address)
      try netlink.removeLink(index)
      while !changes.contains(where: { $0.kind == .linkRemoved }), isReadable(monitor.descriptor) { monitor.read { changes.append($0) } }
      _ = device
      return (changes, index)
    }
    let own = changes.filter { $0.interface == index }.map(\.kind)
    #expect(own.contains(.link(isUp: true, isRunning: true)) && own.contains(.linkRemoved))
    #expect(own.contains(.addressAdded(Self.prefix("10.9.0.1/24"))) && own.contains(.addressRemoved(Self.prefix("10.9.0.1/24"))))
    #expect(own.contains(.routeAdded(Self.prefix("10.9.0.0/24"))))
  }

  @Test(
    "prefixes",
    arguments: [
      ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("1.2.3.4/0", "0.0.0.0/0"), ("fd00::5/64", "fd00::/64"),
      ("fd00:1:2:3:4:5:6:7/72", "fd00:1:2:3::/72"), ("::1", "::1/128"), ("8000::/1", "8000::/1"), ("10.0.0.0/33", nil), ("::/129", nil),
      ("x/8", nil), ("1.2.3.4/-1", nil), ("1.2.3.4/", nil),
    ] as [(String, String?)])
  func prefixes(_ text: String, _ network: String?) { #expect(AddressPrefix(text)?.network.description == network) }
}
