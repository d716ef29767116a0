internal import CLinux
internal import CausewayBase
internal import Glibc

/// Links, addresses, routes and rules of the network namespace of the thread that made it (rtnetlink(7)). Every call waits for the
/// kernel's answer, which comes at once. For control planes and tests; belongs to one thread at a time.
///
/// Errors are `SystemError`s that name what was asked, with the kernel's reason where it gives one. Those worth telling apart: EPERM
/// (needs CAP_NET_ADMIN), EEXIST (is there already), ESRCH, EADDRNOTAVAIL and ENOENT (is not there), ENODEV (no such interface).
public final class Netlink {
  /// Bytes of one answer: the kernel's own limit for dumps is 32 KiB.
  private static let answerByteLimit = 65536

  private let descriptor: CInt
  private var sequence: UInt32 = 0

  public init() throws(SystemError) {
    let socketType = CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    descriptor = Glibc.socket(AF_NETLINK, socketType, 0)
    if descriptor < 0 { throw SystemError(errno, "netlink socket") }
    // NETLINK_CAP_ACK and NETLINK_EXT_ACK of SOL_NETLINK: errors without our own message, with a reason.
    for option: CInt in [10, 11] { _ = shim_set_int_option(descriptor, 270, option, 1) }
  }

  deinit { _ = Glibc.close(descriptor) }

  // MARK: Links

  public func links() throws(SystemError) -> [NetworkLink] {
    var message = NetlinkMessage(.getLink, flags: NetlinkMessage.Flags.dump)
    for _ in 0..<4 { message.append(UInt32(0)) }
    var links: [NetworkLink] = []
    try request(message, "list links") { reader, type, body in
      if type == NetlinkMessage.Kind.newLink.rawValue, let link = NetworkLink(reader, body) { links.append(link) }
    }
    return links
  }

  /// nil when there is no such interface.
  public func link(named name: String) throws(SystemError) -> NetworkLink? {
    try links().first { $0.name == name }
  }

  /// Changes what is not nil of an interface.
  public func setLink(_ index: UInt32, up: Bool? = nil, maximumTransmissionUnit: Int? = nil, transmitQueueLength: Int? = nil)
    throws(SystemError)
  {
    var message = NetlinkMessage(.newLink, flags: 0)
    message.append(UInt32(0))
    message.append(index)
    message.append(UInt32(up == true ? IFF_UP : 0))
    message.append(UInt32(up == nil ? 0 : IFF_UP))
    if let maximumTransmissionUnit { message.attribute(4, UInt32(clamping: maximumTransmissionUnit)) }
    if let transmitQueueLength { message.attribute(13, UInt32(clamping: transmitQueueLength)) }
    try request(message, "change interface \(index)")
  }

  public func removeLink(_ index: UInt32) throws(SystemError) {
    var message = NetlinkMessage(.removeLink, flags: 0)
    message.append(UInt32(0))
    message.append(index)
    message.append(UInt64(0))
    try request(message, "remove interface \(index)")
  }

  // MARK: Addresses

  public func addAddress(_ address: InterfaceAddress) throws(SystemError) {
    let flags = NetlinkMessage.Flags.create | NetlinkMessage.Flags.exclusive
    try request(message(.newAddress, address, flags), "add address \(address.prefix)")
  }

  public func removeAddress(_ address: InterfaceAddress) throws(SystemError) {
    try request(message(.removeAddress, address, 0), "remove address \(address.prefix)")
  }

  private func message(_ kind: NetlinkMessage.Kind, _ address: InterfaceAddress, _ flags: UInt16) -> NetlinkMessage {
    var message = NetlinkMessage(kind, flags: flags)
    message.append(address.prefix.family)
    message.append(UInt8(address.prefix.length))
    message.append(UInt16(0))  // flags, scope: global
    message.append(address.interface)
    message.attribute(2, address.prefix.address.kernelBytes)  // IFA_LOCAL
    message.attribute(1, address.prefix.address.kernelBytes)  // IFA_ADDRESS
    return message
  }

  /// IPv4 and IPv6 addresses of all interfaces, or of one.
  public func addresses(of interface: UInt32? = nil) throws(SystemError) -> [InterfaceAddress] {
    var message = NetlinkMessage(.getAddress, flags: NetlinkMessage.Flags.dump)
    message.append(UInt64(0))
    var found: [InterfaceAddress] = []
    try request(message, "list addresses") { reader, type, body in
      guard type == NetlinkMessage.Kind.newAddress.rawValue, let address = InterfaceAddress(reader, body) else { return }
      if interface == nil || interface == address.interface { found.append(address) }
    }
    return found
  }

  // MARK: Routes

  /// Adds a route, or takes the place of one to the same destination with the same metric in the same table.
  public func setRoute(_ route: NetworkRoute) throws(SystemError) {
    try request(
      message(.newRoute, route, NetlinkMessage.Flags.create | NetlinkMessage.Flags.replace), "set route \(route)")
  }

