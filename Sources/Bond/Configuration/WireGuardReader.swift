package import CausewaySupport
internal import CausewayWire

/// Reads WireGuard's INI form: what `wg-quick` takes, and our keys beside it.
package enum WireGuardReader {
  static let interfaceKeys = [
    "PrivateKey", "ListenPort", "FwMark", "Address", "DNS", "MTU", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig",
    "Scheduler", "Threads", "ListenTCP", "DSCP", "Repair", "FEC", "Duplicate", "Metrics",
  ]
  static let peerKeys = ["PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive", "Path"]

  package static func read(_ file: ConfigurationFile) throws(PlacedError) -> BondConfiguration {
    let name = ConfigurationFile.baseName(file.path)
    guard InterfaceName.isValid(name) else {
      throw PlacedError(file: file.path, reason: "the file's name becomes the interface's: \(InterfaceName.rule)")
    }
    let document = try INIDocument(parsing: file.bytes, file: file.path)
    var interface: INIDocument.Section?
    var peers: [INIDocument.Section] = []
    for section in document.sections {
      if section.isNamed("Peer") {
        peers.append(section)
      } else if section.isNamed("Interface") {
        if let first = interface { throw section.error("a second [Interface], the first is in line \(first.line)") }
        interface = section
      } else {
        throw section.error("unknown section; known are [Interface] and [Peer]")
      }
    }
    guard let interface else { throw PlacedError(file: file.path, reason: "the section [Interface] is missing") }
    var bond = try self.interface(interface, name)
    for section in peers { bond.peers.append(try peer(section, &bond.warnings)) }
    if file.isReadableByOthers {
      bond.warnings.append("\(file.path): holds private keys and others can read it; run: chmod 600 \(file.path)")
    }
    try BondRules.check(&bond)
    return bond
  }

  // MARK: [Interface]

  private static func interface(_ section: INIDocument.Section, _ name: String) throws(PlacedError) -> BondConfiguration {
    try section.check(keys: interfaceKeys, repeatable: ["Address", "DNS", "PreUp", "PostUp", "PreDown", "PostDown"])
    guard let keyEntry = section.value("PrivateKey") else { throw section.error("the key PrivateKey is missing") }
    guard let privateKey = KeyText.secretKey(base64: keyEntry.value) else {
      throw keyEntry.unexpected("a key of 44 characters in base64, as 'causeway bond keygen' prints it", isSecret: true)
    }
    var bond = BondConfiguration(form: .wireGuard, file: section.file, name: name, privateKey: privateKey)
    if let entry = section.value("ListenPort") {
      let port = try entry.integer(in: 0...65535, "a port 0-65535")
      bond.listenPort = port == 0 ? nil : UInt16(port)
    }
    if let entry = section.value("FwMark") {
      let mark = try entry.integer(in: 0...0xFFFF_FFFF, "a number 0-4294967295, 0x and hexadecimal digits, or off", zeroWord: "off")
      bond.firewallMark = mark == 0 ? nil : UInt32(mark)
    }
    for entry in section.values("Address") {
      for text in try entry.list("addresses") { bond.addresses.append(try address(text, entry)) }
    }
    for entry in section.values("DNS") {
      for text in try entry.list("addresses of name servers, or search domains") { try dns(text, entry, &bond.dns) }
    }
    if let entry = section.value("MTU") { bond.mtu = try entry.integer(in: BondConfiguration.mtus, "an MTU 1280-9000") }
    if let entry = section.value("Table") { bond.table = try table(entry) }
    try hooks(section, &bond)
    if let entry = section.value("SaveConfig"), try entry.oneOf(["true", "false"]) == "true" {
      throw entry.error(
        "SaveConfig isn't supported, nothing writes to this file: remove the line; edit the file and run 'causeway bond reload \(name)' to change a running bond"
      )
    }
    try ours(section, &bond)
    return bond
  }

  private static func ours(_ section: INIDocument.Section, _ bond: inout BondConfiguration) throws(PlacedError) {
    if let entry = section.value("Scheduler") {
      bond.scheduler = SchedulerChoice(rawValue: try entry.oneOf(SchedulerChoice.allCases.map(\.rawValue))) ?? .auto
    }
    if let entry = section.value("Threads") { bond.threads = try entry.integer(in: 1...BondConfiguration.maximumThreadCount) }
    if let entry = section.value("ListenTCP") { bond.listenTCPPort = UInt16(try entry.integer(in: 1...65535, "a port 1-65535")) }
    if let entry = section.value("DSCP") { bond.copiesDSCP = try entry.oneOf(["copy", "zero"]) == "copy" }
    if let entry = section.value("Repair") { bond.repair.resends = try entry.oneOf(["on", "off"]) == "on" }
    if let entry = section.value("FEC") { bond.repair.parity = try entry.oneOf(["auto", "off"]) == "auto" }
    if let entry = section.value("Duplicate") { bond.repair.duplicates = try entry.oneOf(["auto", "off"]) == "auto" }
    if let entry = section.value("Metrics") {
      do throws(AddressError) { bond.metrics = try HostPort(parsing: entry.value) } catch { throw entry.error(error.description) }
      guard bond.metrics?.address != nil else { throw entry.unexpected("ADDRESS:PORT") }
    }
  }

  /// `10.0.0.1/24`, `fd00::1`; without a prefix it is a single address.
  private static func address(_ text: String, _ entry: INIEntry) throws(PlacedError) -> BondConfiguration.InterfaceAddress {
    guard let (address, prefix) = prefixed(text), !address.isUnspecified else {
      throw entry.unexpected("an address like 10.0.0.1/24", got: text)
    }
    return BondConfiguration.InterfaceAddress(address, prefixLength: prefix)
  }

  static func prefixed(_ text: String) -> (IPAddress, Int)? {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = IPAddress(parts[0]) else { return nil }
    if parts.count == 1 { return (address, address.bitCount) }
    guard (1...3).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(parts[1]),
      length <= address.bitCount
    else { return nil }
    return (address, length)
  }

  private static func dns(_ text: String, _ entry: INIEntry, _ dns: inout BondConfiguration.DNS) throws(PlacedError) {
    if let address = IPAddress(text) {
      dns.servers.append(address)
      return
    }
    // resolvconf gets it as a line of a file.
    let isDomain =
      text.utf8.count <= 253 && !text.hasPrefix("-")
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
      }
    guard isDomain else { throw entry.unexpected("an address of a name server, or a search domain", got: text) }
    dns.searchDomains.append(text)
  }

  private static func table(_ entry: INIEntry) throws(PlacedError) -> BondConfiguration.Table {
    switch entry.value.lowercased() {
    case "off": return .off
    case "auto": return .automatic
    case "main": return .number(254)
    default:
      return .number(UInt32(try entry.integer(in: 1...0xFFFF_FFFF, "off, auto, main or a table's number 1-4294967295")))
    }
  }

  private static func hooks(_ section: INIDocument.Section, _ bond: inout BondConfiguration) throws(PlacedError) {
    func commands(_ key: String) throws(PlacedError) -> [String] {
      var commands: [String] = []
      for entry in section.values(key) {
        if entry.value.isEmpty { throw entry.unexpected("a command") }
        commands.append(entry.value)
        if entry.value.contains("wg set") || entry.value.contains("wg addconf") || entry.value.contains("wg setconf") {
          bond.warnings.append("\(entry.error("'wg' can't configure a bond, this command will fail"))")
        }
      }
      return commands
    }
    bond.hooks.preUp = try commands("PreUp")
    bond.hooks.postUp = try commands("PostUp")
    bond.hooks.preDown = try commands("PreDown")
    bond.hooks.postDown = try commands("PostDown")
  }

  // MARK: [Peer]

  private static func peer(_ section: INIDocument.Section, _ warnings: inout [String]) throws(PlacedError) -> BondConfiguration.Peer {
    try section.check(keys: peerKeys, repeatable: ["AllowedIPs", "Path"])
    guard let keyEntry = section.value("PublicKey") else { throw section.error("the key PublicKey is missing") }
    guard let publicKey = PeerKey(base64: keyEntry.value) else {
      // Someone may have pasted the private one.
      throw keyEntry.unexpected("a public key of 44 characters in base64", isSecret: true)
    }
    var peer = BondConfiguration.Peer(publicKey: publicKey, line: section.line)
    if let entry = section.value("PresharedKey") {
      guard let key = KeyText.secretKey(base64: entry.value) else {
        throw entry.unexpected("a key of 44 characters in base64, as 'causeway bond genpsk' prints it", isSecret: true)
      }
      peer.presharedKey = key
    }
    for entry in section.values("AllowedIPs") {
      for text in try entry.list("networks") {
        guard let (address, prefix) = prefixed(text) else { throw entry.unexpected("a network like 10.0.0.0/8 or ::/0", got: text) }
        let network = IPNetwork(masking: address, prefixLength: prefix)
        if network.address != address {
          warnings.append("\(entry.error("'\(text)' has bits set behind its prefix; it counts as \(network)"))")
        }
        if !peer.allowedIPs.contains(network) { peer.allowedIPs.append(network) }
      }
    }
    if let entry = section.value("PersistentKeepalive") {
      peer.persistentKeepalive = UInt16(try entry.integer(in: 0...65535, "seconds 1-65535, or off", zeroWord: "off"))
    }
    let pathEntries = section.values("Path")
    if let entry = section.value("Endpoint") {
      if let path = pathEntries.first {
        throw path.error("a peer has Endpoint (line \(entry.line)) or Path, not both: write the endpoint as a Path too")
      }
      let remote = try PathLine.endpoint(entry.value, entry)
      peer.paths = [PathConfiguration(host: remote.host, port: remote.port)]
    }
    for entry in pathEntries {
      let path = try PathLine.parse(entry)
      if peer.paths.contains(where: { $0.identity == path.identity }) { throw entry.error("the same path stands above already") }
      if !path.name.isEmpty, peer.paths.contains(where: { $0.name == path.name }) {
        throw entry.error("the name '\(path.name)' is taken by a path above")
      }
      peer.paths.append(path)
      if peer.paths.count > BondConfiguration.maximumPathCount {
        throw entry.error("a peer has at most \(BondConfiguration.maximumPathCount) paths")
      }
    }
    PathLine.name(&peer.paths)
    // Paths are there to be measured before they are needed.
    peer.initiates = !pathEntries.isEmpty
    return peer
  }
}
