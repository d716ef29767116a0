internal import CausewayBondSimulation
internal import CausewaySupport

/// Runs a scenario in virtual time and prints a line for each scheduler.
@Sendable func bondSimulate(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
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