  /// Adds a route; EEXIST when there is one to the same destination with the same metric.
  public func addRoute(_ route: NetworkRoute) throws(SystemError) {
    try request(
      message(.newRoute, route, NetlinkMessage.Flags.create | NetlinkMessage.Flags.exclusive), "add route \(route)")
  }

  public func removeRoute(_ route: NetworkRoute) throws(SystemError) {
    try request(message(.removeRoute, route, 0), "remove route \(route)")
  }

  private func message(_ kind: NetlinkMessage.Kind, _ route: NetworkRoute, _ flags: UInt16) -> NetlinkMessage {
    let removes = kind == .removeRoute
    let isLocalLink = route.gateway == nil && route.destination.address.family == .ipv4
    var message = NetlinkMessage(kind, flags: flags)
    message.append(route.destination.family)
    message.append(UInt8(route.destination.length))
    message.append(UInt16(0))  // source prefix, TOS
    message.append(UInt8(route.table < 256 ? route.table : 0))
    message.append(UInt8(removes ? 0 : 3))  // RTPROT_BOOT, as ip(8) says
    message.append(UInt8(removes ? 255 : isLocalLink ? 253 : 0))  // RT_SCOPE_NOWHERE: any; LINK; UNIVERSE
    message.append(UInt8(removes ? 0 : 1))  // RTN_UNICAST
    message.append(UInt32(0))
    if route.destination.length > 0 { message.attribute(1, route.destination.network.address.kernelBytes) }
    if route.interface != 0 { message.attribute(4, route.interface) }
    if let gateway = route.gateway { message.attribute(5, gateway.kernelBytes) }
    if let metric = route.metric { message.attribute(6, metric) }
    if let source = route.preferredSource { message.attribute(7, source.kernelBytes) }
    if let mtu = route.maximumTransmissionUnit { message.nested(8) { $0.attribute(2, mtu) } }
    message.attribute(15, route.table)
    return message
  }

  /// Unicast routes of one table.
  public func routes(table: UInt32 = NetworkRoute.mainTable) throws(SystemError) -> [NetworkRoute] {
    var message = NetlinkMessage(.getRoute, flags: NetlinkMessage.Flags.dump)
    for _ in 0..<3 { message.append(UInt32(0)) }
    var found: [NetworkRoute] = []
    try request(message, "list routes") { reader, type, body in
      guard type == NetlinkMessage.Kind.newRoute.rawValue, let route = NetworkRoute(reader, body), route.table == table else { return }
      found.append(route)
    }
    return found
  }

  // MARK: Rules

  public func addRule(_ rule: RoutingRule) throws(SystemError) {
    let flags = NetlinkMessage.Flags.create | NetlinkMessage.Flags.exclusive
    try request(message(.newRule, rule, flags), "add rule \(rule)")
  }

  public func removeRule(_ rule: RoutingRule) throws(SystemError) {
    try request(message(.removeRule, rule, 0), "remove rule \(rule)")
  }

  private func message(_ kind: NetlinkMessage.Kind, _ rule: RoutingRule, _ flags: UInt16) -> NetlinkMessage {
    var message = NetlinkMessage(kind, flags: flags)
    message.append(UInt8(rule.family == .ipv4 ? AF_INET : AF_INET6))
    message.append(UInt8(0))
    message.append(UInt16(0))
    message.append(UInt8(rule.table < 256 ? rule.table : 0))
    message.append(UInt16(0))
    message.append(UInt8(1))  // FR_ACT_TO_TBL
    message.append(UInt32(rule.isInverted ? 2 : 0))  // FIB_RULE_INVERT
    message.attribute(15, rule.table)
    if let priority = rule.priority { message.attribute(6, priority) }
    if let mark = rule.mark { message.attribute(10, mark) }
    if let length = rule.suppressedPrefixLength { message.attribute(14, length) }
    return message
  }

  /// Rules that choose a table, of both families.
  public func rules() throws(SystemError) -> [RoutingRule] {
    var found: [RoutingRule] = []
    for family in [AF_INET, AF_INET6] {
      var message = NetlinkMessage(.getRule, flags: NetlinkMessage.Flags.dump)
      message.append(UInt32(family))  // the family's byte comes first
      message.append(UInt64(0))
      try request(message, "list rules") { reader, type, body in
        if type == NetlinkMessage.Kind.newRule.rawValue, let rule = RoutingRule(reader, body) { found.append(rule) }
      }
    }
    return found
  }

  // MARK: Requests

