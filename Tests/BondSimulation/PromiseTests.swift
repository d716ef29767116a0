import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import Testing

/// Promises of docs/bond.md that take minutes of virtual time.
@Suite struct PromiseTests {
  /// Links are so much slower where the compiler has not optimised: the promises are about shares, and a packet costs what it costs.
  private static var slowness: UInt64 { _isDebugAssertConfiguration() ? 5 : 1 }

  private func link(_ name: String, _ megabits: UInt64, _ delay: Duration, loss: Double = 0) -> LinkPair {
    var parameters = LinkParameters()
    parameters.bytesPerSecond = megabits * 125_000
    (parameters.delay, parameters.loss) = (delay, .share(loss))
    parameters.overheadByteCount = Scenario.datagramOverhead
    return LinkPair(name: name, parameters)
  }

  private func setting(_ side: SimulatedSide, _ links: [LinkPair], seed: UInt64) -> BondSetting {
    var setting = BondSetting(
      side: side, scheduler: "auto", links: Array(links.indices), seed: seed &* 4 &+ UInt64(side.rawValue), linkNames: links.map(\.name))
    setting.simulatesCiphers = true
    return setting
  }

  @Test(
    "over ten rekeys no second is below 90 % of the sum",
    arguments: [[50, 20], [100, 50]] as [[UInt64]], [FlowSpecification.Direction.down, .up])
  func rekeys(_ megabits: [UInt64], _ direction: FlowSpecification.Direction) {
    var scenario = Scenario()
    scenario.links = [
      link("a", megabits[0] / Self.slowness, .milliseconds(10)),
      link("b", megabits[1] / Self.slowness, .milliseconds(megabits[1] == 20 ? 40 : 10)),
    ]
    let sum = Double(megabits.reduce(0, +)) / Double(Self.slowness) * 1e6
    var flow = FlowSpecification(.udp)
    (flow.direction, flow.packetByteCount, flow.bytesPerSecond) = (direction, 1400, sum / 8 * 1.05)
    scenario.flows = [flow]
    scenario.duration = .seconds(36)
    var ends: [BondEndpoint] = []
    let run = ScenarioRun(scenario, seed: 1) { side, _, _ in
      let end = BondEndpoint(setting(side, scenario.links, seed: 1))
      ends.append(end)
      return end
    }
    for number in 0..<10 {
      run.world.schedule(at: .zero + .milliseconds(5300 + 2900 * number)) { world in ends[number % 4 == 3 ? 1 : 0].rekey(at: world.now) }
    }
    let result = run.run()
    #expect(ends.allSatisfy { $0.handshakeCount >= 11 })
    // Of each 1482 bytes on the wire 1372 are the flow's payload.
    let limit = sum / 8 * 1372 / 1482
    let buckets = result.flows[0].buckets
    for second in 5..<35 {
      let bytes = buckets.dropFirst(second * 10).prefix(10).reduce(0, +)
      #expect(Double(bytes) >= 0.9 * limit, "second \(second): \(Int(100 * Double(bytes) / limit)) %")
    }
  }

  @Test("parity: on a satellite path with 1 % loss a fifth of the losses stay, for 15 % more packets; without loss none is sent")
  func parity() {
    func run(loss: Double, parity: Bool, seed: UInt64) -> (lost: Int, sent: Int, overhead: Double) {
      var scenario = Scenario()
      scenario.links = [link("satellite", 10, .milliseconds(300), loss: loss)]
      // Half a minute to learn loss and delay, then what counts.
      var first = FlowSpecification(.udp)
      (first.bytesPerSecond, first.packetByteCount, first.stop) = (250_000, 1200, .seconds(30))
      var second = first
      (second.start, second.stop) = (.seconds(30), .seconds(98))
      scenario.flows = [first, second]
      scenario.duration = .seconds(100)
      let result = ScenarioRun(scenario, seed: seed) { side, _, _ in
        var setting = setting(side, scenario.links, seed: seed)
        setting.parity = parity
        return BondEndpoint(setting)
      }.run()
      let sender = result.counters[1]
      return (
        result.flows[1].sent - result.flows[1].received, result.flows[1].sent,
        Double(sender.repairCount) / Double(max(1, sender.firstCount))
      )
    }
    var (with, without) = (0, 0)
    let seeds: UInt64 = _isDebugAssertConfiguration() ? 1 : 3
    for seed in 1...seeds {
      let mended = run(loss: 0.01, parity: true, seed: seed)
      let bare = run(loss: 0.01, parity: false, seed: seed)
      #expect(mended.overhead > 0 && mended.overhead <= 0.15 && bare.overhead == 0)
      with += mended.lost
      without += bare.lost
    }
    #expect(without > 100 * Int(seeds) && with * 5 <= without, "\(with) with, \(without) without")
    #expect(run(loss: 0, parity: true, seed: 1).overhead == 0)
  }
}
