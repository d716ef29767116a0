package import CausewayBase
internal import CausewaySimulation
package import CausewaySupport

/// What a bond's end is told at its start.
package struct BondSetting: Sendable {
  package var side: SimulatedSide
  package var scheduler: String
  /// How many links the client has, and which of them it is to use.
  package var links: [Int]
  package var seed: UInt64
  /// 0 at first, then one more with each restart.
  package var incarnation: Int
  package var now: Instant
  package var mtu: Int
  package var linkNames: [String]
  /// Repair by retransmission, repair by FEC, and copies of urgent packets.
  package var repairs = true
  package var parity = true
  package var duplicates = true
  /// Copying in place of encryption, which a simulation without corruption can do as well with and much faster.
  package var simulatesCiphers = false

  package init(
    side: SimulatedSide, scheduler: String, links: [Int], seed: UInt64, incarnation: Int = 0, now: Instant = .zero, mtu: Int = 1400,
    linkNames: [String]
  ) {
    self.side = side
    self.scheduler = scheduler
    self.links = links
    self.seed = seed
    self.incarnation = incarnation
    self.now = now
    self.mtu = mtu
    self.linkNames = linkNames
  }
}

/// Makes one end of a bond.
package typealias BondFactory = (BondSetting) -> any SimulatedEndpoint

/// A scenario run with each of its schedulers, over one seed or many.
package struct Simulation {
  /// Most seeds of one sweep.
  package static let mostSeeds = 1000

  /// What one line of the table is about.
  package struct Row: Sendable {
    /// `auto`, or `dsl alone`.
    package var name: String
    /// One for each seed.
    package var results: [RunResult]
  }

  package var scenario: Scenario
  package var seedCount: Int
  private let bond: BondFactory?

  /// - Parameter bond: nil: only baselines can run.
  package init(_ scenario: Scenario, seedCount: Int = 1, bond: BondFactory?) {
    self.scenario = scenario
    self.seedCount = seedCount
    self.bond = bond
  }

  /// - Parameter progress: called before each line.
  package func run(_ progress: (String) -> Void = { _ in }) throws(CommandFailure) -> [Row] {
    var rows: [Row] = []
    for scheduler in scenario.schedulers {
      switch scheduler {
      case Baseline.alone:
        for (number, link) in scenario.links.enumerated() {
          progress("\(link.name) alone")
          rows.append(Row(name: "\(link.name) alone", results: runs { setting in NaiveEndpoint(setting.side, links: [number]) }))
        }
      case Baseline.spray:
        progress(scheduler)
        rows.append(Row(name: scheduler, results: runs { setting in NaiveEndpoint(setting.side, links: setting.links) }))
      default:
        guard let bond else { throw CommandFailure(.failure, "this build can't simulate the scheduler '\(scheduler)'") }
        progress(scheduler)
        rows.append(Row(name: scheduler, results: runs(scheduler: scheduler, bond)))
      }
    }
    return rows
  }

  private func runs(scheduler: String = "", _ make: @escaping BondFactory) -> [RunResult] {
    let links = Array(scenario.links.indices)
    // A damaged datagram has to be seen as one; where there is none, encrypting is most of the time and changes nothing.
    let damages = scenario.links.contains { $0.damages }
    return (0..<seedCount).map { offset in
      let seed = scenario.seed &+ UInt64(offset)
      let run = ScenarioRun(scenario, seed: seed) { side, incarnation, now in
        var setting = BondSetting(
          side: side, scheduler: scheduler, links: links, seed: seed &* 4 &+ UInt64(side.rawValue), incarnation: incarnation, now: now,
          mtu: scenario.mtu, linkNames: scenario.links.map(\.name))
        setting.simulatesCiphers = !damages
        return make(setting)
      }
      return run.run()
    }
  }
}

/// `causeway bond simulate`: reads a scenario and returns the table, or its JSON.
///
/// - Parameters:
///   - text: of the file.
///   - file: its name for errors.
///   - seedCount: more than 1: least, median and most over so many seeds.
package func runSimulation(
  _ text: [UInt8], file: String, seedCount: Int, json: Bool, bond: BondFactory?, progress: (String) -> Void = { _ in }
) throws(CommandFailure) -> String {
  let scenario: Scenario
  do throws(YAMLError) {
    scenario = try Scenario(reading: YAMLDocument.parse(text, file: file))
  } catch { throw CommandFailure(error) }
  let simulation = Simulation(scenario, seedCount: seedCount, bond: bond)
  let report = SimulationReport(scenario: scenario, seedCount: seedCount, rows: try simulation.run(progress))
  return json ? report.json() : report.table()
}

extension LinkPair {
  /// Whether it changes or cuts what it carries.
  fileprivate var damages: Bool {
    [upward, downward].contains { $0.corruption > 0 || $0.truncation > 0 }
  }
}
