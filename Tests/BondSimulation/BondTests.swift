import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import Testing

@Suite struct BondTests {
  static func fast(_ setting: BondSetting) -> BondEndpoint {
    var setting = setting
    setting.simulatesCiphers = true
    return BondEndpoint(setting)
  }

  private func link(_ name: String, _ megabits: UInt64, _ delay: Duration, jitter: Duration = .zero, loss: Double = 0) -> LinkPair {
    var parameters = LinkParameters()
    parameters.bytesPerSecond = megabits * 125_000
    (parameters.delay, parameters.jitter, parameters.loss) = (delay, jitter, .share(loss))
    parameters.overheadByteCount = Scenario.datagramOverhead
    return LinkPair(name: name, parameters)
  }

  @Test("two unequal links carry more than the better one, and a ping survives the download") func sum() throws {
    var scenario = Scenario()
    scenario.links = [link("dsl", 50, .milliseconds(10)), link("lte", 20, .milliseconds(40), jitter: .milliseconds(5), loss: 0.005)]
    scenario.duration = .seconds(12)
    var tcp = FlowSpecification(.tcp)
    tcp.congestion = .bbr
    scenario.flows = [tcp, FlowSpecification(.ping)]
    scenario.schedulers = ["cfs"]
    let row = try Simulation(scenario, bond: Self.fast).run()[0]
    let result = row.results[0]
    #expect(result.steadyGoodput > 47e6 && result.roundTrip(0.99)! < .milliseconds(100) && result.strayPackets == 0 && !result.isHung)
    #expect(result.shares.allSatisfy { $0 > 0.1 })
  }

  /// Goodput of one download over a bond that has stood for two seconds, Mbit/s from its second second on.
  private func download(
    _ links: [LinkPair], by scheduler: String = "auto", _ congestion: FlowSpecification.Congestion, seconds: Int
  ) throws -> Double {
    var scenario = Scenario()
    scenario.links = links
    scenario.duration = .seconds(2 + seconds)
    var tcp = FlowSpecification(.tcp)
    (tcp.congestion, tcp.start) = (congestion, .seconds(2))
    scenario.flows = [tcp, FlowSpecification(.ping)]
    scenario.steadyFrom = .seconds(3)
    scenario.schedulers = [scheduler]
    return try Simulation(scenario, bond: Self.fast).run()[0].results[0].steadyGoodput / 1e6
  }

  /// Limit: 1348 of 1482 bytes. With the round trip of a handshake over the fast path alone BBR gets a third of it, CUBIC a seventh of
  /// the second pair's.
  @Test(
    "a new transfer fills unequal links within seconds, by either congestion control",
    arguments: [FlowSpecification.Congestion.bbr, .cubic])
  func unequal(_ congestion: FlowSpecification.Congestion) throws {
    let slow = try download([link("a", 13, .microseconds(2500)), link("b", 28, .microseconds(26_400))], congestion, seconds: 6)
    #expect(slow > 0.85 * 41 * 1348 / 1482, "\(slow)")
    let fast = try download([link("a", 60, .milliseconds(2)), link("b", 176, .milliseconds(34))], congestion, seconds: 6)
    #expect(fast > 0.8 * 236 * 1348 / 1482, "\(fast)")
  }

  @Test("over unequal, lossy links no scheduler is worse than the better link alone")
  func notWorseThanAlone() throws {
    let better = link("dsl", 50, .milliseconds(10))
    let other = link("lte", 20, .milliseconds(40), jitter: .milliseconds(5), loss: 0.005)
    let alone = try download([better], .bbr, seconds: 6)
    for (scheduler, least) in [("auto", 1.0), ("cfs", 1), ("earliest", 1), ("backup", 0.97)] {
      let both = try download([better, other], by: scheduler, .bbr, seconds: 6)
      #expect(both >= least * alone, "\(scheduler): \(both), alone \(alone)")
    }
  }

  /// One download over two equal links, the first of which swallows everything from `fault` on.
  private func download(
    _ congestion: FlowSpecification.Congestion, start: Duration, losing kind: Fault.Kind, at fault: Duration, until end: Duration
  ) -> FlowResult {
    var scenario = Scenario()
    scenario.links = [link("a", 50, .milliseconds(10)), link("b", 50, .milliseconds(10))]
    scenario.duration = end
    var tcp = FlowSpecification(.tcp)
    (tcp.congestion, tcp.start) = (congestion, start)
    scenario.flows = [tcp]
    let run = ScenarioRun(scenario, seed: 1) { side, incarnation, now in
      Self.fast(
        BondSetting(
          side: side, scheduler: "auto", links: [0, 1], seed: 4 &+ UInt64(side.rawValue), incarnation: incarnation, now: now,
          linkNames: ["a", "b"]))
    }
    Fault(kind, start: fault, duration: .seconds(20), link: 0).schedule(in: run.world)
    return run.run().flows[0]
  }

  /// 45.5 Mbit/s is what one link carries.
  @Test(
    "half a second after one of two links went, a download has the other to itself in every tenth of a second",
    arguments: [Fault.Kind.blackhole, .blackholeDown], [FlowSpecification.Congestion.bbr, .cubic])
  func downloadGoesOn(_ kind: Fault.Kind, _ congestion: FlowSpecification.Congestion) {
    let flow = download(congestion, start: .seconds(2), losing: kind, at: .seconds(6), until: .seconds(9))
    let tenths = flow.buckets[45..<70].map { Double($0) * 80 / 1e6 }
    #expect(tenths.allSatisfy { $0 >= 0.9 * 45.5 }, "\(tenths)")
  }

