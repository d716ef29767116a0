import CausewayBase
import CausewayCrypto
import CausewayPaths
import CausewayWire
import Testing

@testable import CausewayBond
@testable import CausewayBondCore

@Suite struct StatusAssemblyTests {
  @Test(
    "threads that fill their estimates add up; an idle thread's is of the whole link",
    arguments: [
      ([(50e6, 0), (40e6, 0)], 50e6), ([(25e6, 24e6), (24e6, 20e6)], 49e6), ([(48e6, 47e6), (10e6, 0)], 48e6), ([(0, 0), (0, 5e6)], nil),
      ([(0, 0), (30e6, 1e6)], 30e6), ([], nil), ([(8e6, 4e6), (8e6, 4e6)], 8e6),
    ] as [([(Double, Double)], Double?)])
  func capacity(_ parts: [(Double, Double)], _ expected: Double?) {
    #expect(PathGroup.capacity(parts.map { (estimate: $0.0, rate: $0.1) }) == expected)
  }

  @Test("rates and means are of what came since the request before, and quick requests get the same ones")
  func intervals() {
    let table = IntervalTable()
    let key = IntervalTable.Key(peer: PeerID(1), subject: .path(PathID(3)))
    let other = IntervalTable.Key(peer: PeerID(1), subject: .queueDelay)
    func rates(_ sent: UInt64, _ milliseconds: UInt64) -> Double {
      table.rates(key, sent: sent, received: 0, at: Instant(nanoseconds: milliseconds * 1_000_000)).up
    }
    #expect(rates(1000, 1000) == 0)
    #expect(rates(2000, 2000) == 8000)
    #expect(rates(9000, 2100) == 8000)
    #expect(rates(3000, 4000) == 4000)
    #expect(rates(10, 5000) == 0, "a path that began anew")
    #expect(table.mean(other, sum: 100, count: 10, at: .zero) == 0)
    #expect(table.mean(other, sum: 700, count: 20, at: Instant(nanoseconds: 1_000_000_000)) == 60)
    #expect(table.mean(other, sum: 700, count: 20, at: Instant(nanoseconds: 2_000_000_000)) == 0)
    table.forget(PeerID(1))
    #expect(rates(5000, 7000) == 0)
  }

  /// Two threads' engines that know each other's peer, as far as a status needs it.
  private static func reports() -> [PathReport] {
    // A snapshot as PathSender makes it.
    func report(_ id: UInt8, _ number: Int, uplink: Int?, mtu: Int, sent: UInt64) -> PathReport {
      var snapshot = PathSender(id: PathID(id), at: .zero).snapshot
      snapshot.state = id == 4 ? .unstable : .normal
      snapshot.smoothedRoundTrip = UInt64(id) * 1_000_000
      snapshot.deliveredRate = id == 2 ? 3_000_000 : 999_999
      snapshot.loss = 0.01
      snapshot.inFlightByteCount = 100
      snapshot.lostPacketCount = 2
      var statistics = PathStatistics()
      statistics.sentBytes = sent
      return PathReport(
        uplink: uplink, line: Line(isOurs: uplink != nil, number: number), remoteCapacity: 8_000_000, route: nil, isValidated: true,
        isFragmenting: mtu < 1400, preference: 0, mtu: mtu, knownCapacity: id == 6 ? 0 : 1_250_000, sender: snapshot, statistics: statistics
      )
    }
    return [
      report(2, 0, uplink: 0, mtu: 1468, sent: 1000), report(6, 1, uplink: 1, mtu: 1468, sent: 10),
      report(4, 0, uplink: 0, mtu: 1300, sent: 3000), report(1, 0, uplink: nil, mtu: 1468, sent: 1),
    ]
  }

  @Test("paths of one uplink become one row, whatever thread they belong to")
  func groups() throws {
    var peer = BondConfiguration.Peer(publicKey: WorkerMessageTests.publicKey)
    peer.paths = ["dsl", "lte"].map { PathConfiguration(host: "192.0.2.1", port: 1, name: $0) }
    var configuration = WorkerConfiguration()
    configuration.peers = [peer]
    let id = PeerID(1)
    let assembly = StatusAssembly(
      configuration: configuration, peerIDs: [peer.publicKey: id], uplinks: [id: peer.paths.map { UplinkPlace(path: $0) }],
      intervals: IntervalTable(), startedAt: .zero, now: Instant(nanoseconds: 5_000_000_000))
    let rows = assembly.paths(Self.reports(), id)
    try #require(rows.map(\.name) == ["dsl", "lte", ""])
    #expect(rows.map(\.id) == [2, 6, 1])
    let dsl = rows[0]
    #expect(dsl.state == "unstable" && rows[1].state == "normal")
    #expect(dsl.sentByteCount == 4000 && dsl.inFlightByteCount == 200 && dsl.lostPacketCount == 4)
    #expect(dsl.pathMTU == 1300 && dsl.isFragmenting)
    #expect(dsl.rttMilliseconds.map { abs($0 - 2.5) < 0.01 } == true, "three parts of 2 ms, one of 4 ms")
    #expect(dsl.loss == 0.01 && dsl.capacityDown == 8e6 && dsl.capacityUp == 1e7)
    #expect(rows[1].capacityUp == nil)
  }
}
