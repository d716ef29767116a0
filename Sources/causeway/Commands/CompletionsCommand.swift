internal import CausewaySupport

@Sendable func runCompletions(_ arguments: ParsedArguments) -> ExitCode {
  // The parser lets no other word through.
  guard let shell = arguments.positional("SHELL").flatMap({ Completions.Shell(rawValue: $0.value) }) else { return .usage }
  StandardStreams.answer(Completions.script(for: Program.table, shell))
  return .ok
}
