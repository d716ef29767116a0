internal import CausewayBond
internal import CausewayCrypto
internal import CausewayLinuxIO
internal import CausewaySupport
internal import Glibc

private func notRunning(_ name: String) -> CommandFailure {
  CommandFailure(.failure, "no bond named \(name.prefix(32)) runs here; 'causeway bond status' lists those that do")
}

private func nameArgument(_ arguments: ParsedArguments) throws(CommandFailure) -> String {
  let name = arguments.positional("NAME")?.value ?? ""
  // A file's name is what people have in their history.
  let base = ConfigurationFile.baseName(name)
  guard InterfaceName.isValid(base) else { throw .usage("NAME: \(InterfaceName.rule)") }
  return base
}

private func tell(_ answer: ControlAnswer) throws(CommandFailure) {
  for note in answer.notes { StandardStreams.complain(note) }
  if !answer.error.isEmpty { throw CommandFailure(ExitCode(rawValue: answer.exitCode) ?? .failure, answer.error) }
}

/// Ends a bond and waits until it has cleaned up; also cleans up after one that was killed.
@Sendable func runBondDown(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let name = try nameArgument(arguments)
  let folders = try BondFolders()
  if let answer = try ControlClient.ask(.down, of: name, in: folders) {
    try tell(answer)
    try BondSupervisor.waitForEnd(of: name, in: folders)
    return .ok
  }
  if try BondSupervisor.cleanUp(name, system: try LinuxBondSystem(), folders: folders, report: StandardStreams.complain) { return .ok }
  throw notRunning(name)
}

@Sendable func runBondReload(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let name = try nameArgument(arguments)
  guard let answer = try ControlClient.ask(.reload, of: name, in: try BondFolders()) else { throw notRunning(name) }
  try tell(answer)
  return .ok
}

/// Explains a configuration; what would stop `up` is an error here too.
@Sendable func runBondCheck(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  let file = try ConfigurationFile(reading: try ConfigurationFile.locate(arguments.positional("FILE|NAME")?.value ?? ""))
  let bond = try BondReader.read(file)
  StandardStreams.answer(Explanation.lines(bond).joined(separator: "\n") + "\n")
  try BondReader.checkHooks(bond, file)
  return .ok
}

// MARK: Keys

@Sendable func runKeygen(_ arguments: ParsedArguments) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  warnAboutOutput()
  return StandardStreams.answer(KeyText.base64(of: KeyText.newPrivateKey()) + "\n") ? .ok : .failure
}

@Sendable func runGenpsk(_ arguments: ParsedArguments) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  warnAboutOutput()
  return StandardStreams.answer(KeyText.base64(of: SecretKey(randomByteCount: 32)) + "\n") ? .ok : .failure
}

@Sendable func runPubkey(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  let content: [UInt8]
  do throws(FileError) { content = try PrivateFile.readAll(0, "standard input") } catch { throw CommandFailure(error) }
  let words = String(decoding: content, as: UTF8.self).split(whereSeparator: \.isWhitespace)
  guard words.count == 1, let key = KeyText.secretKey(base64: words[0]) else {
    throw .usage("standard input: expected one private key of 44 characters in base64")
  }
  StandardStreams.answer("\(KeyText.publicKey(of: key))\n")
  return .ok
}

/// A key that goes into a file that others can read.
private func warnAboutOutput() {
  var status = stat()
  guard unsafe fstat(1, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 != 0 else { return }
  StandardStreams.complain("warning: others can read the file that this key goes to; use umask 077")
}

// MARK: Status

@Sendable func runBondStatus(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let folders = try BondFolders()
  let isJSON = arguments.flag("json")
  let name = arguments.positional("NAME") == nil ? nil : try nameArgument(arguments)
  if arguments.flag("watch") { return try watch(name, isJSON, folders) }
  let statuses = try bondStatuses(name, folders)
  if statuses.isEmpty {
    if !isJSON { StandardStreams.complain("no bond runs here") }
    return .ok
  }
  if isJSON {
    StandardStreams.answer(statuses.map { $0.jsonText + "\n" }.joined())
    return .ok
  }
  let terminal = Terminal.of(1)
  let columns = Terminal.size(of: 1)?.columns ?? 80
  let lines = statuses.flatMap { StatusTable.lines($0, columns: columns) }
  StandardStreams.answer(lines.map { $0.rendered(colour: terminal.hasColour) + "\n" }.joined())
  return .ok
}

private func bondStatuses(_ name: String?, _ folders: BondFolders) throws(CommandFailure) -> [BondStatus] {
  var statuses: [BondStatus] = []
  for candidate in name.map({ [$0] }) ?? folders.names {
    guard let answer = try ControlClient.ask(.status, of: candidate, in: folders) else {
      if name != nil { throw notRunning(candidate) }
      continue  // a socket that a killed bond left
    }
    try tell(answer)
    statuses.append(answer.status)
  }
  return statuses
}

/// A frame a second until Ctrl-C, or until the one that was asked for ends.
private func watch(_ name: String?, _ isJSON: Bool, _ folders: BondFolders) throws(CommandFailure) -> ExitCode {
  var display = LiveLines()
  var history: [String: StatusHistory] = [:]
  while true {
    let statuses = try bondStatuses(name, folders)
    var isRead = true
    if isJSON {
      isRead = StandardStreams.answer(statuses.map { $0.jsonText + "\n" }.joined())
    } else {
      var lines: [StyledText] = []
      for status in statuses {
        history[status.name, default: StatusHistory()].add(status)
        lines += StatusTable.lines(status, history: history[status.name], columns: display.size.columns)
      }
      isRead = display.show(lines.isEmpty ? [StyledText("no bond runs here")] : lines)
    }
    if !isRead { return .ok }
    sleep(1)
  }
}
