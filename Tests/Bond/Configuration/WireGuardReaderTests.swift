import CausewaySupport
import CausewayWire
import Testing

@testable import CausewayBond

/// Keys of nobody.
let privateKeyText = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
let publicKeyText = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
let otherPublicKeyText = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="

func wireGuard(_ text: String, path: String = "wg0.conf", mode: UInt32 = 0o600) throws(PlacedError) -> BondConfiguration {
  try WireGuardReader.read(ConfigurationFile(path: path, bytes: Array(text.utf8), mode: mode))
}

@Suite struct WireGuardReaderTests {
  @Test("a commercial provider's file: default route, name servers, both families")
  func provider() throws {
    let bond = try wireGuard(
      """
      # Provider: example, city 7
      [Interface]
      PrivateKey = \(privateKeyText)
      Address = 10.66.77.88/32,fc00:bbbb:bbbb:bb01::3:4d57/128
      DNS = 10.64.0.1

      [Peer]
      PublicKey = \(publicKeyText)
      AllowedIPs = 0.0.0.0/0,::0/0
      Endpoint = 193.32.127.66:51820

      """)
    #expect(bond.name == "wg0")
    #expect(bond.addresses.map(\.description) == ["10.66.77.88/32", "fc00:bbbb:bbbb:bb01::3:4d57/128"])
    #expect(bond.dns.servers.map(\.description) == ["10.64.0.1"])
    #expect(bond.listenPort == nil && bond.mtu == 1400 && bond.table == .automatic && bond.firewallMark == nil)
    let peer = try #require(bond.peers.first)
    #expect(peer.publicKey.description == publicKeyText)
    #expect(peer.allowedIPs.map(\.description) == ["0.0.0.0/0", "::/0"])
    #expect(peer.paths == [PathConfiguration(host: "193.32.127.66", port: 51820, name: "193.32.127.66")])
    #expect(!peer.initiates && bond.warnings.isEmpty)
  }

