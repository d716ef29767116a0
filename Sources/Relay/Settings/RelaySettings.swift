internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayRelayCore
package import CausewaySupport
internal import CausewayTelemetry
internal import CausewayWire

/// What `causeway relay` was told: flags over the YAML file over defaults, checked.
package struct RelaySettings: Sendable {
  package var configuration: RelayConfiguration
  package var log = LogChoice()
  /// One line each.
  package var warnings: [String] = []

  /// `--log-level`, `--log-format`, `--log-file`.
  package struct LogChoice: Equatable, Sendable {
    package var level: String?
    package var format: String?
    package var file: String?
  }

  package init(_ arguments: ParsedArguments, _ environment: Environment) throws(CommandFailure) {
    var given = RelayValues(arguments)
    if let file = arguments.value("config") {
      let content: [UInt8]?
      do throws(FileError) { content = try PrivateFile.read(file.value, isSecret: false) } catch {
        throw CommandFailure(.configuration, "--config: \(error)")
      }
      guard let content else { throw CommandFailure(.configuration, "--config: \(file.value.printable): no such file") }
      do throws(YAMLError) { try given.fill(from: content, file: file.value) } catch { throw CommandFailure(error) }
    }
    configuration = RelayConfiguration(data: try Self.dataDirectory(given.data?.value, environment))
    log = LogChoice(level: given.logLevel?.value, format: given.logFormat?.value, file: given.logFile?.value)
    configuration.json = given.json
    configuration.policy = given.policy
    try takeListeners(given)
    try takeNames(given)
    if let range = given.tcpPorts { configuration.policy.ports = try Self.portRange(range) }
    for network in given.trustedProxies {
      do throws(AddressError) { configuration.trustedProxies.append(try IPNetwork(parsing: network.value)) } catch {
        throw .usage("\(network.origin): \(error)")
      }
    }
    if let metrics = given.metrics { configuration.metrics = try Self.address(metrics.value, metrics.origin) }
  }

  /// `--data DIR`, else the XDG state folder: also for the commands that manage accounts.
  package static func dataDirectory(_ path: String?, _ environment: Environment) throws(CommandFailure) -> DataDirectory {
    if let path { return DataDirectory(path: path) }
    do throws(DataDirectoryError) { return try DataDirectory.standard { environment[$0] } } catch { throw .usage(error.message) }
  }

  // MARK: Listeners

  private mutating func takeListeners(_ given: RelayValues) throws(CommandFailure) {
    if !given.listen.isEmpty {
      configuration.listen = []
      for listen in given.listen { configuration.listen.append(try Self.listener(listen)) }
    }
    if let twice = configuration.listen.enumerated().first(where: { index, listen in
      listen.address.port != 0 && configuration.listen[..<index].contains { $0.address == listen.address }
    }) {
      throw .usage("--listen: \(twice.element.address) is given twice")
    }
    switch (given.certificate, given.key) {
    case (let certificate?, let key?): (configuration.tlsCertificate, configuration.tlsKey) = (certificate.value, key.value)
    case (let certificate?, nil): throw .usage("\(certificate.origin): a certificate needs its private key: give --tls-key too")
    case (nil, let key?): throw .usage("\(key.origin): a private key needs its certificate: give --tls-cert too")
    case (nil, nil): break
    }
    let isSecure = configuration.listen.contains { $0.isTLS }
    if isSecure && configuration.tlsCertificate == nil { throw .usage("an https listener needs --tls-cert and --tls-key") }
    if !isSecure, let certificate = given.certificate {
      warnings.append("\(certificate.origin): no listener is https, so nobody will see the certificate")
    }
    for file in [given.certificate, given.key].compactMap(\.self) {
      do throws(SystemError) { _ = try Files.read(file.value) } catch {
        throw CommandFailure(.configuration, "\(file.origin): \(file.value.printable): \(error.message)")
      }
    }
    let open = configuration.listen.first { !$0.isTLS && !$0.address.isLoopback }
    if let open, !isSecure, given.publicURL == nil {
      warnings.append("\(open.address) takes tokens and traffic unencrypted: use https:// with --tls-cert, or a proxy with --public-url")
    }
  }

  static func listener(_ text: Sourced<String>) throws(CommandFailure) -> RelayConfiguration.Listen {
    let lowered = text.value.lowercased()
    var rest = text.value[...]
    let isTLS = lowered.hasPrefix("https://")
    if isTLS || lowered.hasPrefix("http://") {
      rest = rest.dropFirst(isTLS ? 8 : 7)
      if rest.hasSuffix("/") { rest = rest.dropLast() }
    } else if rest.contains("://") {
      throw .usage("\(text.origin): unknown scheme in '\(text.value.printable)': write [http://|https://]ADDR:PORT")
    }
    return RelayConfiguration.Listen(isTLS: isTLS, address: try address(String(rest), text.origin))
  }

  /// An IP address, or localhost, with a port.
  static func address(_ text: String, _ origin: Origin) throws(CommandFailure) -> SocketAddress {
    if text.hasPrefix("localhost:"), let address = SocketAddress("127.0.0.1" + text.dropFirst(9)) { return address }
    if !text.hasPrefix("unix:"), let address = SocketAddress(text) { return address }
    throw .usage(
      "\(origin): '\(text.printable)' is no address to listen on: write an IP address and a port, like 127.0.0.1:8080, 0.0.0.0:80 or [::]:80"
    )
  }

  // MARK: Names

  private mutating func takeNames(_ given: RelayValues) throws(CommandFailure) {
    if let text = given.publicURL {
      guard let url = try? ServerURL(parsing: text.value), url.scheme != .unix, url.path.isEmpty || url.path == "/" else {
        // What stands before `@` may be a password.
        let shown = (text.value.lastIndex(of: "@").map { "…" + text.value[$0...] } ?? text.value).prefix(100).printable
        throw .usage("\(text.origin): '\(shown)' is no relay's URL: write https://HOST or https://HOST:PORT, without a path")
      }
      configuration.publicURL = url
    }
    if let domain = given.domain {
      configuration.domain = try Self.domain(domain)
    } else if let url = configuration.publicURL, !(url.address.address?.isLoopback ?? (url.address.host == "localhost")) {
      warnings.append("tunnels are called NAME.localhost, which nobody else reaches: give --domain NAME")
    }
  }

  /// What a domain leaves for a tunnel's name (RFC 1035 §2.3.4: 253 characters in all).
  static let domainByteLimit = 253 - 1 - TunnelName.maximumByteCount

  static func domain(_ text: Sourced<String>) throws(CommandFailure) -> String {
    func refuse(_ why: String) -> CommandFailure { .usage("\(text.origin): '\(text.value.prefix(100).printable)' is no domain: \(why)") }
    var name = text.value[...]
    if name.hasPrefix("*.") { throw refuse("write it without '*.'") }
    if name.hasSuffix(".") { name = name.dropLast() }
    if name.contains("/") || name.contains(":") { throw refuse("write the name alone, without scheme and port") }
    if name.isEmpty { throw refuse("it is empty") }
    if name.utf8.count > domainByteLimit { throw refuse("longer than \(domainByteLimit) characters, no room for names before it") }
    if IPAddress(name) != nil { throw refuse("names cannot stand before an address; try 'localhost' for a private relay") }
    for label in name.split(separator: ".", omittingEmptySubsequences: false) {
      do throws(NameError) { _ = try TunnelName(label: String(label)) } catch { throw refuse(error.message) }
    }
    return name.lowercased()
  }

  static func portRange(_ text: Sourced<String>) throws(CommandFailure) -> ClosedRange<UInt16> {
    let ends = text.value.split(separator: "-", omittingEmptySubsequences: false).map { part in
      part.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? UInt16(part) : nil
    }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first > 0, first <= last else {
      throw .usage("\(text.origin): '\(text.value.printable)' is no range of ports: write A-B with 1 <= A <= B <= 65535, like 20000-20999")
    }
    return first...last
  }
}
