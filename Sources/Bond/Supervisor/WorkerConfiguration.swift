package import CausewayCrypto
package import CausewaySupport
package import CausewayWire

/// All that the packet child is told: a configuration without hooks, DNS, routes and files. It travels over the private socket between
/// parent and child only, keys included; nothing of it is ever logged.
package struct WorkerConfiguration: Sendable {
  package var name = ""
  package var privateKey: SecretKey?
  package var listenPort: UInt16?
  package var listenAddress: IPAddress?
  package var listenTCPPort: UInt16?
  /// The interface's own addresses: the source of ICMP errors.
  package var addresses: [IPAddress] = []
  package var mtu = BondConfiguration.defaultMTU
  package var scheduler = SchedulerChoice.auto
  package var copiesDSCP = false
  /// SO_MARK of every outer socket; 0: none. The one that policy routing was set up with, when it was.
  package var firewallMark: UInt32 = 0
  package var repair = RepairChoice()
  package var peers: [BondConfiguration.Peer] = []
  package var metrics: HostPort?
  /// TUN queues, one a thread: descriptors `firstQueueDescriptor` and up.
  package var queueCount = 1
  /// What TUNSETOFFLOAD accepted (TUN_F_...).
  package var offloads: UInt32 = 0
  /// Lines below it need not be sent.
  package var logLevel = "info"

  /// Descriptors that the child inherits.
  package static let channelDescriptor: CInt = 3
  package static let firstQueueDescriptor: CInt = 4

  package init() {}

  package init(_ bond: BondConfiguration, firewallMark: UInt32, queueCount: Int, offloads: UInt32, logLevel: String) {
    name = bond.name
    privateKey = bond.privateKey
    listenPort = bond.listenPort
    listenAddress = bond.listenAddress
    listenTCPPort = bond.listenTCPPort
    addresses = bond.addresses.map(\.address)
    mtu = bond.mtu
    scheduler = bond.scheduler
    copiesDSCP = bond.copiesDSCP
    self.firewallMark = firewallMark
    repair = bond.repair
    peers = bond.peers
    metrics = bond.metrics
    self.queueCount = queueCount
    self.offloads = offloads
    self.logLevel = logLevel
  }

  /// What the child needs to keep when it gives up the rest.
  package var privileges: WorkerPrivileges {
    var needs: WorkerPrivileges = [.networkAdministration]
    if peers.contains(where: { $0.paths.contains { if case .device = $0.binding { true } else { false } } }) { needs.insert(.rawSockets) }
    if [listenPort, listenTCPPort, metrics?.port].contains(where: { $0.map { $0 > 0 && $0 < 1024 } ?? false }) { needs.insert(.lowPorts) }
    return needs
  }
}

extension WorkerConfiguration: JSONRecord {
  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("name", &name)
    try json.secret("private_key", &privateKey)
    try json.field("listen_port", &listenPort)
    try json.text("listen_address", &listenAddress)
    try json.field("listen_tcp_port", &listenTCPPort)
    try json.texts("addresses", &addresses) { IPAddress($0) }
    try json.field("mtu", &mtu)
    try json.field("scheduler", &scheduler)
    try json.field("copies_dscp", &copiesDSCP)
    try json.field("firewall_mark", &firewallMark)
    try json.field("resends", &repair.resends)
    try json.field("parity", &repair.parity)
    try json.field("duplicates", &repair.duplicates)
    var records = peers.map(PeerRecord.init)
    try json.field("peers", &records)
    if json.isReading {
      peers = []
      for record in records { peers.append(try record.peer()) }
    }
    var metricsText = metrics?.description
    try json.field("metrics", &metricsText)
    metrics = metricsText.flatMap { try? HostPort(parsing: $0) }
    try json.field("queue_count", &queueCount)
    try json.field("offloads", &offloads)
    try json.field("log_level", &logLevel)
  }
}

private struct PeerRecord: JSONRecord {
  var publicKey = ""
  var presharedKey: SecretKey?
  var allowedIPs: [IPNetwork] = []
  var persistentKeepalive: UInt16 = 0
  var paths: [PathRecord] = []
  var initiates = false

  init() {}

  init(_ peer: BondConfiguration.Peer) {
    publicKey = peer.publicKey.description
    presharedKey = peer.presharedKey
    allowedIPs = peer.allowedIPs
    persistentKeepalive = peer.persistentKeepalive
    paths = peer.paths.map { PathRecord(path: $0) }
    initiates = peer.initiates
  }

  func peer() throws(JSONRecordError) -> BondConfiguration.Peer {
    guard let key = PeerKey(base64: publicKey) else { throw JSONRecordError("public_key", "expected a key") }
    return BondConfiguration.Peer(
      publicKey: key, presharedKey: presharedKey, allowedIPs: allowedIPs, persistentKeepalive: persistentKeepalive,
      paths: paths.map(\.path), initiates: initiates)
  }

  mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("public_key", &publicKey)
    try json.secret("preshared_key", &presharedKey)
    try json.texts("allowed_ips", &allowedIPs) { try? IPNetwork(parsing: $0) }
    try json.field("persistent_keepalive", &persistentKeepalive)
    try json.field("paths", &paths)
    try json.field("initiates", &initiates)
  }
}

private struct PathRecord: JSONRecord {
  var path = PathConfiguration(host: "", port: 0)

  init() {}
  init(path: PathConfiguration) { self.path = path }

  mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) {
    try json.field("host", &path.host)
    try json.field("port", &path.port)
    var device: String?
    var source: IPAddress?
    switch path.binding {
    case .any: break
    case .device(let name): device = name
    case .source(let address): source = address
    }
    try json.field("device", &device)
    try json.text("source", &source)
    path.binding = if let device { .device(device) } else if let source { .source(source) } else { .any }
    try json.field("transport", &path.transport)
    try json.field("name", &path.name)
    try json.field("weight", &path.weight)
    try json.field("rate_up", &path.rateUp)
    try json.field("rate_down", &path.rateDown)
    try json.field("backup", &path.isBackup)
  }
}

extension JSONExchange {
  /// In base64.
  fileprivate mutating func secret(_ name: String, _ key: inout SecretKey?) throws(JSONRecordError) {
    var text = key.map(KeyText.base64)
    try field(name, &text)
    guard isReading, let text else { return }
    guard let found = KeyText.secretKey(base64: text) else { throw JSONRecordError(name, "expected a key") }
    key = found
  }

  fileprivate mutating func text(_ name: String, _ address: inout IPAddress?) throws(JSONRecordError) {
    var text = address?.description
    try field(name, &text)
    guard isReading, let text else { return }
    guard let found = IPAddress(text) else { throw JSONRecordError(name, "expected an address") }
    address = found
  }

  fileprivate mutating func texts<T: CustomStringConvertible>(
    _ name: String, _ values: inout [T], _ parse: (String) -> T?
  ) throws(JSONRecordError) {
    var texts = values.map(\.description)
    try field(name, &texts)
    guard isReading else { return }
    values = []
    for text in texts {
      guard let value = parse(text) else { throw JSONRecordError(name, "a value is broken") }
      values.append(value)
    }
  }
}
