internal import CausewayBase
internal import CausewaySimulation

/// Runs a fault program over a pair of ends and says which promises they broke.
package struct FaultRun {
  /// What must hold, whatever happens.
  package struct Bounds: Sendable {
    /// The longest silence of a ping while a link stayed whole.
    package var longestGap = Duration.milliseconds(500)
    /// Of echo requests sent after everything healed, so many must be answered.
    package var answeredShare = 0.97
    /// Of numbered packets, so many may come after a later one of their flow: a hold that ran out. A margin; what faults add is derived,
    /// see `Fault.lateShare` and `Fault.changeCount`.
    package var reorderedShare = 0.005
    package init() {}
  }

  package struct Verdict: Sendable {
    package var violations: [String] = []
    package var result = RunResult()
    /// Most bytes an end held, and its limit then.
    package var mostHeld = 0
  }

  package let program: FaultProgram
  package var bounds = Bounds()
  /// Whether the scheduler judged here gives packets to links by share or preference, however long they take.
  package var ignoresDelay = false

  package init(_ program: FaultProgram) { self.program = program }

  /// - Parameter tcp: A bulk transfer beside the others, where the run isn't minutes long.
  package func run(tcp: Bool = true, endpoint: @escaping SimulatedWorld.EndpointFactory) -> Verdict {
    let scenario = program.scenario(tcp: tcp)
    let run = ScenarioRun(scenario, seed: program.seed, endpoint: endpoint)
    for fault in program.faults { fault.schedule(in: run.world) }
    var verdict = Verdict()
    var at = Instant.zero
    let end = Instant.zero + scenario.duration
    while at < end && !run.world.isHung {
      at = min(end, at + .seconds(1))
      run.world.run(until: at)
      for (side, end) in zip(SimulatedSide.allCases, run.world.endpoints) {
        guard let counters = end?.counters else { continue }
        verdict.mostHeld = max(verdict.mostHeld, counters.heldByteCount)
        if counters.heldByteCount > counters.heldByteLimit {
          verdict.violations.append("\(side) holds \(counters.heldByteCount) bytes at \(at.nanoseconds / 1_000_000_000) s")
        }
      }
    }
    verdict.result = run.result()
    if let hang = run.world.hang { verdict.violations.append("hung: \(hang)") }
    judge(&verdict)
    return verdict
  }

  private func judge(_ verdict: inout Verdict) {
    let result = verdict.result
    if result.strayPackets > 0 { verdict.violations.append("\(result.strayPackets) packets delivered broken or to nobody") }
    let healed = Instant.zero + program.healedAt
    for (number, flow) in result.flows.enumerated() {
      let name = "\(flow.kind.rawValue) \(flow.direction.rawValue) (flow \(number))"
      if flow.isAborted { verdict.violations.append("\(name): connection given up") }
      if flow.kind == .tcp {
        judgeTransfer(flow, name, &verdict)
        continue
      }
      if flow.duplicates > 0 && !program.forgets { verdict.violations.append("\(name): \(flow.duplicates) packets delivered twice") }
      if Double(flow.reordered) > lateLimit(flow) {
        verdict.violations.append("\(name): \(flow.reordered) of \(flow.received) out of order")
      }
      guard flow.kind != .udp else { continue }
      // The last second's answers may still be under way.
      let late = flow.requests.filter { $0.at >= healed && $0.at < .zero + (program.duration - .seconds(1)) }
      let answered = late.count { $0.isAnswered }
      if Double(answered) < bounds.answeredShare * Double(late.count) {
        verdict.violations.append("\(name): \(answered) of \(late.count) answered after all was well again")
      }
      if program.leavesOneLink && flow.longestGap > program.longestSilence(bounds.longestGap, ignoresDelay: ignoresDelay) {
        verdict.violations.append("\(name): silent for \(SimulationReport.text(flow.longestGap.inSeconds, 3)) s with a whole link left")
      }
    }
  }

  /// Packets of a flow that may come after a later one.
  private func lateLimit(_ flow: FlowResult) -> Double {
    let rate = Double(flow.sent) / program.awakeTime.inSeconds
    return bounds.reorderedShare * Double(max(50, flow.received)) + rate * program.lateSeconds + Double(program.unorderedPackets)
  }

  private func judgeTransfer(_ flow: FlowResult, _ name: String, _ verdict: inout Verdict) {
    // Its own time-out may have backed off for as long as the longest outage, no longer than its cap.
    let outage = program.faults.map(\.duration).max() ?? .zero
    guard outage < .seconds(4) else { return }
    if flow.buckets.suffix(30).reduce(0, +) == 0 || flow.buckets.count < Int(program.duration.inSeconds * 10) - 40 {
      verdict.violations.append("\(name): nothing more arrived at the end")
    }
  }
}
