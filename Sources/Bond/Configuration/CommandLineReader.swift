internal import CausewayCrypto
package import CausewaySupport
internal import CausewayWire

/// One path without a file: `causeway bond up --name … --peer KEY@HOST:PORT …`.
package enum CommandLineReader {
  /// - Parameters:
  ///   - arguments: Of `bond up`.
  ///   - readKey: The text of a key file; `-` is standard input.
  package static func read(
    _ arguments: ParsedArguments, readKey: (String) throws(CommandFailure) -> String
  ) throws(CommandFailure) -> BondConfiguration {
    func needed(_ option: String) throws(CommandFailure) -> String {
      guard let value = arguments.value(option)?.value else { throw .usage("without a file 'causeway bond up' needs --\(option)") }
      return value
    }
    let name = try needed("name")
    guard InterfaceName.isValid(name) else { throw .usage("--name: \(InterfaceName.rule)") }
    let keyFile = try needed("private-key-file")
    let peerText = try needed("peer")
    var bond = BondConfiguration(
      form: .commandLine, file: "command line", name: name, privateKey: try key(keyFile, "--private-key-file", readKey))
    for value in arguments.values("address") {
      guard let (address, prefix) = WireGuardReader.prefixed(value.value) else {
        throw .usage("--address: expected an address like 10.7.0.2/24")
      }
      bond.addresses.append(.init(address, prefixLength: prefix))
    }
    if let port = arguments.value("listen-port")?.value {
      guard let number = UInt16(port), number > 0 else { throw .usage("--listen-port: expected a port 1-65535") }
      bond.listenPort = number
    }
    var peer = try self.peer(peerText)
    if let file = arguments.value("preshared-key-file")?.value { peer.presharedKey = try key(file, "--preshared-key-file", readKey) }
    for value in arguments.values("allowed-ips") {
      for text in value.value.split(separator: ",") {
        guard let (address, prefix) = WireGuardReader.prefixed(String(text)) else {
          throw .usage("--allowed-ips: expected networks like 10.0.0.0/8 or ::/0, with commas between them")
        }
        peer.allowedIPs.append(IPNetwork(masking: address, prefixLength: prefix))
      }
    }
    bond.peers = [peer]
    do throws(PlacedError) { try BondRules.check(&bond) } catch { throw CommandFailure(error) }
    return bond
  }

  private static func peer(_ text: String) throws(CommandFailure) -> BondConfiguration.Peer {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    guard let key = PeerKey(base64: parts[0]) else { throw .usage("--peer: expected KEY@HOST:PORT with a public key of 44 characters") }
    var peer = BondConfiguration.Peer(publicKey: key)
    guard parts.count == 2 else { return peer }
    let remote: HostPort
    do throws(AddressError) { remote = try HostPort(parsing: String(parts[1])) } catch { throw .usage("--peer: \(error)") }
    guard remote.port > 0 else { throw .usage("--peer: the port can't be 0") }
    peer.paths = [PathConfiguration(host: remote.host, port: remote.port)]
    PathLine.name(&peer.paths)
    return peer
  }

  private static func key(
    _ file: String, _ option: String, _ readKey: (String) throws(CommandFailure) -> String
  ) throws(CommandFailure) -> SecretKey {
    let text = try readKey(file).split(whereSeparator: \.isWhitespace)
    guard text.count == 1, let key = KeyText.secretKey(base64: text[0]) else {
      throw .usage("\(option): expected one key of 44 characters in base64, as 'causeway bond keygen' prints it")
    }
    return key
  }
}
