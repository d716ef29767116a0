import CausewayCrypto
import CausewaySupport
import CausewayWire
import Testing

@testable import CausewayBond

// scrypt by Python's hashlib over "causeway bond secret 1" and the two addresses, then clamped.
private let vectorClient = "CB5CRBsyH4+c2IuuLmnYviV0Sd5NQwfoo2Ht4J4GBko="
private let vectorServer = "mFwm1ZsiXOEL2QAYNme4vyYurdRgz815dP40kFvb120="
private let vectorPreshared = "9fxn3ebP1ot4S9XxVBBNplWhG/bAvpcD1CzoWsAOKRA="

@Suite struct MultipathReaderTests {
  static let secret = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="

  static func read(_ text: String, mode: UInt32 = 0o600) throws(PlacedError) -> BondConfiguration {
    try MultipathReader.read(ConfigurationFile(path: "m.json", bytes: Array(text.utf8), mode: mode)) { _, first, second in
      // The slow part has its own test: keys that differ by role are enough here.
      SharedSecret.forTests(first.low &+ second.low)
    }
  }

  static let client = """
    {
      "client": {"remotePaths": [{"remoteAddr": "192.0.2.1:2000", "weight": 3}, {"remoteAddr": "[2001:db8::1]:2000", "weight": 0}]},
      "tun": {"localAddr": "10.168.168.2", "remoteAddr": "10.168.168.1", "allowedIPs": ["10.0.0.0/8", "10.168.168.1"]},
      "secret": "\(secret)"
    }
    """
  static let server = """
    {"isServer": true, "server": {"listen": ":2000"}, "tcp": true, "promListenAddr": "127.0.0.1:9100",
     "tun": {"name": "mp0", "localAddr": "10.168.168.1", "remoteAddr": "10.168.168.2", "allowedIPs": null}, "secret": "\(secret)"}
    """

  @Test("a client has every path, starts the handshake, and routes to allowedIPs")
  func readsClient() throws {
    let bond = try Self.read(Self.client)
    #expect(bond.name == "multipath-veth0" && bond.form == .multipath)
    #expect(bond.addresses.map(\.description) == ["10.168.168.2 peer 10.168.168.1/32"])
    #expect(bond.metrics == HostPort(host: "127.0.0.1", port: 2131))
    let peer = bond.peers[0]
    #expect(peer.initiates && peer.presharedKey != nil)
    #expect(peer.allowedIPs.map(\.description) == ["10.168.168.1/32", "10.0.0.0/8"])
    #expect(peer.paths.map(\.weight) == [3, nil] && peer.paths.map(\.transport) == [.udp, .udp])
    #expect(peer.paths.map(\.remote.description) == ["192.0.2.1:2000", "[2001:db8::1]:2000"])
    #expect(bond.warnings.isEmpty)
  }

  @Test("a server listens and has the other half of the keys")
  func readsServer() throws {
    let (server, client) = (try Self.read(Self.server), try Self.read(Self.client))
    #expect(server.name == "mp0" && server.listenPort == 2000 && server.listenTCPPort == 2000 && server.listenAddress == nil)
    #expect(server.peers[0].paths.isEmpty && !server.peers[0].initiates)
    #expect(server.peers[0].publicKey == client.publicKey && client.peers[0].publicKey == server.publicKey)
    #expect(KeyText.areEqual(try #require(server.peers[0].presharedKey), try #require(client.peers[0].presharedKey)))
    #expect(server.metrics == HostPort(host: "127.0.0.1", port: 9100))
  }

