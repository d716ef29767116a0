internal import CausewayRelayCore
internal import CausewaySupport
internal import CausewayTelemetry

/// The relay's settings as texts with their origins, before they mean anything. The file only fills what no flag said.
struct RelayValues {
  var listen: [Sourced<String>]
  var publicURL: Sourced<String>?
  var domain: Sourced<String>?
  var data: Sourced<String>?
  var tcpPorts: Sourced<String>?
  var certificate: Sourced<String>?
  var key: Sourced<String>?
  var trustedProxies: [Sourced<String>]
  var metrics: Sourced<String>?
  var json: Bool
  var logLevel: Sourced<String>?
  var logFormat: Sourced<String>?
  var logFile: Sourced<String>?
  var policy = ReservationPolicy()

  init(_ arguments: ParsedArguments) {
    listen = arguments.values("listen")
    publicURL = arguments.value("public-url")
    domain = arguments.value("domain")
    data = arguments.value("data")
    tcpPorts = arguments.value("tcp-ports")
    certificate = arguments.value("tls-cert")
    key = arguments.value("tls-key")
    trustedProxies = arguments.values("trusted-proxy")
    metrics = arguments.value("metrics")
    json = arguments.flag("json")
    logLevel = arguments.value("log-level")
    logFormat = arguments.value("log-format")
    logFile = arguments.value("log-file")
  }

  private static let keys = [
    "listen", "public_url", "domain", "data", "tcp_ports", "tls_cert", "tls_key", "trusted_proxy", "metrics", "json", "log_level",
    "log_format",
    "log_file", "limits",
  ]

  /// Paths in a file are relative to its folder.
  mutating func fill(from content: [UInt8], file: String) throws(YAMLError) {
    let root = try YAMLDocument.parse(content, file: file).mapping(keys: Self.keys)
    let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
    func text(_ key: String, _ expectation: String) throws(YAMLError) -> Sourced<String>? {
      guard let node = root.optional(key) else { return nil }
      return Sourced(try node.string(expectation), from: Self.origin(node))
    }
    func path(_ key: String) throws(YAMLError) -> Sourced<String>? {
      guard var path = try text(key, "a path") else { return nil }
      if !path.value.hasPrefix("/") { path.value = folder + path.value }
      return path
    }
    func list(_ key: String, _ expectation: String) throws(YAMLError) -> [Sourced<String>] {
      guard let node = root.optional(key) else { return [] }
      guard case .sequence = node.content else { return [Sourced(try node.string(expectation), from: Self.origin(node))] }
      var result: [Sourced<String>] = []
      for item in try node.sequence() { result.append(Sourced(try item.string(expectation), from: Self.origin(item))) }
      return result
    }
    func choice(_ key: String, _ choices: [String]) throws(YAMLError) -> Sourced<String>? {
      guard let node = root.optional(key) else { return nil }
      return Sourced(try node.oneOf(choices), from: Self.origin(node))
    }
    // All are read, also those that a flag wins over: a mistake does not hide behind a flag.
    let (fileListen, fileProxies) = (
      try list("listen", "[http://|https://]ADDR:PORT"), try list("trusted_proxy", "a network like 10.0.0.0/8")
    )
    if listen.isEmpty { listen = fileListen }
    if trustedProxies.isEmpty { trustedProxies = fileProxies }
    let found = (
      try text("public_url", "a URL"), try text("domain", "a domain"), try path("data"), try text("tcp_ports", "a range A-B"),
      try path("tls_cert"),
      try path("tls_key"), try text("metrics", "ADDR:PORT")
    )
    publicURL = publicURL ?? found.0
    domain = domain ?? found.1
    data = data ?? found.2
    tcpPorts = tcpPorts ?? found.3
    certificate = certificate ?? found.4
    key = key ?? found.5
    metrics = metrics ?? found.6
    if let node = root.optional("json") { json = try node.boolean() || json }
    let log = (try choice("log_level", LogLevel.allCases.map(\.name)), try choice("log_format", ["text", "json"]), try path("log_file"))
    logLevel = logLevel ?? log.0
    logFormat = logFormat ?? log.1
    logFile = logFile ?? log.2
    if let node = root.optional("limits"), !node.isNull { try fillLimits(node) }
  }

  /// The place, for messages that come later.
  private static func origin(_ node: YAMLNode) -> Origin { node.origin }

  private mutating func fillLimits(_ node: YAMLNode) throws(YAMLError) {
    let limits = try node.mapping(
      keys: ["names_per_account", "tcp_ports_per_account", "requested_name_days", "random_name_hours", "cool_down_days"])
    if let node = limits.optional("names_per_account") { policy.namesPerAccount = try node.integer(in: 0...1_000_000) }
    if let node = limits.optional("tcp_ports_per_account") { policy.portsPerAccount = try node.integer(in: 0...65535) }
    if let node = limits.optional("requested_name_days") { policy.requestedSeconds = Int64(try node.integer(in: 1...36500)) * 86_400 }
    if let node = limits.optional("random_name_hours") { policy.randomSeconds = Int64(try node.integer(in: 1...876_000)) * 3600 }
    if let node = limits.optional("cool_down_days") { policy.coolDownSeconds = Int64(try node.integer(in: 0...36500)) * 86_400 }
  }
}
