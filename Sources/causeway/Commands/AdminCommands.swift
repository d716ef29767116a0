internal import CausewayRelay
internal import CausewaySupport

/// `relay account|token|name …`: asks the running relay, or its database.
@Sendable func runAdmin(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  ProgramArguments.disableCoreDumps()
  let directory = try RelaySettings.dataDirectory(arguments.value("data")?.value, .process)
  let (command, list) = try adminCommand(arguments)
  let answer = AdminClient.run(command, in: directory)
  let isJSON = arguments.flag("json")
  var text = ""
  for line in answer.output {
    if !isJSON {
      text += line + "\n"
    } else if let list {
      text += AdminLists.json(line, list)
    } else {
      text += AdminLists.json(token: line)
    }
  }
  let isRead = StandardStreams.answer(text)
  for note in answer.notes { StandardStreams.complain(note) }
  if !isRead {
    StandardStreams.complain("standard output took nothing: a token that it should have held is lost, make another")
    return .failure
  }
  return ExitCode(rawValue: answer.exitCode) ?? .failure
}

private func adminCommand(_ arguments: ParsedArguments) throws(CommandFailure) -> (AdminCommand, AdminLists.Kind?) {
  func word(_ name: String) -> String { arguments.positional(name)?.value ?? "" }
  switch arguments.path.dropFirst().joined(separator: " ") {
  case "account add": return (.addAccount(email: word("EMAIL")), nil)
  case "account list": return (.listAccounts, .accounts)
  case "account disable": return (.disableAccount(email: word("EMAIL")), nil)
  case "account enable": return (.enableAccount(email: word("EMAIL")), nil)
  case "account remove": return (.removeAccount(email: word("EMAIL")), nil)
  case "token create": return (.createToken(email: word("EMAIL")), nil)
  case "token list": return (.listTokens(email: nil), .tokens)
  case "token revoke": return (try tokenToRevoke(arguments), nil)
  case "name list": return (.listNames(email: nil), .names)
  default: return (.releaseName(word("NAME")), nil)
  }
}

/// A token itself comes from standard input only; as an argument it is neither used nor repeated.
private func tokenToRevoke(_ arguments: ParsedArguments) throws(CommandFailure) -> AdminCommand {
  guard let id = arguments.positional("ID") else { throw .usage("'causeway relay token revoke' needs ID") }
  if id.value == "-" { return .revokeToken(secret: try SecretInput.line(from: .standardInput, "the token")) }
  if Token.resembles(id.value) {
    ProgramArguments.overwrite(id.origin)
    throw .usage(
      "a token is never an argument, arguments are visible to everyone in ps; give its ID, or the token on standard input: causeway relay token revoke - < FILE"
    )
  }
  return .revokeToken(id: id.value)
}
