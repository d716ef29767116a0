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

  @Test("seeded programs of faults break no promise", arguments: [1, 2, 3, 5, 6, 17, 191, 406, 669, 689] as [UInt64]) func programs(
    _ seed: UInt64
  ) {
    let program = FaultProgram(seed: seed)
    guard program.duration < .seconds(100) else { return }
    let scheduler = FaultSweep.scheduler(seed: seed)
    #expect(Self.verdict(program, tcp: false, scheduler: scheduler).violations == [], "\(scheduler), \(program)")
  }
}
