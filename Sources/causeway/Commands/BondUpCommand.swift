internal import CausewayBond
internal import CausewayLinuxIO
internal import CausewaySupport
internal import CausewayTelemetry
internal import Glibc

/// `causeway bond -config FILE.json`, multipath's own form of `up`.
@Sendable func runBond(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  guard let file = arguments.value("config")?.value else {
    let choices = arguments.command.subcommands.map(\.name).joined(separator: ", ")
    throw .usage("'causeway bond' needs one of: \(choices); see 'causeway bond --help'")
  }
  return try bringUp(file: file, arguments)
}

/// Brings a bond up and keeps it until a signal or `causeway bond down` ends it.
@Sendable func runBondUp(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  try bringUp(file: arguments.positional("FILE|NAME")?.value, arguments)
}

private func bringUp(file word: String?, _ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  try prepareService(signals: [.interrupt, .terminate, .hangUp])
  let read = try source(word, arguments)
  let bond = try read()
  let logs = try Logs(
    "bond", level: arguments.value("log-level")?.value, format: arguments.value("log-format")?.value,
    file: arguments.value("log-file")?.value)
  for warning in bond.warnings { logs.logger.warning(warning) }
  let loop: EventLoop
  do throws(SystemError) { loop = try EventLoop() } catch { throw CommandFailure(.failure, error.description) }
  let supervisor = BondSupervisor(
    bond, system: try LinuxBondSystem(), folders: try BondFolders(), on: loop, log: logs.logger, reread: read)
  let signals: Signals
  do throws(SystemError) {
    signals = try Signals([.interrupt, .terminate, .hangUp], on: loop) { signal in
      switch signal {
      case .hangUp:
        logs.reopen()
        supervisor.reload { _ in }
      default: supervisor.end(signal == .interrupt ? "SIGINT" : "SIGTERM")
      }
    }
  } catch { throw CommandFailure(.failure, error.description) }
  try supervisor.run { StandardStreams.answer(bond.name + "\n") }
  signals.close()
  return .ok
}

/// How the configuration is read, now and at each reload.
private func source(_ word: String?, _ arguments: ParsedArguments) throws(CommandFailure) -> () throws(CommandFailure) -> BondConfiguration
{
  let onlyWithoutFile = ["name", "address", "private-key-file", "preshared-key-file", "listen-port", "peer", "allowed-ips"]
  guard let word else {
    guard arguments.knows("name"), arguments.value("name") != nil else {
      throw .usage("'causeway bond up' needs FILE or NAME, or --name and the other options; see 'causeway bond up --help'")
    }
    let bond = try CommandLineReader.read(arguments) { (path: String) throws(CommandFailure) in try keyText(path) }
    // Standard input is read once.
    return { () throws(CommandFailure) in bond }
  }
  for option in onlyWithoutFile where arguments.knows(option) && arguments.value(option) != nil {
    throw .usage("--\(option) and a file exclude each other: write it into the file")
  }
  let path = try ConfigurationFile.locate(word)
  return { () throws(CommandFailure) in
    let file = try ConfigurationFile(reading: path)
    let bond = try BondReader.read(file)
    try BondReader.checkHooks(bond, file)
    return bond
  }
}

private func keyText(_ path: String) throws(CommandFailure) -> String {
  if path == "-" {
    do throws(FileError) { return String(decoding: try PrivateFile.readAll(0, "standard input"), as: UTF8.self) } catch {
      throw CommandFailure(error)
    }
  }
  let file = try ConfigurationFile(reading: path)
  if file.isReadableByOthers { StandardStreams.complain("warning: \(path) holds a key and others can read it; run: chmod 600 \(path)") }
  return String(decoding: file.bytes, as: UTF8.self)
}

/// What `up` starts for packets and keys; never typed by anybody.
func runBondWorker() -> ExitCode {
  try? ProcessLimits.disableCoreDumps()
  // It was started as /proc/self/exe.
  ProcessLimits.nameProcess("causeway-bond")
  return ExitCode(rawValue: BondWorker.run(parent: getppid())) ?? .failure
}
