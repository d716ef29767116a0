import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import Testing

/// The inner TCP is a double: over links without a bond it must do what Linux does there.
@Suite struct BareLinkTests {
  private func link(_ megabits: UInt64, _ delay: Duration, jitter: Duration = .zero, loss: Double = 0, queue: Int = 256_000) -> LinkPair {
    var parameters = LinkParameters()
    parameters.bytesPerSecond = megabits * 125_000
    (parameters.delay, parameters.jitter, parameters.loss) = (delay, jitter, .share(loss))
    parameters.queueByteCount = queue
    parameters.overheadByteCount = Scenario.datagramOverhead
    return LinkPair(name: "\(megabits)", parameters)
  }

  private func run(
    _ link: LinkPair, _ congestion: FlowSpecification.Congestion, flows: Int = 1, seconds: Int = 40, seed: UInt64 = 1,
    usesECN: Bool = false,
    direction: FlowSpecification.Direction = .up
  ) -> RunResult {
    var scenario = Scenario()
    scenario.links = [link]
    scenario.duration = .seconds(seconds)
    var tcp = FlowSpecification(.tcp)
    tcp.count = flows
    (tcp.direction, tcp.congestion, tcp.usesECN) = (direction, congestion, usesECN)
    scenario.flows = [tcp, FlowSpecification(.ping)]
    let result = ScenarioRun(scenario, seed: seed) { side, _, _ in NaiveEndpoint(side, links: [0]) }.run()
    let (f, ping) = (result.flows[0], result)
    print(
      link.name, link.upward.jitter, congestion, "flows", flows, "seed", seed, result.goodput / 1e6, result.steadyGoodput / 1e6, "resent",
      f.retransmitted, "cuts", f.reductions, "undone", f.undone, "timeouts", f.timeouts, "duplicates", f.duplicates, "marks", f.marked,
      "ping",
      ping.roundTrip(0.5)!, ping.roundTrip(0.99)!)
    #expect(!result.isHung && result.strayPackets == 0 && result.flows.allSatisfy { !$0.isAborted })
    return result
  }

  @Test func show() {
    for flows in [1, 4] {
      for c in FlowSpecification.Congestion.allCases {
        for link in [
          link(50, .milliseconds(10)), link(20, .milliseconds(40), jitter: .milliseconds(5), loss: 0.005), link(100, .milliseconds(5)),
          link(20, .milliseconds(40), loss: 0.005),
        ] {
          let t = ContinuousClock.now
          _ = run(link, c, flows: flows)
          print(ContinuousClock.now - t)
        }
      }
    }
  }
  @Test func one() {
    _ = run(link(50, .milliseconds(10)), .cubic, seconds: 300)
  }
}