  /// What to replace in the client's file, and what the error must say.
  static let mistakes: [(String, String, String)] = [
    ("\"secret\": \"\(secret)\"", "\"x\": 1", "m.json:4:3: x: unknown field; known are client"),
    (",\n  \"secret\": \"\(secret)\"", "", "m.json:1:1: the field 'secret' is missing"),
    (secret, "fifteen bytes..", "m.json:4:13: secret: expected a text of 16-1024 bytes, got 15"),
    ("\"\(secret)\"", "1234567890123456", "secret: expected a text of 16-1024 bytes, got something else (not shown)"),
    ("weight\": 3", "wieght\": 3", "client.remotePaths[0].wieght: unknown field, did you mean 'weight'?"),
    ("weight\": 3", "weight\": 1001", "client.remotePaths[0].weight: expected a whole number 0-1000, got 1001"),
    ("192.0.2.1:2000", "192.0.2.1", "client.remotePaths[0].remoteAddr: no port"),
    ("10.168.168.2", "10.168.168.2/24", "tun.localAddr: expected an address like 10.7.0.1, without a prefix, got '10.168.168.2/24'"),
    ("\"10.168.168.2\"", "\"10.168.168.1\"", "tun.remoteAddr: is the same as tun.localAddr"),
    ("\"10.168.168.2\"", "\"fd00::1\"", "tun.remoteAddr: is of another family"),
    ("10.0.0.0/8", "10.0.0.0/40", "tun.allowedIPs[0]: expected a network"),
    ("{\"remotePaths\"", "{\"remotePath\"", "client.remotePath: unknown field, did you mean 'remotePaths'?"),
    ("\"tun\"", "\"name\": 7, \"tun\"", "m.json:3:3: name: unknown field"),
    ("\"tun\"", "\"tcp\": \"yes\", \"tun\"", "tcp: expected true or false, got 'yes'"),
    ("\"tun\"", "\"promListenAddr\": \"box:1\", \"tun\"", "promListenAddr: expected ADDRESS:PORT"),
    ("\"tun\"", "\"isServer\": true, \"tun\"", "server.listen is missing"),
    ("{\n", "{,\n", "m.json:1:2: broken JSON"),
  ]

  @Test("a mistake is named with file, line, field and what is accepted, and shows no secret", arguments: mistakes)
  func mistake(_ old: String, _ new: String, _ expected: String) {
    let text = Self.client.replacing(old, with: new, maxReplacements: 1)
    #expect(text != Self.client)
    do throws(PlacedError) {
      _ = try Self.read(text)
      Issue.record("taken: \(text)")
    } catch {
      #expect(error.description.contains(expected), "\(error.description)")
      #expect(!error.description.contains(Self.secret) && !error.description.contains("1234567890123456"))
    }
  }

  @Test("a secret that others can read is refused, one that a human made is warned of")
  func secrets() throws {
    #expect(throws: PlacedError.self) { try Self.read(Self.client, mode: 0o640) }
    let bond = try Self.read(Self.client.replacing(Self.secret, with: "correct horse battery staple"))
    #expect(bond.warnings.count == 1 && bond.warnings[0].contains("genpsk"))
  }

  @Test("the keys of a secret are these, whichever address comes first (fixed vector)")
  func vector() throws {
    let (first, second) = (IPAddress("10.168.168.1")!, IPAddress("10.168.168.2")!)
    let keys = try #require(SharedSecret("correct horse battery staple", first, second))
    #expect(KeyText.base64(of: keys.clientPrivateKey) == vectorClient)
    #expect(KeyText.base64(of: keys.serverPrivateKey) == vectorServer)
    #expect(KeyText.base64(of: keys.presharedKey) == vectorPreshared)
    let swapped = try #require(SharedSecret("correct horse battery staple", second, first))
    #expect(KeyText.areEqual(keys.presharedKey, swapped.presharedKey))
    let other = try #require(SharedSecret("correct horse battery staple", IPAddress("fd00::1")!, IPAddress("fd00::2")!))
    #expect(!KeyText.areEqual(keys.presharedKey, other.presharedKey))
  }
}

extension SharedSecret {
  static func forTests(_ seed: UInt64) -> SharedSecret {
    func key(_ role: UInt8) -> SecretKey {
      var bytes = [UInt8](repeating: role, count: 32)
      bytes[8] = UInt8(truncatingIfNeeded: seed)
      return SecretKey(copying: bytes.span)
    }
    return SharedSecret(clientPrivateKey: key(1), serverPrivateKey: key(2), presharedKey: key(3))
  }
}
