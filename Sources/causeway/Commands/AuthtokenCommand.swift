internal import CausewaySupport
internal import CausewayTunnel

/// Stores a token with the server it belongs to.
@Sendable func runAuthtoken(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  let path = XDGFolders().clientConfiguration
  let server = try StoredSettings.server(arguments.value("server"), .process, path: path)
  if let warning = server.warning { StandardStreams.complain("warning: \(warning)") }
  let token = try SecretInput.line(
    from: arguments.positional("-") == nil ? .prompt("Token for \(server.text): ") : .standardInput, "the token")
  try StoredSettings.update(path) { $0.setToken(token, for: server.text) }
  StandardStreams.complain("the token for \(server.text) is stored in \(path)")
  return .ok
}
