import CausewaySupport
import Testing

@testable import CausewayBond

@Suite struct StatusTests {
  static var status: BondStatus {
    var status = BondStatus()
    status.name = "wg0"
    status.uptimeSeconds = 11_100
    status.listenPort = 51820
    status.scheduler = "auto"
    status.mtu = 1400
    status.threads = 2
    status.drops = [NamedCount("replay", 4), NamedCount("no peer", 0)]
    var peer = PeerStatus()
    peer.publicKey = publicKeyText
    peer.kind = .causeway
    peer.secondsSinceHandshake = 34.4
    peer.receivedByteCount = 1 << 30
    var dsl = PathStatus()
    dsl.name = "dsl"
    dsl.remote = "203.0.113.9:51820"
    dsl.state = "normal"
    dsl.rttMilliseconds = 612.3
    dsl.jitterMilliseconds = 45.1
    dsl.capacityUp = 50_300_000
    dsl.capacityDown = 999_600_000
    dsl.rateUp = 48_100_000
    dsl.rateDown = 3_200_000
    dsl.share = 0.713
    dsl.inFlightByteCount = 62_400
    var lte = PathStatus()
    lte.id = 2
    lte.name = "a-very-long-name-of-a-path"
    lte.state = "unstable"
    lte.loss = 0.123
    lte.isFragmenting = true
    lte.pathMTU = 1280
    peer.paths = [dsl, lte]
    peer.bond.rateUp = 68_200_000
    peer.bond.repairedPacketCount = 120
    peer.bond.resentPacketCount = 7
    peer.bond.duplicatePacketCount = 20_702
    status.peers = [peer]
    return status
  }

  @Test("one row a path with all columns, the bond's sums below, nothing wider than 79 cells")
  func table() {
    var history = StatusHistory()
    for _ in 0..<40 { history.add(Self.status) }
    for history in [nil, history] {
      let lines = StatusTable.lines(Self.status, history: history).map(\.plain)
      #expect(lines.allSatisfy { $0.count <= 79 }, "\(lines.map(\.count))")
      let text = lines.joined(separator: "\n")
      for part in [
        "wg0  up 3 h 5 min  UDP port 51820, auto, MTU 1400, 2 threads", "peer xTIBA5rb…  causeway  handshake 34.0 s ago  in 1.0 GiB",
        "  dsl        normal      612±45  0.0%  50.3M/1.0G  48.1M/3.2M   71%  62K",
        "  a-very-lo… unstable         -   12%         -/-         0/0    0%    0",
        "  bond  up 68.2 Mbit/s, down 0 bit/s", "repaired 120  lost 0", "in fragments on a-very-long-name-of-a-path (1280)",
        "dropped  replay 4", "        resent 7  duplicates 20702",
      ] { #expect(text.contains(part), "\(part)\n\(text)") }
      #expect(text.contains("█") == (history != nil))
    }
    let wide = StatusTable.lines(Self.status, history: history, columns: 120).map(\.plain)
    #expect(wide.allSatisfy { $0.count <= 119 })
    #expect(
      wide.contains {
        $0.hasPrefix("  dsl        203.0.113.9:51820      normal  ") && $0.hasSuffix(" " + String(repeating: "█", count: 23))
      }, "\(wide.joined(separator: "\n"))")
    #expect(StatusTable.lines(Self.status, history: history, columns: 50).allSatisfy { $0.plain.count <= 49 })
  }

  @Test("figures that make no sense are shown, not trapped on", arguments: [-1e300, -1, 1e19, 1e300])
  func nonsense(_ value: Double) {
    var status = Self.status
    status.uptimeSeconds = value
    status.peers[0].secondsSinceHandshake = value
    status.peers[0].bond.rateUp = value
    status.peers[0].bond.reorderDelayMeanMilliseconds = value
    status.peers[0].paths[0].rateUp = value
    status.peers[0].paths[0].rttMilliseconds = value
    status.peers[0].paths[0].loss = value
    status.peers[0].paths[0].share = value
    status.peers[0].paths[0].inFlightByteCount = .max
    var history = StatusHistory()
    history.add(status)
    #expect(StatusTable.lines(status, history: history).allSatisfy { $0.plain.count <= 79 })
    #expect(BondMetrics.text(status).contains("causeway_bond_uptime_seconds"))
  }

  @Test("a sparkline rises with the rate and forgets paths that left")
  func sparkline() {
    var history = StatusHistory()
    var status = Self.status
    for step in 0..<8 {
      status.peers[0].paths[0].rateUp = Double(step) * 1e6
      status.peers[0].paths[0].rateDown = 0
      history.add(status)
    }
    #expect(history.sparkline(status.peers[0], status.peers[0].paths[0], width: 8) == "▁▂▃▄▅▆▇█")
    #expect(history.sparkline(status.peers[0], status.peers[0].paths[0], width: 3) == "▆▇█")
    status.peers = []
    history.add(status)
    #expect(history.sparkline(Self.status.peers[0], Self.status.peers[0].paths[0], width: 8) == "")
  }

  @Test("metrics have help, type and escaped labels, and leave out what isn't measured")
  func metrics() {
    var status = Self.status
    status.peers[0].paths[1].name = "a\"b\\c"
    let text = BondMetrics.text(status)
    let labels = "interface=\"wg0\",peer=\"\(publicKeyText)\""
    for line in [
      "# TYPE causeway_bond_path_rtt_seconds gauge",
      "causeway_bond_path_rtt_seconds{\(labels),path=\"0\",name=\"dsl\",transport=\"udp\"} 0.6123",
      "causeway_bond_path_state{\(labels),path=\"2\",name=\"a\\\"b\\\\c\",transport=\"udp\",state=\"unstable\"} 1",
      "causeway_bond_drops_total{interface=\"wg0\",reason=\"replay\"} 4", "causeway_bond_repaired_packets_total{\(labels)} 120",
    ] { #expect(text.split(separator: "\n").contains { $0 == line }, "\(line)\n\(text)") }
    #expect(!text.contains("rtt_seconds{\(labels),path=\"2\""))
    #expect(text.split(separator: "\n").allSatisfy { $0.hasPrefix("#") || $0.hasPrefix("causeway_bond_") })
    #expect(!BondMetrics.text(BondStatus()).contains("causeway_bond_path"))
  }
}
