package import CausewaySupport
package import CausewayWire

/// Reads the JSON form of multipath, a Go program that this part succeeds. Compatible as a configuration, not on the wire; as that program
/// has no keys, a field `secret` gives both ends theirs.
package enum MultipathReader {
  static let defaultName = "multipath-veth0"
  static let defaultMetrics = HostPort(host: "127.0.0.1", port: 2131)

  /// - Parameter derive: Makes the keys; slow.
  package static func read(
    _ file: ConfigurationFile, derive: (String, IPAddress, IPAddress) -> SharedSecret? = { SharedSecret($0, $1, $2) }
  ) throws(PlacedError) -> BondConfiguration {
    let node = try JSONNode(parsing: file.bytes, file: file.path)
    let root = try node.object(keys: ["client", "server", "tun", "promListenAddr", "tcp", "isServer", "secret"])
    let tun = try root.required("tun").object(keys: ["name", "localAddr", "remoteAddr", "allowedIPs"])
    let isServer = try root.optional("isServer")?.boolean() ?? false
    let isTCP = try root.optional("tcp")?.boolean() ?? false
    let local = try address(try tun.required("localAddr"))
    let remoteNode = try tun.required("remoteAddr")
    let remote = try address(remoteNode)
    guard remote.family == local.family else { throw remoteNode.error("is of another family than tun.localAddr") }
    guard remote != local else { throw remoteNode.error("is the same as tun.localAddr") }
    var name = defaultName
    if let nameNode = tun.optional("name") {
      name = try nameNode.string("an interface name")
      guard InterfaceName.isValid(name) else { throw nameNode.unexpected("a name: \(InterfaceName.rule)") }
    }
    // All of the file is read before the slow part.
    let paths = try self.paths(root, isServer: isServer, isTCP: isTCP)
    let listen = try self.listen(root, isServer: isServer)
    let allowed = try networks(tun)
    let metrics = try self.metrics(root)
    let (secret, secretNode) = try self.secret(root, node, file)
    guard let keys = derive(secret, local, remote) else {
      throw secretNode.error("deriving the keys needs 128 MiB of memory, which isn't free")
    }

    let (ownKey, peerKey) =
      isServer ? (keys.serverPrivateKey, keys.clientPrivateKey) : (keys.clientPrivateKey, keys.serverPrivateKey)
    var bond = BondConfiguration(form: .multipath, file: file.path, name: name, privateKey: ownKey)
    bond.addresses = [.init(local, prefixLength: local.bitCount, peer: remote)]
    if let listen {
      bond.listenAddress = listen.address.flatMap { $0.isUnspecified ? nil : $0 }
      bond.listenPort = listen.port
      bond.listenTCPPort = isTCP ? listen.port : nil
    }
    bond.metrics = metrics
    let own = IPNetwork(masking: remote, prefixLength: remote.bitCount)
    bond.peers = [
      BondConfiguration.Peer(
        publicKey: BondRules.publicKey(of: peerKey), presharedKey: keys.presharedKey, allowedIPs: [own] + allowed.filter { $0 != own },
        paths: paths, initiates: !isServer)
    ]
    if !SharedSecret.isGenerated(secret) {
      bond.warnings.append(
        secretNode.error(
          "one captured handshake lets anyone try guesses offline: use a value that 'causeway bond genpsk' printed instead of one that a human made up"
        ).description)
    }
    try BondRules.check(&bond)
    return bond
  }

  private static func secret(_ root: JSONObject, _ node: JSONNode, _ file: ConfigurationFile) throws(PlacedError) -> (String, JSONNode) {
    guard let secretNode = root.optional("secret") else {
      throw node.error(
        "the field 'secret' is missing: multipath's own files have no keys; add the same value to both ends, from: causeway bond genpsk")
    }
    let secret = try secretNode.string("a text of 16-1024 bytes", isSecret: true)
    guard SharedSecret.byteCounts.contains(secret.utf8.count) else {
      throw secretNode.error("expected a text of 16-1024 bytes, got \(secret.utf8.count)")
    }
    if file.isReadableByOthers { throw secretNode.error("others can read this file; run: chmod 600 \(file.path)") }
    return (secret, secretNode)
  }

  private static func address(_ node: JSONNode) throws(PlacedError) -> IPAddress {
    guard let address = IPAddress(try node.string("an address like 10.7.0.1")), !address.isUnspecified else {
      throw node.unexpected("an address like 10.7.0.1, without a prefix")
    }
    return address
  }

  private static func networks(_ tun: JSONObject) throws(PlacedError) -> [IPNetwork] {
    guard let node = tun.optional("allowedIPs") else { return [] }
    var networks: [IPNetwork] = []
    for item in try node.array("a list of networks") {
      guard let (address, prefix) = WireGuardReader.prefixed(try item.string("a network like 10.0.0.0/8")) else {
        throw item.unexpected("a network like 10.0.0.0/8")
      }
      let network = IPNetwork(masking: address, prefixLength: prefix)
      if !networks.contains(network) { networks.append(network) }
    }
    return networks
  }

  private static func paths(_ root: JSONObject, isServer: Bool, isTCP: Bool) throws(PlacedError) -> [PathConfiguration] {
    let client = try root.optional("client")?.object(keys: ["remotePaths"])
    let list = client?.optional("remotePaths")
    var paths: [PathConfiguration] = []
    for item in try list?.array("a list of paths") ?? [] {
      let fields = try item.object(keys: ["remoteAddr", "weight"])
      let remoteNode = try fields.required("remoteAddr")
      let remote = try hostPort(remoteNode, mayBeAny: false)
      var path = PathConfiguration(host: remote.host, port: remote.port, transport: isTCP ? .tcp : .udp)
      // 0 is what Go makes of a missing number.
      if let weight = try fields.optional("weight")?.integer(in: 0...PathConfiguration.weights.upperBound), weight > 0 {
        path.weight = weight
      }
      if paths.contains(where: { $0.identity == path.identity }) { throw remoteNode.error("the same path stands above already") }
      paths.append(path)
      if paths.count > BondConfiguration.maximumPathCount { throw item.error("at most \(BondConfiguration.maximumPathCount) paths") }
    }
    if isServer { return [] }
    if paths.isEmpty {
      throw (list ?? root.optional("client"))?.error("a client needs at least one path")
        ?? root.missing("client.remotePaths is missing: a client needs at least one path")
    }
    PathLine.name(&paths)
    return paths
  }

  private static func listen(_ root: JSONObject, isServer: Bool) throws(PlacedError) -> HostPort? {
    let node = try root.optional("server")?.object(keys: ["listen"]).optional("listen")
    guard isServer else { return nil }
    guard let node else { throw root.missing("server.listen is missing: a server needs ADDRESS:PORT") }
    let listen = try hostPort(node, mayBeAny: true)
    guard listen.address != nil else { throw node.unexpected("ADDRESS:PORT or :PORT") }
    return listen
  }

  private static func metrics(_ root: JSONObject) throws(PlacedError) -> HostPort {
    guard let node = root.optional("promListenAddr") else { return defaultMetrics }
    let metrics = try hostPort(node, mayBeAny: true)
    guard metrics.address != nil else { throw node.unexpected("ADDRESS:PORT or :PORT") }
    return metrics
  }

  /// Go's `:PORT` is every address.
  private static func hostPort(_ node: JSONNode, mayBeAny: Bool) throws(PlacedError) -> HostPort {
    var text = try node.string("HOST:PORT")
    if mayBeAny && text.hasPrefix(":") { text = "0.0.0.0" + text }
    let result: HostPort
    do throws(AddressError) { result = try HostPort(parsing: text) } catch { throw node.error(error.description) }
    if result.port == 0 { throw node.error("the port can't be 0") }
    return result
  }
}
