/// Seeded programs of faults, one after the other, each with one of the schedulers: `causeway bond simulate --faults`.
package struct FaultSweep {
  package static let mostPrograms: UInt64 = 1_000_000

  package var seeds: ClosedRange<UInt64>
  let bond: BondFactory

  package init(seeds: ClosedRange<UInt64>, bond: @escaping BondFactory) {
    self.seeds = seeds
    self.bond = bond
  }

  package static func scheduler(seed: UInt64) -> String {
    Scenario.bondSchedulerNames[Int(seed % UInt64(Scenario.bondSchedulerNames.count))]
  }

  /// Runs one program over a pair of bonds.
  package static func verdict(
    _ program: FaultProgram, tcp: Bool = true, scheduler: String, bond: @escaping BondFactory
  ) -> FaultRun.Verdict {
    var run = FaultRun(program)
    run.ignoresDelay = scheduler == "cfs" || scheduler == "backup"
    return run.run(tcp: tcp) { side, incarnation, now in
      var setting = BondSetting(
        side: side, scheduler: scheduler, links: Array(program.links.indices), seed: program.seed &* 4 &+ UInt64(side.rawValue),
        incarnation: incarnation, now: now, linkNames: program.links.map(\.name))
      // Sums in place of tags find what links damage all the same.
      setting.simulatesCiphers = true
      return bond(setting)
    }
  }

  /// - Parameter tell: Gets a line for each program that broke a promise, when it did.
  /// - Returns: How many did.
  package func run(_ tell: (String) -> Void) -> Int {
    var broken = 0
    for seed in seeds {
      let program = FaultProgram(seed: seed)
      let scheduler = Self.scheduler(seed: seed)
      // A bulk transfer costs most of the time; every fourth program has one.
      let verdict = Self.verdict(program, tcp: seed % 4 == 0, scheduler: scheduler, bond: bond)
      guard !verdict.violations.isEmpty else { continue }
      broken += 1
      tell("\(scheduler), \(program)\n" + verdict.violations.map { "  \($0)\n" }.joined())
    }
    return broken
  }
}
