import CausewayBase
import CausewayCrypto
import CausewayLinuxIO
import CausewaySupport
import CausewayWire
import Testing

@testable import CausewayBond

@Suite struct WorkerMessageTests {
  static let publicKey = PeerKey(bytes: (0..<32).map { UInt8($0) })!
  static let secret = SecretKey(copying: [UInt8](repeating: 7, count: 32).span)

  static func configuration() throws -> WorkerConfiguration {
    var configuration = WorkerConfiguration()
    configuration.name = "bond0"
    configuration.privateKey = secret
    configuration.listenPort = 51820
    configuration.listenAddress = IPAddress("192.0.2.1")
    configuration.listenTCPPort = 443
    configuration.addresses = [IPAddress("10.7.0.1")!, IPAddress("fd00::1")!]
    configuration.mtu = 1280
    configuration.scheduler = .redundant
    configuration.copiesDSCP = true
    configuration.firewallMark = 0xFFFF_FFFF
    configuration.repair.parity = false
    configuration.metrics = HostPort(host: "127.0.0.1", port: 2131)
    configuration.queueCount = 2
    configuration.offloads = 0x67
    configuration.peers = [
      BondConfiguration.Peer(
        publicKey: publicKey, presharedKey: secret, allowedIPs: [try IPNetwork(parsing: "10.7.0.2"), try IPNetwork(parsing: "::/0")],
        persistentKeepalive: 25,
        paths: [
          PathConfiguration(host: "relay.example", port: 51820, binding: .device("wwan0"), name: "lte", weight: 3, rateUp: 5_000_000),
          PathConfiguration(
            host: "2001:db8::1", port: 443, binding: .source(IPAddress("2001:db8::2")!), transport: .tcp, name: "dsl", isBackup: true),
        ], initiates: true)
    ]
    return configuration
  }

  static func line(_ message: WorkerMessage) -> [UInt8] {
    let buffer = ByteBuffer()
    message.append(to: buffer)
    let bytes = buffer.bytes
    return bytes.indices.map { bytes[$0] }
  }

  @Test("a configuration arrives whole, keys included")
  func configurationRoundTrip() throws {
    let sent = try Self.configuration()
    let line = Self.line(.configure(sent, timestamp: [UInt8](repeating: 9, count: 12)))
    #expect(line.last == 0x0A && line.dropLast().allSatisfy { $0 != 0x0A })
    guard case .configure(let got, let timestamp) = try WorkerMessage(line: line.span.extracting(first: line.count - 1)) else {
      Issue.record("another message")
      return
    }
    #expect(timestamp == [UInt8](repeating: 9, count: 12))
    #expect(got.jsonText == sent.jsonText)
    #expect(KeyText.areEqual(try #require(got.privateKey), Self.secret))
    #expect(got.peers[0].paths == sent.peers[0].paths)
    #expect(got.firewallMark == 0xFFFF_FFFF && got.listenAddress == sent.listenAddress)
    #expect(got.privileges == [.networkAdministration, .rawSockets, .lowPorts])
  }

  @Test("every other message reads back as it was written")
  func messagesRoundTrip() throws {
    var status = BondStatus()
    status.name = "bond0"
    status.drops = [NamedCount("no peer", 3)]
    var peer = PeerStatus()
    peer.kind = .causeway
    var path = PathStatus()
    path.rttMilliseconds = 12.5
    path.capacityUp = 5e7
    peer.paths = [path, PathStatus()]
    peer.bond.repairedPacketCount = 17
    status.peers = [peer]
    var readiness = WorkerReadiness()
    readiness.udpPort = 51820
    var event = PathEvent()
    event.to = "lost"
    let messages: [WorkerMessage] = [
      .statusRequest(id: 7), .stop, .ready(readiness), .failed("no\nsuch \u{1B}[2J device"), .reloaded(""), .status(id: 8, status),
      .timestamp([UInt8](repeating: 1, count: 12)), .log(.init(level: "warning", text: "t", fields: [.init("a", "b")])), .pathEvent(event),
    ]
    for message in messages {
      let line = Self.line(message)
      let again = Self.line(try WorkerMessage(line: line.span.extracting(first: line.count - 1)))
      #expect(line == again, "\(String(decoding: line, as: UTF8.self))")
    }
    let line = Self.line(.status(id: 8, status))
    guard case .status(8, status) = try WorkerMessage(line: line.span.extracting(first: line.count - 1)) else {
      Issue.record("another status")
      return
    }
  }

  @Test(
    "a broken line is refused without showing what it held",
    arguments: [
      "", "{}", "[]", #"{"type":"nonsense"}"#, #"{"type":"timestamp","timestamp":"00"}"#,
      #"{"type":"status","id":1,"content":{"mtu":"SECRET"}}"#,
      #"{"type":"configure","timestamp":"","content":{"private_key":"SECRET"}}"#,
      #"{"type":"configure","timestamp":"","content":{"scheduler":"SECRET"}}"#,
      #"{"type":"reload","content":{"peers":[{"public_key":"SECRET"}]}}"#,
      #"{"type":"reload","content":{"listen_port":65536}}"#, #"{"type":"ready"}"#,
    ])
  func broken(_ line: String) {
    let bytes = Array(line.utf8)
    do throws(WorkerMessageError) {
      _ = try WorkerMessage(line: bytes.span)
      Issue.record("taken: \(line)")
    } catch { #expect(!error.description.contains("SECRET")) }
  }

  @Test("messages of any size cross the channel in order, and its end is told once")
  func channel() throws {
    let loop = try EventLoop()
    let ends = try WorkerChannel.makePair()
    var received: [Int] = []
    var endings: [String?] = []
    var other: WorkerChannel?
    let parent = try WorkerChannel(adopting: FileDescriptor(adopting: ends.parent), on: loop) { message in
      if case .failed(let text) = message { received.append(text.utf8.count) }
      if received.count == 3 { other?.close() }
    } ended: {
      endings.append($0)
      loop.stop()
    }
    let child = try WorkerChannel(adopting: FileDescriptor(adopting: ends.child), on: loop) { _ in
    } ended: {
      endings.append($0)
    }
    other = child
    for count in [1, 3_000_000, 5] { child.send(.failed(String(repeating: "x", count: count))) }
    loop.run()
    #expect(received == [1, 3_000_000, 5])
    #expect(endings == [nil])
    #expect(!parent.isOpen && !child.isOpen)
  }
}
