import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import Testing

@Suite struct BondTests {
  @Test func show() {
    var scenario = Scenario()
    func link(_ name: String, _ megabits: UInt64, _ delay: Duration, _ jitter: Duration, _ loss: Double) -> LinkPair {
      var parameters = LinkParameters()
      parameters.bytesPerSecond = megabits * 125_000
      (parameters.delay, parameters.jitter, parameters.loss) = (delay, jitter, .share(loss))
      parameters.overheadByteCount = Scenario.datagramOverhead
      return LinkPair(name: name, parameters)
    }
    scenario.links = [link("dsl", 50, .milliseconds(10), .zero, 0), link("lte", 20, .milliseconds(40), .milliseconds(5), 0.005)]
    scenario.duration = .seconds(20)
    for c in FlowSpecification.Congestion.allCases {
      var tcp = FlowSpecification(.tcp)
      tcp.congestion = c
      scenario.flows = [tcp, FlowSpecification(.ping)]
      scenario.schedulers = ["auto", "cfs", "earliest"]
      let t = ContinuousClock.now
      let rows = try! Simulation(
        scenario,
        bond: {
          var s = $0
          s.simulatesCiphers = true
          return BondEndpoint(s)
        }
      ).run()
      print(c, ContinuousClock.now - t)
      print(SimulationReport(scenario: scenario, seedCount: 1, rows: rows).table())
    }
  }
}