  /// With half the room at once it would be 400 and more.
  @Test("a link that goes costs a download few packets, as the backlog keeps its room", arguments: [Fault.Kind.blackhole, .blackholeDown])
  func backlogKeepsItsRoom(_ kind: Fault.Kind) {
    let flow = download(.cubic, start: .seconds(2), losing: kind, at: .seconds(7), until: .seconds(10))
    #expect(flow.retransmitted < 100, "\(flow.retransmitted)")
  }

  /// Without CoDel it fills the backlog to its limit and loses what is beyond.
  @Test("a sender that understands ECN is slowed by marks, and loses nothing", arguments: ["auto", "earliest"])
  func marks(_ scheduler: String) throws {
    var scenario = Scenario()
    scenario.links = [link("a", 30, .milliseconds(10)), link("b", 20, .milliseconds(20))]
    scenario.duration = .seconds(14)
    var tcp = FlowSpecification(.tcp)
    (tcp.congestion, tcp.usesECN, tcp.start) = (.cubic, true, .seconds(2))
    scenario.flows = [tcp]
    scenario.steadyFrom = .seconds(4)
    scenario.schedulers = [scheduler]
    let result = try Simulation(scenario, bond: Self.fast).run()[0].results[0]
    let flow = result.flows[0]
    #expect(flow.reductions > 0 && flow.retransmitted == 0, "\(flow.reductions) reductions, \(flow.retransmitted) sent again")
    #expect(result.steadyGoodput > 0.9 * 50e6 * 1348 / 1482, "\(result.steadyGoodput)")
  }

  @Test("a run can be replayed") func determinism() {
    var scenario = Scenario()
    scenario.links = [link("a", 10, .milliseconds(10), loss: 0.01), link("b", 5, .milliseconds(20))]
    scenario.duration = .seconds(3)
    scenario.flows = [FlowSpecification(.tcp), FlowSpecification(.ping)]
    scenario.schedulers = ["auto"]
    let runs = (0..<2).map { _ in try! Simulation(scenario, bond: Self.fast).run()[0].results[0] }
    #expect(runs[0].links.map(\.down) == runs[1].links.map(\.down) && runs[0].flows[0].buckets == runs[1].flows[0].buckets)
  }

  static func verdict(_ program: FaultProgram, tcp: Bool = true, scheduler: String = "auto") -> FaultRun.Verdict {
    FaultSweep.verdict(program, tcp: tcp, scheduler: scheduler) { BondEndpoint($0) }
  }

  @Test("each fault by itself breaks no promise", arguments: Fault.Kind.allCases) func single(_ kind: Fault.Kind) {
    let duration: Duration =
      switch kind {
      case .allDeadLong: .seconds(600)
      case .sleep: .seconds(300)
      case .allDead: .seconds(60)
      case .clientRestart, .serverRestart, .bothRestart: .seconds(1)
      case .rebind, .address: .zero
      default: .seconds(3)
      }
    let program = FaultProgram([Fault(kind, start: .seconds(3), duration: duration, link: 0)])
    #expect(Self.verdict(program).violations == [], "\(program)")
  }

  /// Fifty echoes a second over two equal links, one of which swallows everything from some moment on.
  @Test(
    "a link that swallows what it is given costs sparse traffic no packet and a tenth of a second",
    arguments: [Fault.Kind.blackhole, .blackholeUp, .blackholeDown], ["auto", "redundant"])
  func swallowed(_ kind: Fault.Kind, _ scheduler: String) {
    for seed in 1...6 as ClosedRange<UInt64> {
      var scenario = Scenario()
      var pair = link("a", 50, .milliseconds(10), jitter: .microseconds(Int(seed % 3) * 500))
      scenario.links = [pair]
      pair.name = "b"
      scenario.links.append(pair)
      scenario.duration = .seconds(8)
      var echo = FlowSpecification(seed % 2 == 0 ? .echo : .ping)
      (echo.start, echo.stop) = (.seconds(1), .seconds(7))
      scenario.flows = [echo]
      let fault = Fault(kind, start: .milliseconds(3000 + Int(seed) * 7), duration: .seconds(20), link: Int(seed / 2 % 2))
      let run = ScenarioRun(scenario, seed: seed) { side, incarnation, now in
        var setting = BondSetting(
          side: side, scheduler: scheduler, links: [0, 1], seed: seed &* 4 &+ UInt64(side.rawValue), incarnation: incarnation, now: now,
          linkNames: ["a", "b"])
        setting.duplicates = false
        return Self.fast(setting)
      }
      fault.schedule(in: run.world)
      let flow = run.run().flows[0]
      let longest: Duration = scheduler == "redundant" ? .milliseconds(40) : .milliseconds(120)
      #expect(
        flow.received == flow.sent && flow.longestGap <= longest, "seed \(seed): \(flow.received) of \(flow.sent), \(flow.longestGap)")
    }
  }

  @Test("seeded programs of faults break no promise", arguments: [1, 2, 3, 5, 6, 17, 191, 406, 505, 669, 689] as [UInt64]) func programs(
    _ seed: UInt64
  ) {
    let program = FaultProgram(seed: seed)
    guard program.duration < .seconds(100) else { return }
    let scheduler = FaultSweep.scheduler(seed: seed)
    #expect(Self.verdict(program, tcp: false, scheduler: scheduler).violations == [], "\(scheduler), \(program)")
  }
}