  /// Sends a request and reads until its end: an acknowledgement, an error, or the end of a dump.
  private func request(
    _ message: NetlinkMessage, _ what: String, _ each: (NetlinkReader, UInt16, Range<Int>) -> Void = { _, _, _ in }
  ) throws(SystemError) {
    sequence &+= 1
    let flags = NetlinkMessage.Flags.request | NetlinkMessage.Flags.acknowledge
    let bytes = message.finished(sequence: sequence, adding: flags)
    if unsafe Glibc.send(descriptor, bytes, bytes.count, 0) != bytes.count { throw SystemError(errno, what) }
    var answer = [UInt8](repeating: 0, count: Self.answerByteLimit)
    while true {
      let count = unsafe Glibc.recv(descriptor, &answer, answer.count, 0)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { throw SystemError(count < 0 ? errno : EPROTO, what) }
      let reader = NetlinkReader(Array(answer[..<count]))
      var isDone = false
      try reader.messages { (type, number, body) throws(SystemError) in
        guard number == sequence else { return true }
        switch type {
        case 2:  // NLMSG_ERROR, with 0 the acknowledgement
          let code = reader.number(body.lowerBound, as: UInt32.self).map { Int32(bitPattern: $0) } ?? -EPROTO
          if code != 0 { throw SystemError(-code, what + reason(reader, body)) }
          isDone = true
        case 3: isDone = true  // NLMSG_DONE
        default: each(reader, type, body)
        }
        return !isDone
      }
      if isDone { return }
    }
  }

  /// The kernel's own words (NLMSGERR_ATTR_MSG), behind the error and the header of our message.
  private func reason(_ reader: NetlinkReader, _ body: Range<Int>) -> String {
    let start = body.lowerBound + 4 + NetlinkMessage.headerByteCount
    guard start < body.upperBound, let text = reader.text(reader.attributes(start..<body.upperBound)[1]) else { return "" }
    return " (\(text))"
  }
}

extension NetworkLink {
  init?(_ reader: NetlinkReader, _ body: Range<Int>) {
    guard body.count >= 16, let index: UInt32 = reader.number(body.lowerBound + 4), let flags: UInt32 = reader.number(body.lowerBound + 8)
    else { return nil }
    let attributes = reader.attributes(body.lowerBound + 16..<body.upperBound)
    self.index = index
    name = reader.text(attributes[3]) ?? ""
    maximumTransmissionUnit = Int(attributes[4].flatMap { reader.number($0.lowerBound, as: UInt32.self) } ?? 0)
    transmitQueueLength = Int(attributes[13].flatMap { reader.number($0.lowerBound, as: UInt32.self) } ?? 0)
    isUp = flags & UInt32(IFF_UP) != 0
    isRunning = flags & UInt32(IFF_RUNNING) != 0
    kind = attributes[18].flatMap { reader.text(reader.attributes($0)[1]) }
  }
}

extension InterfaceAddress {
  init?(_ reader: NetlinkReader, _ body: Range<Int>) {
    guard body.count >= 8, let index: UInt32 = reader.number(body.lowerBound + 4) else { return nil }
    let attributes = reader.attributes(body.lowerBound + 8..<body.upperBound)
    // On a point-to-point link IFA_ADDRESS is the other end.
    guard let address = reader.address(attributes[2] ?? attributes[1]),
      let prefix = AddressPrefix(address, length: Int(reader.bytes[body.lowerBound + 1]))
    else { return nil }
    self.init(prefix, interface: index)
  }
}

extension NetworkRoute {
  init?(_ reader: NetlinkReader, _ body: Range<Int>) {
    // RTN_UNICAST, of IPv4 or IPv6.
    guard body.count >= 12, reader.bytes[body.lowerBound + 7] == 1 else { return nil }
    let family = CInt(reader.bytes[body.lowerBound])
    guard family == AF_INET || family == AF_INET6 else { return nil }
    let attributes = reader.attributes(body.lowerBound + 12..<body.upperBound)
    func number(_ type: UInt16) -> UInt32? { attributes[type].flatMap { reader.number($0.lowerBound) } }
    let any: DatagramAddress = family == AF_INET ? .ipv4(0, port: 0) : .ipv6(high: 0, low: 0, port: 0)
    guard let prefix = AddressPrefix(reader.address(attributes[1]) ?? any, length: Int(reader.bytes[body.lowerBound + 1])) else {
      return nil
    }
    self.init(
      prefix, interface: number(4) ?? 0, gateway: reader.address(attributes[5]), preferredSource: reader.address(attributes[7]),
      table: number(15) ?? UInt32(reader.bytes[body.lowerBound + 4]), metric: number(6),
      maximumTransmissionUnit: attributes[8].flatMap { reader.attributes($0)[2] }.flatMap { reader.number($0.lowerBound) })
  }
}

extension RoutingRule {
  init?(_ reader: NetlinkReader, _ body: Range<Int>) {
    guard body.count >= 12, reader.bytes[body.lowerBound + 7] == 1, let flags: UInt32 = reader.number(body.lowerBound + 8) else {
      return nil
    }
    let attributes = reader.attributes(body.lowerBound + 12..<body.upperBound)
    func number(_ type: UInt16) -> UInt32? { attributes[type].flatMap { reader.number($0.lowerBound) } }
    let suppressed = number(14)
    self.init(
      CInt(reader.bytes[body.lowerBound]) == AF_INET6 ? .ipv6 : .ipv4, table: number(15) ?? UInt32(reader.bytes[body.lowerBound + 4]),
      priority: number(6), mark: number(10), isInverted: flags & 2 != 0,
      suppressedPrefixLength: suppressed == .max ? nil : suppressed)
  }
}