  @Test("a server's file: hooks with semicolons and %i, several peers, comments behind values, odd case and spacing")
  func server() throws {
    let bond = try wireGuard(
      """
      [interface]
      address=10.8.0.1/24
      Address  =  fd42:42:42::1/64   # second family
        ListenPort=51820
      privatekey = \(privateKeyText)
      PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
      PostUp = sysctl -q net.ipv4.ip_forward=1
      PostDown = iptables -D FORWARD -i %i -j ACCEPT; iptables -t nat -D POSTROUTING -o eth0 -j MASQUERADE
      SaveConfig = false
      MTU = 1420
      Table = off
      FwMark = 0xca6c

      ### laptop
      [Peer]
      PublicKey = \(publicKeyText)
      PresharedKey = \(privateKeyText)
      AllowedIPs = 10.8.0.2/32, fd42:42:42::2/128

      # phone
      [PEER]
      PublicKey = \(otherPublicKeyText)
      AllowedIPs = 10.8.0.3
      AllowedIPs = fd42:42:42::3
      PersistentKeepalive = 25
      """)
    #expect(bond.addresses.map(\.description) == ["10.8.0.1/24", "fd42:42:42::1/64"])
    #expect(bond.listenPort == 51820 && bond.mtu == 1420 && bond.table == .off && bond.firewallMark == 0xCA6C)
    #expect(bond.hooks.postUp.count == 2 && bond.hooks.postDown.count == 1)
    #expect(bond.hooks.postUp[0] == "iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE")
    #expect(
      bond.peers.map { $0.allowedIPs.map(\.description) } == [["10.8.0.2/32", "fd42:42:42::2/128"], ["10.8.0.3/32", "fd42:42:42::3/128"]])
    #expect(bond.peers.map { $0.presharedKey != nil } == [true, false])
    #expect(bond.peers.map(\.persistentKeepalive) == [0, 25])
    #expect(bond.peers.allSatisfy { $0.paths.isEmpty })
  }

  @Test("a road warrior's file with Windows line ends, a byte order mark, host names and search domains")
  func roadWarrior() throws {
    let text = """
      \u{FEFF}[Interface]
      PrivateKey = \(privateKeyText)
      Address = 172.16.5.9
      DNS = 1.1.1.1, corp.example, 2606:4700:4700::1111 , lab.corp.example
      Table = 1234
      FwMark = off

      [Peer]
      PublicKey = \(publicKeyText)
      Endpoint = vpn.corp.example:443
      AllowedIPs = 172.16.5.1/24, 10.0.0.0/8
      PersistentKeepalive = off
      """
    let bond = try wireGuard(text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
    #expect(bond.dns.servers.map(\.description) == ["1.1.1.1", "2606:4700:4700::1111"])
    #expect(bond.dns.searchDomains == ["corp.example", "lab.corp.example"])
    #expect(bond.table == .number(1234))
    #expect(bond.peers[0].paths[0].host == "vpn.corp.example")
    #expect(bond.peers[0].allowedIPs.map(\.description) == ["172.16.5.0/24", "10.0.0.0/8"])
    #expect(bond.warnings.count == 1 && bond.warnings[0].contains("172.16.5.0/24"))
  }

  @Test("our keys: paths in any order of options, scheduler, switches")
  func bondKeys() throws {
    let bond = try wireGuard(
      """
      [Interface]
      PrivateKey = \(privateKeyText)
      Scheduler = Earliest
      Threads = 2
      ListenTCP = 443
      DSCP = copy
      Repair = off
      FEC = off
      Duplicate = off
      Metrics = 127.0.0.1:9000
      [Peer]
      PublicKey = \(publicKeyText)
      Path = box.example:51820 via eth0 rate=50mbit/10mbit
      Path = [2001:db8::7]:443 backup tcp via 2001:db8::1 weight=7 name=sat
      Path = box.example:51820 via wwan0 rate=2.5mbit
      Path = box.example:51820
      Path = box.example:51821 via eth0
      """)
    #expect(bond.scheduler == .earliest && bond.threads == 2 && bond.listenTCPPort == 443 && bond.copiesDSCP)
    #expect(!bond.repair.resends && !bond.repair.parity && !bond.repair.duplicates)
    #expect(bond.metrics == HostPort(host: "127.0.0.1", port: 9000))
    let paths = bond.peers[0].paths
    #expect(
      paths == [
        PathConfiguration(
          host: "box.example", port: 51820, binding: .device("eth0"), name: "eth0", rateUp: 50_000_000, rateDown: 10_000_000),
        PathConfiguration(
          host: "2001:db8::7", port: 443, binding: .source(IPAddress("2001:db8::1")!), transport: .tcp, name: "sat", weight: 7,
          isBackup: true),
        PathConfiguration(host: "box.example", port: 51820, binding: .device("wwan0"), name: "wwan0", rateUp: 2_500_000),
        PathConfiguration(host: "box.example", port: 51820, name: "box.example"),
        PathConfiguration(host: "box.example", port: 51821, binding: .device("eth0"), name: "eth0-2"),
      ])
    #expect(bond.peers[0].initiates && bond.bindsDevices)
  }

  static let head = "[Interface]\nPrivateKey = \(privateKeyText)\n"
  static let peer = head + "[Peer]\nPublicKey = \(publicKeyText)\n"

  /// The text, and what the error must say.
  static let mistakes: [(String, String)] = [
    ("", "wg0.conf: the section [Interface] is missing"),
    ("[Interface]\n", "wg0.conf:1: [Interface]: the key PrivateKey is missing"),
    ("[Interface]\nPrivateKey = SECRETSECRET\n", "wg0.conf:2:14: [Interface] PrivateKey: expected a key of 44 characters"),
    ("PrivateKey = x\n", "wg0.conf:1:1: 'PrivateKey' stands before the first [Section]"),
    (head + "[Interface]\n", "wg0.conf:3: [Interface]: a second [Interface], the first is in line 1"),
    (head + "[Pear]\n", "wg0.conf:3: [Pear]: unknown section"),
    (head + "[Peer\n", "wg0.conf:3:1: expected [Section]"),
    (head + "nonsense\n", "wg0.conf:3:1: expected 'Key = value' or [Section]"),
    (head + "SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECR=\n", "wg0.conf:3:1: expected 'Key = value' or [Section]"),
    (head + "; comment\n", "wg0.conf:3:1: a comment begins with '#'"),
    (head + "  Adress = 10.0.0.1/24\n", "wg0.conf:3:3: [Interface] Adress: unknown key, did you mean 'Address'?"),
    (head + "Endpoint = a:1\n", "wg0.conf:3:1: [Interface] Endpoint: unknown key; known are PrivateKey, ListenPort"),
    (head + "MTU = 1400\nMTU = 1400\n", "wg0.conf:4:1: [Interface] MTU: given twice, first in line 3"),
    (head + "MTU = 1279\n", "wg0.conf:3:7: [Interface] MTU: expected an MTU 1280-9000, got '1279'"),
    (head + "MTU = 9001\n", "expected an MTU 1280-9000, got '9001'"),
    (head + "MTU = \n", "expected an MTU 1280-9000, got nothing"),
    (head + "ListenPort = 70000\n", "expected a port 0-65535, got '70000'"),
    (head + "ListenTCP = 0\n", "expected a port 1-65535, got '0'"),
    (head + "FwMark = 0x1ffffffff\n", "expected a number 0-4294967295, 0x and hexadecimal digits, or off"),
    (head + "Address = 10.0.0.1/33\n", "expected an address like 10.0.0.1/24, got '10.0.0.1/33'"),
    (head + "Address = 10.0.0.1,,10.0.0.2\n", "got nothing between two commas"),
    (head + "Address = 10.0.0.1/8, 10.0.0.1\n", "the address 10.0.0.1 is given twice"),
    (head + "DNS = 1.1.1.1 8.8.8.8\n", "expected an address of a name server, or a search domain, got '1.1.1.1 8.8.8.8'"),
    (head + "Table = main2\n", "expected off, auto, main or a table's number"),
    (head + "SaveConfig = true\n", "SaveConfig isn't supported"),
    (head + "Scheduler = cfq\n", "expected auto, cfs, earliest, redundant or backup, got 'cfq', did you mean 'cfs'?"),
    (head + "Threads = 9\n", "expected a whole number 1-8, got '9'"),
    (head + "DSCP = yes\n", "expected copy or zero, got 'yes'"),
    (head + "Metrics = box:1\n", "expected ADDRESS:PORT, got 'box:1'"),
    (head + "PostUp =\n", "expected a command, got nothing"),
    (head + "[Peer]\nAllowedIPs = ::/0\n", "wg0.conf:3: [Peer]: the key PublicKey is missing"),
    (head + "[Peer]\nPublicKey = SECRET\n", "wg0.conf:4:13: [Peer] PublicKey: expected a public key of 44 characters"),
    (peer + "PresharedKey = SECRET\n", "[Peer] PresharedKey: expected a key of 44 characters"),
    (peer + "AllowedIPs = ten\n", "expected a network like 10.0.0.0/8 or ::/0, got 'ten'"),
    (peer + "Endpoint = box\n", "no port in 'box'"),
    (peer + "Endpoint = box:0\n", "the port of a peer can't be 0"),
    (peer + "Endpoint = 2001:db8::1:5\n", "write an IPv6 address as [::1]:80"),
    (peer + "PersistentKeepalive = 1s\n", "expected seconds 1-65535, or off"),
    (peer + "Endpoint = box:1\nPath = box:2\n", "wg0.conf:6:8: [Peer] Path: a peer has Endpoint (line 5) or Path, not both"),
    (peer + "Path = box:1 via\n", "expected a device or a source address behind 'via'"),
    (peer + "Path = box:1 via a/b\n", "expected a device or an address behind 'via', got 'a/b'"),
    (peer + "Path = 192.0.2.1:1 via 2001:db8::1\n", "of different families"),
    (peer + "Path = box:1 weigth=3\n", "unknown option 'weigth=', did you mean 'weight='?"),
    (peer + "Path = box:1 weight=0\n", "expected weight=N with N 1-1000, got '0'"),
    (peer + "Path = box:1 weight=1001\n", "expected weight=N with N 1-1000, got '1001'"),
    (peer + "Path = box:1 rate=50\n", "each a rate like 20mbit"),
    (peer + "Path = box:1 rate=50mbit/\n", "each a rate like 20mbit"),
    (peer + "Path = box:1 rate=1mbit/2mbit/3mbit\n", "each a rate like 20mbit"),
    (peer + "Path = box:1 rate=2000gbit\n", "each a rate like 20mbit"),
    (peer + "Path = box:1 name=a/b\n", "expected name=NAME with"),
    (peer + "Path = box:1 tcp udp\n", "the option 'udp' is given twice"),
    (peer + "Path = box:1 name=a\nPath = box:2 name=a\n", "wg0.conf:6:8: [Peer] Path: the name 'a' is taken by a path above"),
    (peer + "Path = box:1\nPath = box:1 weight=3\n", "the same path stands above already"),
    (head + "Threads = 8\n[Peer]\nPublicKey = \(publicKeyText)\n" + (1...4).map { "Path = box:\($0)\n" }.joined(), "lower Threads"),
    (peer + "[Peer]\nPublicKey = \(publicKeyText)\n", "wg0.conf:5: [Peer]: the peer xTIBA5rb… stands in line 3 already"),
  ]

  @Test("a mistake is named with file, line, field and what is accepted, and shows no secret", arguments: mistakes)
  func mistake(_ text: String, _ expected: String) {
    do throws(PlacedError) {
      _ = try wireGuard(text)
      Issue.record("taken: \(text)")
    } catch {
      #expect(error.description.contains(expected), "\(error.description)")
      #expect(!error.description.contains("SECRETS") && !error.description.contains("'SECRET"), "\(error.description)")
      #expect(!error.description.contains(privateKeyText))
    }
  }

  @Test("a peer that is this interface itself is refused")
  func ownKey() throws {
    let own = try wireGuard(Self.head).publicKey
    #expect(throws: PlacedError.self) { try wireGuard(Self.head + "[Peer]\nPublicKey = \(own)\n") }
  }

  @Test("a network of two peers goes to the later one, with a warning; so does a file that others can read")
  func warnings() throws {
    let bond = try wireGuard(
      Self.peer + "AllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = \(otherPublicKeyText)\nAllowedIPs = 10.0.0.0/8\n", mode: 0o644)
    #expect(bond.warnings.count == 2)
    #expect(bond.warnings.contains { $0.contains("allowed to two peers") } && bond.warnings.contains { $0.contains("chmod 600") })
  }

  @Test(
    "the interface's name is the file's, as Linux takes it",
    arguments: ["a/wg-0.conf": true, "sixteen-letters-.conf": false, "a b.conf": false])
  func names(_ path: String, _ isTaken: Bool) {
    #expect(((try? wireGuard(Self.head, path: path)) != nil) == isTaken)
  }

  @Test("threads: half of the processors, within what path ids allow")
  func threads() throws {
    var bond = try wireGuard(Self.peer + (1...10).map { "Path = box:\($0)\n" }.joined())
    #expect([1, 2, 4, 64].map { bond.threadCount(processors: $0) } == [1, 1, 2, 3])
    bond.threads = 1
    #expect(bond.threadCount(processors: 64) == 1)
  }
}
