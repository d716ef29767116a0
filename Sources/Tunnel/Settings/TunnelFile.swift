internal import CausewayBase
package import CausewaySupport
internal import CausewayTunnelCore

/// causeway.yml: the tunnels that `causeway start` opens in one session.
package struct TunnelFile: Sendable {
  package static let standardName = "causeway.yml"
  static let protocols = ["http", "tcp"]

  package var server: Sourced<String>?
  package var logLevel: Sourced<String>?
  package var tunnels: [Entry]

  /// One tunnel, checked except for its password, whose file is read only if the tunnel starts.
  package struct Entry: Sendable {
    package var specification: TunnelSpecification
    package var auth: Sourced<String>?
    package var place: YAMLNode.Place
  }

  package init(parsing text: [UInt8], file: String, logLevels: [String], isInsecure: Bool = false) throws(YAMLError) {
    let document = try YAMLDocument.parse(text, file: file)
    let root = try document.mapping(keys: ["server", "log_level", "tunnels"])
    if let node = root.optional("server") { server = Sourced(try node.string("a URL"), from: node.origin) }
    if let node = root.optional("log_level") { logLevel = Sourced(try node.oneOf(logLevels), from: node.origin) }
    tunnels = []
    let list = try root.required("tunnels")
    let items = try list.sequence()
    if items.isEmpty { throw list.error("no tunnel: write at least one, with name, protocol and local_port") }
    if items.count > SessionLimits.tunnelLimit {
      throw list.error("\(items.count) tunnels, one session holds \(SessionLimits.tunnelLimit): write the others into a second file")
    }
    for item in items { tunnels.append(try Self.entry(item, isInsecure, after: tunnels)) }
  }

  private static let keys = ["name", "protocol", "local_port", "local", "subdomain", "hostname", "remote_port", "auth", "host_header"]

  private static func entry(_ node: YAMLNode, _ isInsecure: Bool, after others: [Entry]) throws(YAMLError) -> Entry {
    let map = try node.mapping(keys: keys)
    let nameNode = try map.required("name")
    let name = try nameNode.string("a name")
    if let fault = fault(ofName: name) { throw nameNode.error(fault) }
    if others.contains(where: { $0.specification.name == name }) { throw nameNode.error("'\(name)' is the name of another tunnel too") }
    let isHTTP = try map.required("protocol").oneOf(protocols) == "http"
    let target = try target(map, node, isHTTP, isInsecure)
    var specification = TunnelSpecification(name: name, isHTTP: isHTTP, target: target)
    if let node = map.optional("hostname") {
      throw node.error("host names of your own are not supported yet; use subdomain for a name below the relay's domain")
    }
    if let node = map.optional("subdomain") {
      if !isHTTP { throw node.error("only http tunnels have names; use remote_port") }
      let text = try node.string("a name")
      if let fault = PublicName.fault(of: text) { throw node.error(fault) }
      specification.subdomain = text.lowercased()
      if others.contains(where: { $0.specification.subdomain == specification.subdomain }) {
        throw node.error("'\(text)' is the subdomain of another tunnel too")
      }
    }
    if let node = map.optional("remote_port") {
      if isHTTP { throw node.error("only tcp tunnels have ports; use subdomain") }
      let port = UInt16(try node.port())
      specification.remotePort = port
      if others.contains(where: { $0.specification.remotePort == port }) { throw node.error("\(port) is the port of another tunnel too") }
    }
    var auth: Sourced<String>?
    if let node = map.optional("auth") {
      if !isHTTP { throw node.error("a TCP stream has no place for a password; it works with protocol: http") }
      auth = Sourced(try node.secret("@FILE or USER:PASS"), from: node.origin)
    }
    return Entry(specification: specification, auth: auth, place: node.place)
  }

  private static func target(
    _ map: YAMLMapping, _ tunnel: YAMLNode, _ isHTTP: Bool, _ isInsecure: Bool
  ) throws(YAMLError) -> OriginTarget {
    var target: OriginTarget
    switch (map.optional("local_port"), map.optional("local")) {
    case (let node?, nil): target = OriginTarget(address: .loopbackPort(UInt16(try node.port())))
    case (nil, let node?):
      let text = try node.string("HOST:PORT, a URL or unix:/path")
      do throws(TargetError) { target = try OriginTarget(parsing: text, isHTTP: isHTTP, isInsecure: isInsecure) } catch {
        throw node.error(error.description)
      }
    case (_?, let node?): throw node.error("local_port says already where the service is: remove one of the two")
    case (nil, nil): throw tunnel.error("the key 'local_port' (or 'local') is missing")
    }
    if let node = map.optional("host_header") {
      if !isHTTP { throw node.error("only http tunnels have a Host field") }
      let text = try node.string("rewrite or a name")
      do throws(TargetError) { try target.setHostHeader(text) } catch { throw node.error(error.description) }
    }
    return target
  }

  /// Names stand in `NAME=URL` and on command lines.
  private static func fault(ofName name: String) -> String? {
    let isPlain = name.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || "-_.".utf8.contains(byte)
    }
    if !isPlain || name.hasPrefix("-") {
      return "'\(name.prefix(64).printable)' is no name for a tunnel: use letters, digits, '-', '_' and '.'"
    }
    if TunnelSelection.isFile(name) { return "'\(name)' looks like a file on the command line: end it otherwise" }
    return name.utf8.count > 63 ? "a name has at most 63 characters" : nil
  }
}

/// The words behind `causeway start`.
package struct TunnelSelection: Equatable, Sendable {
  package var file: String
  /// Whether the user named the file.
  package var isExplicit: Bool
  /// Empty: all.
  package var names: [String]

  /// A first word that ends in .yml or .yaml or has a slash is the file.
  package init(_ words: [String]) {
    isExplicit = words.first.map(Self.isFile) ?? false
    file = isExplicit ? words[0] : TunnelFile.standardName
    names = Array(words.dropFirst(isExplicit ? 1 : 0))
  }

  static func isFile(_ word: String) -> Bool { word.contains("/") || word.hasSuffix(".yml") || word.hasSuffix(".yaml") }

  /// The chosen ones in the order of the file.
  package func choose(from tunnels: [TunnelFile.Entry]) throws(CommandFailure) -> [TunnelFile.Entry] {
    let known = tunnels.map(\.specification.name)
    for name in names where !known.contains(name) {
      let hint = ClosestWord.of(name, among: known).map { "did you mean '\($0)'?" } ?? "it has \(known.prefix(20).joined(separator: ", "))"
      throw .usage("no tunnel '\(name.printable)' in \(file.printable): \(hint)")
    }
    return names.isEmpty ? tunnels : tunnels.filter { names.contains($0.specification.name) }
  }
}
