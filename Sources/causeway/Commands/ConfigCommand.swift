internal import CausewaySupport
internal import CausewayTunnel

/// Shows or changes the client's configuration.
@Sendable func runConfig(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let path = XDGFolders().clientConfiguration
  if let value = arguments.positional("VALUE") {
    // Stored in its full form, so that a later change of the default rules changes nothing.
    let server = try ServerChoice([value])
    if let warning = server.warning { StandardStreams.complain("warning: \(warning)") }
    try StoredSettings.update(path) { $0.server = server.text }
    return .ok
  }
  let server = try StoredSettings.server(nil, .process, path: path)
  if arguments.positional("KEY") != nil {
    StandardStreams.answer(server.text + "\n")
    return .ok
  }
  StandardStreams.answer(StoredSettings.report(try ClientConfiguration.load(path), server, path: path, json: arguments.flag("json")))
  return .ok
}
