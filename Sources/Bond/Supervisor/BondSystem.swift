internal import CLinux
internal import CausewayBase
internal import CausewayLinuxIO
package import CausewaySupport
package import CausewayWire
internal import Glibc

/// What bringing a bond up does to the machine. The supervisor decides, this does; tests give one that only remembers.
package protocol BondSystem: AnyObject {
  /// Makes the interface with so many queues. Returns their descriptors, which the caller closes, and what TUNSETOFFLOAD accepted.
  func openTunnel(_ name: String, queueCount: Int) throws(CommandFailure) -> (descriptors: [CInt], offloads: UInt32)
  func hasLink(_ name: String) throws(CommandFailure) -> Bool
  func perform(_ operation: NetworkOperation, on name: String) throws(CommandFailure)
  func runHook(_ command: String, on name: String) throws(CommandFailure)
  func chooseDNSTool() throws(CommandFailure) -> DNSTool
  func setNameServers(_ dns: BondConfiguration.DNS, _ tool: DNSTool, on name: String) throws(CommandFailure)
  func unsetNameServers(_ tool: DNSTool, on name: String) throws(CommandFailure)
  /// A file under /proc/sys/net/, without its line end.
  func control(_ path: String) -> String?
  func setControl(_ path: String, _ value: String) throws(CommandFailure)
  /// The table holds no route of this family.
  func isTableFree(_ table: UInt32, _ family: IPAddress.Family) throws(CommandFailure) -> Bool
}

/// The machine itself, through netlink and /proc; nothing is left to other programs but hooks and name servers.
package final class LinuxBondSystem: BondSystem {
  private let netlink: Netlink

  package init() throws(CommandFailure) {
    do throws(SystemError) { netlink = try Netlink() } catch { throw CommandFailure(.failure, error.description) }
  }

  package func openTunnel(_ name: String, queueCount: Int) throws(CommandFailure) -> (descriptors: [CInt], offloads: UInt32) {
    var descriptors: [CInt] = []
    do throws(TUNError) {
      var offload = TUNDevice.Offload.none
      for _ in 0..<queueCount {
        let queue = try TUNDevice(name: name, multiQueue: queueCount > 1)
        offload = queue.offload
        // The device closes its own when it goes.
        let copy = fcntl(queue.descriptor, F_DUPFD_CLOEXEC, 3)
        if copy >= 0 { descriptors.append(copy) }
      }
      if descriptors.count == queueCount { return (descriptors, offload.rawValue) }
    } catch {
      for descriptor in descriptors { close(descriptor) }
      throw CommandFailure(.failure, error.description)
    }
    for descriptor in descriptors { close(descriptor) }
    throw CommandFailure(.failure, "\(name): no descriptor is left for a TUN queue")
  }

  package func hasLink(_ name: String) throws(CommandFailure) -> Bool {
    do throws(SystemError) { return try netlink.link(named: name) != nil } catch { throw CommandFailure(.failure, error.description) }
  }

  package func perform(_ operation: NetworkOperation, on name: String) throws(CommandFailure) {
    do throws(SystemError) { try attempt(operation, name) } catch {
      let hint = error.code == EPERM ? ": run as root, or once: setcap cap_net_admin,cap_net_raw+ep PROGRAM" : ""
      throw CommandFailure(.failure, "\(name): cannot \(error.call): \(error.message)\(hint)")
    }
  }

  private func attempt(_ operation: NetworkOperation, _ name: String) throws(SystemError) {
    func index() throws(SystemError) -> UInt32 {
      guard let link = try netlink.link(named: name) else { throw SystemError(ENODEV, "find \(name)") }
      return link.index
    }
    switch operation {
    case .addAddress(let address, let length):
      guard let prefix = AddressPrefix("\(address)/\(length)") else { throw SystemError(EINVAL, "add address \(address)/\(length)") }
      try netlink.addAddress(InterfaceAddress(prefix, interface: index()))
    case .setUp(let mtu, let queueLength):
      try netlink.setLink(index(), up: true, maximumTransmissionUnit: mtu, transmitQueueLength: queueLength)
    case .addRoute(let network, let table): try netlink.addRoute(route(network, table, index()))
    case .removeRoute(let network, let table):
      do throws(SystemError) { try netlink.removeRoute(route(network, table, index())) } catch {
        if error.code != ESRCH && error.code != ENODEV { throw error }
      }
    case .addRule(let rule):
      do throws(SystemError) { try netlink.addRule(self.rule(rule)) } catch {
        // Another bond's, or one that a kill left: it means the same.
        if error.code != EEXIST { throw error }
      }
    case .removeRule(let rule):
      do throws(SystemError) { try netlink.removeRule(self.rule(rule)) } catch {
        if error.code != ENOENT && error.code != ESRCH && error.code != EAFNOSUPPORT { throw error }
      }
    case .removeLink:
      // Whoever made another interface of that name since keeps it.
      guard let link = try netlink.link(named: name), link.kind == "tun" else { return }
      try netlink.removeLink(link.index)
    }
  }

  private func route(_ network: IPNetwork, _ table: UInt32?, _ index: UInt32) throws(SystemError) -> NetworkRoute {
    guard let prefix = AddressPrefix(network.description) else { throw SystemError(EINVAL, "route to \(network)") }
    return NetworkRoute(prefix, interface: index, table: table ?? NetworkRoute.mainTable)
  }

  /// Just before the main table's own rule at 32766; suppression is looked at first.
  private func rule(_ rule: DefaultRouteRule) -> RoutingRule {
    let family: RoutingRule.Family = rule.family == .v4 ? .ipv4 : .ipv6
    switch rule.kind {
    case .unmarked: return RoutingRule(family, table: rule.table, priority: 32765, mark: rule.table, isInverted: true)
    case .suppressDefault: return RoutingRule(family, table: NetworkRoute.mainTable, priority: 32764, suppressedPrefixLength: 0)
    }
  }

  package func isTableFree(_ table: UInt32, _ family: IPAddress.Family) throws(CommandFailure) -> Bool {
    do throws(SystemError) {
      return try netlink.routes(table: table).allSatisfy { ($0.destination.address.family == .ipv4) != (family == .v4) }
    } catch { throw CommandFailure(.failure, error.description) }
  }

  package func runHook(_ command: String, on name: String) throws(CommandFailure) { try ChildProgram.runHook(command, interface: name) }
  package func chooseDNSTool() throws(CommandFailure) -> DNSTool { try NameServers.choose() }
  package func setNameServers(_ dns: BondConfiguration.DNS, _ tool: DNSTool, on name: String) throws(CommandFailure) {
    try NameServers.set(dns, tool, interface: name)
  }
  package func unsetNameServers(_ tool: DNSTool, on name: String) throws(CommandFailure) { try NameServers.unset(tool, interface: name) }

  // MARK: /proc/sys/net

  package func control(_ path: String) -> String? {
    guard let bytes = try? Files.read("/proc/sys/net/" + path, atMost: 4096) else { return nil }
    return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
  }

  package func setControl(_ path: String, _ value: String) throws(CommandFailure) {
    let full = "/proc/sys/net/" + path
    let descriptor = unsafe open(full, O_WRONLY | O_CLOEXEC)
    var code = errno
    if descriptor >= 0 {
      let bytes = Array((value + "\n").utf8)
      // SAFETY: the array outlives the call.
      let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
      code = count < 0 ? errno : 0
      close(descriptor)
    }
    if code != 0 { throw CommandFailure(.failure, "cannot set \(full) to \(value): \(SystemError(code, "write").message)") }
  }
}
