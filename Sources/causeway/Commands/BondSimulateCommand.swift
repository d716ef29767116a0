internal import CausewayBondSimulation
internal import CausewaySupport

/// Runs a scenario in virtual time and prints a line for each scheduler; or programs of faults.
@Sendable func bondSimulate(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  if let seeds = try faultSeeds(arguments) { return sweepFaults(seeds) }
  guard let file = arguments.positional("SCENARIO.yaml") else { throw .usage("which scenario? causeway bond simulate SCENARIO.yaml") }
  let text: [UInt8]
  do throws(FileError) {
    guard let content = try PrivateFile.read(file.value, isSecret: false) else {
      throw FileError(path: file.value, reason: "no such file")
    }
    text = content
  } catch { throw CommandFailure(error) }
  let answer = try runSimulation(
    text, file: file.value, seedCount: try seedCount(arguments), json: arguments.flag("json"), bond: { BondEndpoint($0) })
  return StandardStreams.answer(answer) ? .ok : .failure
}

private func seedCount(_ arguments: ParsedArguments) throws(CommandFailure) -> Int {
  guard let sweep = arguments.value("sweep") else { return 1 }
  guard let count = Int(sweep.value), (1...Simulation.mostSeeds).contains(count) else {
    throw .usage("\(sweep.origin): expected 1-\(Simulation.mostSeeds) seeds, got '\(sweep.value)'")
  }
  return count
}

private func faultSeeds(_ arguments: ParsedArguments) throws(CommandFailure) -> ClosedRange<UInt64>? {
  guard let option = arguments.value("faults") else { return nil }
  guard arguments.positional("SCENARIO.yaml") == nil else { throw .usage("\(option.origin): draws its own scenarios, none is read") }
  let ends = option.value.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt64($0) ?? 0 }
  let (first, last) = ends.count == 2 ? (ends[0], ends[1]) : (1, ends[0])
  guard first >= 1, first <= last, last <= FaultSweep.mostPrograms else {
    throw .usage("\(option.origin): expected a number or a range of 1-\(FaultSweep.mostPrograms), got '\(option.value)'")
  }
  return first...last
}

private func sweepFaults(_ seeds: ClosedRange<UInt64>) -> ExitCode {
  let broken = FaultSweep(seeds: seeds) { BondEndpoint($0) }.run { StandardStreams.answer($0) }
  StandardStreams.answer("\(seeds.count) programs of faults, \(broken) broke a promise\n")
  return broken == 0 ? .ok : .failure
}
