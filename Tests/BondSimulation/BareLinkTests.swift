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
    #expect(!result.isHung && result.strayPackets == 0 && result.flows.allSatisfy { !$0.isAborted })
    return result
  }

  @Test("on a quiet link one flow or four fill it, and CUBIC leaves its queue as deep as it is", arguments: [1, 4]) func quiet(_ flows: Int)
  {
    // 1348 of 1442 bytes are payload: 46.7 Mbit/s at most.
    let cubic = run(link(50, .milliseconds(10)), .cubic, flows: flows, seconds: 20)
    #expect((46.0...46.8).contains(cubic.steadyGoodput / 1e6) && cubic.roundTrip(0.5)! > .milliseconds(40))
    let bbr = run(link(50, .milliseconds(10)), .bbr, flows: flows, seconds: 20, direction: .down)
    #expect((44.5...46.8).contains(bbr.steadyGoodput / 1e6))
    if flows == 1 { #expect(bbr.roundTrip(0.5)! < .milliseconds(25)) }
  }

  @Test("random loss and reordering: BBR holds 18 of 20 Mbit/s as measured, CUBIC falls to what its law says") func lossy() {
    let lossy = link(20, .milliseconds(40), jitter: .milliseconds(5), loss: 0.005)
    #expect((17...18.7).contains(run(lossy, .bbr).goodput / 1e6))
    // Reno's law: 1.22 segments / (round trip √loss) = 2.3 Mbit/s; CUBIC is never slower.
    let cubic = run(lossy, .cubic)
    #expect((1.8...4).contains(cubic.goodput / 1e6) && cubic.flows[0].timeouts == 0)
  }

  @Test("jitter that reorders without loss costs CUBIC little: reductions are undone") func reordering() {
    let result = run(link(20, .milliseconds(40), jitter: .milliseconds(5)), .cubic, seconds: 20)
    #expect(result.goodput / 1e6 > 15)
  }

  @Test("marks instead of drops: an ECN flow fills the link and loses nothing") func marks() {
    var marking = link(20, .milliseconds(10))
    (marking.upward.markingThreshold, marking.downward.markingThreshold) = (.milliseconds(15), .milliseconds(15))
    let result = run(marking, .cubic, seconds: 20, usesECN: true)
    #expect(result.flows[0].marked > 0 && result.flows[0].retransmitted == 0 && result.steadyGoodput / 1e6 > 17)
  }
}
