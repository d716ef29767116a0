import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import CausewaySupport
import Testing

@Suite struct ScenarioTests {
  private func read(_ text: String) throws(YAMLError) -> Scenario { try Scenario(reading: YAMLDocument.parse(text, file: "s.yaml")) }

  @Test("every key lands where it belongs") func keys() throws {
    let scenario = try read(
      """
      links:
        - name: dsl
          rate: 10mbit/50mbit
          delay: 10.5ms
          jitter: 2ms
          jitter_reorders: false
          loss: 0.5%
          loss_burst: 4
          queue: 64KiB
          burst: 10KiB
          mtu: 1492
          overhead: 60
          duplicate: 1%
          reorder: 0.02
          reorder_delay: 3ms
          corrupt: 0.1%
          truncate: 0.2%
          mark_above: 5ms
          events:
            - {at: 2.5s, rate: 1mbit, delay: 300ms, mtu: 1300, loss: 30%}
            - {at: 3s, blackhole: up}
            - {at: 4s, blackhole: off, rebind: true}
            - {at: 5s, address: true}
        - {rate: 1gbit}
      flows:
        - {type: tcp, count: 4, direction: up, ecn: true, congestion: bbr, window: 1MiB, start: 1s, stop: 9s}
        - {type: udp, rate: 2mbit, size: 1200}
        - {type: echo, size: 428, interval: 20ms}
        - {type: ping}
      schedulers: [cfs, alone]
      seconds: 12
      seed: 7
      mtu: 1380
      steady_from: 2s
      """)
    let dsl = scenario.links[0]
    #expect(dsl.name == "dsl" && scenario.links[1].name == "link2" && scenario.links[1].upward.bytesPerSecond == 125_000_000)
    #expect(dsl.upward.bytesPerSecond == 1_250_000 && dsl.downward.bytesPerSecond == 6_250_000)
    #expect(dsl.upward.delay == .microseconds(10_500) && dsl.upward.jitter == .milliseconds(2) && !dsl.upward.jitterReorders)
    #expect(dsl.upward.loss == .share(0.005, meanBurst: 4) && dsl.upward.queueByteCount == 65_536 && dsl.upward.burstByteCount == 10_240)
    #expect(dsl.upward.mtu == 1492 - 28 && dsl.upward.overheadByteCount == 60 && dsl.upward.duplication == 0.01)
    #expect(dsl.upward.reordering == 0.02 && dsl.upward.reorderingDelay == .milliseconds(3) && dsl.upward.corruption == 0.001)
    #expect(dsl.upward.truncation == 0.002 && dsl.upward.markingThreshold == .milliseconds(5))
    let at = { (seconds: Double) in Instant(nanoseconds: UInt64(seconds * 1e9)) }
    #expect(
      dsl.upwardEvents == [
        LinkEvent(
          at: at(2.5), .rate(bytesPerSecond: 125_000), .delay(.milliseconds(300)), .loss(.independent(0.3)), .mtu(1300 - 28)),
        LinkEvent(at: at(3), .blackhole(true)), LinkEvent(at: at(4), .blackhole(false)),
      ])
    #expect(dsl.downwardEvents[1] == LinkEvent(at: at(3), .blackhole(false)))
    #expect(
      scenario.addressEvents == [
        AddressEvent(at: at(4), link: 0, kind: .rebind), AddressEvent(at: at(5), link: 0, kind: .address),
      ])
    let (tcp, udp, echo) = (scenario.flows[0], scenario.flows[1], scenario.flows[2])
    #expect(tcp.kind == .tcp && tcp.count == 4 && tcp.direction == .up && tcp.usesECN && tcp.congestion == .bbr)
    #expect(tcp.windowByteCount == 1 << 20 && tcp.start == .seconds(1) && tcp.stop == .seconds(9))
    #expect(udp.bytesPerSecond == 250_000 && udp.packetByteCount == 1200 && echo.interval == .milliseconds(20))
    #expect(scenario.schedulers == ["cfs", "alone"] && scenario.duration == .seconds(12) && scenario.seed == 7)
    #expect(scenario.mtu == 1380 && scenario.steadyFrom == .seconds(2))
  }

  @Test("links alone make a scenario") func defaults() throws {
    let scenario = try read("links: [{rate: 10mbit}]")
    #expect(scenario.flows.map(\.kind) == [.tcp, .ping] && scenario.schedulers == Scenario.schedulerNames)
    #expect(scenario.links[0].upward.overheadByteCount == 42)
  }

  @Test(
    "a mistake is told with its line, its key and what would be right",
    arguments: [
      ("seconds: 5", "s.yaml:1:1: the key 'links' is missing"),
      ("links: []", "s.yaml:1:8: key 'links': expected 1-16 links, got 0"),
      ("links: [{rat: 5mbit}]", "s.yaml:1:10: key 'links[0].rat': unknown key, did you mean 'rate'?"),
      (
        "links: [{rate: 5}]",
        "s.yaml:1:16: key 'links[0].rate': expected a rate like 50mbit, or UP/DOWN like 10mbit/50mbit, got '5'"
      ),
      ("links: [{delay: soon}]", "s.yaml:1:17: key 'links[0].delay': expected a duration like 10ms, 0.5ms, 2.5s or 1m, got 'soon'"),
      ("links: [{loss: 120%}]", "s.yaml:1:16: key 'links[0].loss': expected a share like 0.5% or 0.005, got '120%'"),
      ("links: [{loss_burst: 3}]", "s.yaml:1:22: key 'links[0].loss_burst': has no meaning without 'loss'"),
      ("links: [{name: a}, {name: a}]", "s.yaml:1:20: key 'links[1]': two links are named 'a'"),
      ("links: [{events: [{at: 1s}]}]", "s.yaml:1:19: key 'links[0].events[0]': says when, but not what changes"),
      (
        "links: [{}]\nflows:\n  - {type: tpc}",
        "s.yaml:3:12: key 'flows[0].type': expected tcp, udp, ping or echo, got 'tpc', did you mean 'tcp'?"
      ),
      ("links: [{}]\nflows: [{type: ping, ecn: true}]", "s.yaml:2:27: key 'flows[0].ecn': only for type tcp and udp, this one is ping"),
      ("links: [{}]\nflows: [{type: tcp, start: 5s, stop: 2s}]", "s.yaml:2:38: key 'flows[0].stop': a flow stops after it starts"),
      (
        "links: [{}]\nschedulers: fast",
        "s.yaml:2:13: key 'schedulers': expected auto, cfs, earliest, redundant, backup, alone or spray, got 'fast'"
      ),
      ("links: [{}]\nseconds: 9999", "s.yaml:2:10: key 'seconds': expected a whole number 1-3600, got '9999'"),
    ]) func mistakes(_ text: String, _ message: String)
  {
    let error = #expect(throws: YAMLError.self) { _ = try read(text) }
    #expect(error?.description == message)
  }

  @Test("the report has a line for each scheduler, and JSON says the same") func report() throws {
    let text = Array("links: [{name: a, rate: 10mbit, delay: 5ms}, {name: b, rate: 5mbit}]\nschedulers: [alone, spray]\nseconds: 2".utf8)
    let table = try runSimulation(text, file: "s.yaml", seedCount: 1, json: false, bond: nil)
    let lines = table.split(separator: "\n").map(String.init)
    #expect(lines[0] == "2 s over a 10.0 Mbit/s 5.0 ms, b 5.0 Mbit/s 0.0 ms; seed 1")
    #expect(lines.dropFirst(2).map { $0.prefix(7) } == ["a alone", "b alone", "spray  "])
    #expect(Set(lines.dropFirst().map(\.count)).count == 1)
    let json = try JSONValue(parsing: try runSimulation(text, file: "s.yaml", seedCount: 3, json: true, bond: nil))
    guard case .array(let rows)? = json["rows"] else {
      Issue.record("no rows")
      return
    }
    #expect(rows.map { $0["name"]?.string } == ["a alone", "b alone", "spray"])
    let goodput = try #require(rows[0]["goodput_mbit"])
    #expect(goodput["min"]!.double! <= goodput["median"]!.double! && goodput["median"]!.double! <= goodput["max"]!.double!)
    #expect((8...9.5).contains(goodput["median"]!.double!))
  }

  @Test("without an engine a bond's scheduler is refused") func noEngine() {
    let text = Array("links: [{}]\nseconds: 1\nschedulers: auto".utf8)
    #expect(throws: CommandFailure.self) { try runSimulation(text, file: "s", seedCount: 1, json: false, bond: nil) }
  }
}
