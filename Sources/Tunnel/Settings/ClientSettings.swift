internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLinuxIO
package import CausewaySupport
internal import CausewayTelemetry
internal import CausewayTunnelCore
internal import CausewayWire

/// Everything that `http`, `tcp` and `start` were told, checked: flags over environment over files over defaults.
package struct ClientSettings: Sendable {
  package var configuration: TunnelClientConfiguration
  /// The relay's origin, for people.
  package var serverText: String { configuration.server.origin }
  /// `start`: stdout has `NAME=URL` for each tunnel.
  package var namesTunnels = false
  package var logLevel: Sourced<String>?
  /// One line each, in the order they were found.
  package var warnings: [String] = []

  /// What came in through the environment and is no longer there.
  package struct Secrets: Sendable {
    package var token: String?
    package var basicAuth: String?

    package init(token: String? = nil, basicAuth: String? = nil) {
      self.token = token
      self.basicAuth = basicAuth
    }

    /// Takes CAUSEWAY_TOKEN and CAUSEWAY_BASIC_AUTH out of the process. At its start, while it has one thread.
    package static func take() -> Secrets {
      Secrets(token: Environment.takeSecret("CAUSEWAY_TOKEN"), basicAuth: Environment.takeSecret("CAUSEWAY_BASIC_AUTH"))
    }
  }

  package init(_ arguments: ParsedArguments, _ environment: Environment, _ secrets: Secrets, folders: XDGFolders) throws(CommandFailure) {
    var warnings: [String] = []
    var fileServer: Sourced<String>?
    var tunnels: [TunnelSpecification] = []
    switch arguments.command.name {
    case "http": tunnels = [try Self.http(arguments, secrets, &warnings)]
    case "tcp": tunnels = [try Self.tcp(arguments, secrets)]
    default:
      let words = arguments.positionals("FILE|NAME").map(\.value)
      let file = try Self.tunnelFile(TunnelSelection(words), arguments, secrets, &tunnels, &warnings)
      (fileServer, logLevel, namesTunnels) = (file.server, file.logLevel, true)
    }
    if let flag = arguments.value("log-level") { logLevel = flag }

    // The client's own file is read at most once, and only when something of it is needed.
    var loaded: ClientConfiguration?
    let path = folders.clientConfiguration
    func stored() throws(CommandFailure) -> ClientConfiguration {
      if let loaded { return loaded }
      let fresh = try ClientConfiguration.load(path)
      loaded = fresh
      return fresh
    }
    var candidates = [
      arguments.value("server"), environment["CAUSEWAY_SERVER"].map { Sourced($0, from: .environment("CAUSEWAY_SERVER")) }, fileServer,
    ]
    if !candidates.contains(where: { $0 != nil }) {
      candidates.append(try stored().sourcedServer)
    }
    let server = try ServerChoice(candidates)
    let token = try TokenChoice(
      for: server.url, file: arguments.value("token-file"), secret: secrets.token,
      configuration: { () throws(CommandFailure) in try stored() },
      configurationPath: path)
    warnings += [server.warning, token.warning].compactMap(\.self)

    configuration = TunnelClientConfiguration(
      server: server.url, token: SecretKey(copying: Array(token.token.utf8).span), tunnels: tunnels, seed: UInt64.random(in: 0 ... .max))
    configuration.proxy = try ProxyChoice.proxy(for: server.url, environment)
    configuration.trust = try Self.trust(arguments, server.url, &warnings)
    self.warnings = warnings
  }

  private static func trust(
    _ arguments: ParsedArguments, _ server: ServerURL, _ warnings: inout [String]
  ) throws(CommandFailure) -> TLSContext.Trust {
    let authorities = arguments.value("ca")
    if let authorities {
      do throws(SystemError) { _ = try Files.read(authorities.value, atMost: 16 << 20) } catch {
        throw CommandFailure(.configuration, "--ca: \(authorities.value.printable): \(error.message)")
      }
    }
    if arguments.flag("insecure") {
      if authorities != nil { throw .usage("--ca and -k exclude each other: the one verifies, the other doesn't") }
      if server.isSecure {
        warnings.append(
          "-k: the certificate of \(server.origin) is not verified: anyone in between can read and change everything, the token included")
      }
      return .insecure
    }
    return authorities.map { .authorities(file: $0.value) } ?? .systemStore
  }

  // MARK: Tunnels

  private static func target(_ text: Sourced<String>, _ isHTTP: Bool, _ arguments: ParsedArguments) throws(CommandFailure) -> OriginTarget {
    do throws(TargetError) {
      return try OriginTarget(parsing: text.value, isHTTP: isHTTP, isInsecure: isHTTP && arguments.flag("origin-insecure"))
    } catch { throw .usage(error.description) }
  }

  private static func http(
    _ arguments: ParsedArguments, _ secrets: Secrets, _ warnings: inout [String]
  ) throws(CommandFailure) -> TunnelSpecification {
    let positional = arguments.command.positionals[0].name
    guard let text = arguments.positional(positional) else { throw .usage("'causeway http' needs \(positional)") }
    // First of all: what follows may fail, and its message may be read beside `ps`.
    let password = arguments.value("auth")
    if let password, !password.value.hasPrefix("@") {
      ProgramArguments.overwrite(password.origin)
      warnings.append(
        "\(password.origin): a password as an argument was visible in ps until now; better \(password.origin) @FILE or CAUSEWAY_BASIC_AUTH")
    }
    var target = try target(text, true, arguments)
    if let header = arguments.value("host-header") {
      do throws(TargetError) { try target.setHostHeader(header.value) } catch { throw .usage("--host-header: \(error)") }
    }
    var tunnel = TunnelSpecification(name: target.description, isHTTP: true, target: target)
    if let name = arguments.value("subdomain") {
      if let fault = PublicName.fault(of: name.value) { throw .usage("--subdomain: \(fault)") }
      tunnel.subdomain = name.value.lowercased()
    }
    if let password {
      let (auth, warning) = try VisitorPassword.hash(password.value, password.origin.description)
      tunnel.basicAuth = auth
      if let warning { warnings.append(warning) }
    } else if let password = secrets.basicAuth {
      tunnel.basicAuth = try VisitorPassword.hash(credential: password, "CAUSEWAY_BASIC_AUTH")
    }
    return tunnel
  }

  private static func tcp(_ arguments: ParsedArguments, _ secrets: Secrets) throws(CommandFailure) -> TunnelSpecification {
    let positional = arguments.command.positionals[0].name
    guard let text = arguments.positional(positional) else { throw .usage("'causeway tcp' needs \(positional)") }
    if secrets.basicAuth != nil { throw passwordWithTCP("'causeway tcp'") }
    let target = try target(text, false, arguments)
    var tunnel = TunnelSpecification(name: target.description, isHTTP: false, target: target)
    if let port = arguments.value("remote-port") {
      guard let number = PublicName.port(port.value) else {
        throw .usage("--remote-port: '\(port.value.printable)' is out of range: ports go from 1 to 65535")
      }
      tunnel.remotePort = number
    }
    return tunnel
  }

  /// Passing over it would leave the service open to everyone.
  private static func passwordWithTCP(_ what: String) -> CommandFailure {
    .usage("CAUSEWAY_BASIC_AUTH is set, but \(what) has no place for a password: unset it")
  }

  private static func tunnelFile(
    _ selection: TunnelSelection, _ arguments: ParsedArguments, _ secrets: Secrets, _ tunnels: inout [TunnelSpecification],
    _ warnings: inout [String]
  ) throws(CommandFailure) -> TunnelFile {
    let path = selection.file
    let content: [UInt8]?
    do throws(FileError) { content = try PrivateFile.read(path, isSecret: false) } catch { throw CommandFailure(error) }
    guard let content else {
      let help = selection.isExplicit ? "" : "; write it, or name another: causeway start FILE"
      throw CommandFailure(.configuration, "\(path.printable): no such file\(help)")
    }
    let file: TunnelFile
    do throws(YAMLError) {
      file = try TunnelFile(
        parsing: content, file: path, logLevels: LogLevel.allCases.map(\.name), isInsecure: arguments.flag("origin-insecure"))
    } catch { throw CommandFailure(error) }
    var hasPassword = false
    for entry in try selection.choose(from: file.tunnels) {
      var tunnel = entry.specification
      if let auth = entry.auth {
        if !auth.value.hasPrefix("@") { hasPassword = true }
        let (hash, warning) = try VisitorPassword.hash(auth.value, auth.origin.description, folder: Files.folder(of: path))
        tunnel.basicAuth = hash
        if let warning { warnings.append(warning) }
      } else if let password = secrets.basicAuth {
        if !tunnel.isHTTP { throw passwordWithTCP("the tcp tunnel '\(tunnel.name)'") }
        tunnel.basicAuth = try VisitorPassword.hash(credential: password, "CAUSEWAY_BASIC_AUTH")
      }
      tunnels.append(tunnel)
    }
    if hasPassword, let warning = SecretText.warning(aboutFile: path) { warnings.append(warning) }
    return file
  }
}
