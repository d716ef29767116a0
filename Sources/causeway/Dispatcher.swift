internal import CausewaySupport

/// What a command does with its parsed arguments. It returns the verdict; errors are its own to say, in one line, through `StandardStreams.complain`.
typealias CommandHandler = @Sendable (ParsedArguments) -> ExitCode

enum Dispatcher {
  /// By the names below the program. Every command of `Program.table` that runs has its line here, its function in Commands/.
  static let handlers: [[String]: CommandHandler] = [
    ["completions"]: runCompletions,
    ["version"]: runVersion,
  ]

  static func run(_ arguments: [String]) -> ExitCode {
    do throws(ArgumentError) {
      switch try ArgumentParser(Program.table).parse(arguments) {
      case .help(let commands): StandardStreams.answer(HelpPage.text(for: commands))
      case .version: StandardStreams.answer("causeway \(Version.number)\n")
      case .run(let parsed):
        guard let handler = handlers[parsed.path] else {
          StandardStreams.complain("'\(parsed.path.joined(separator: " "))' isn't part of this build")
          return .failure
        }
        return handler(parsed)
      }
      return .ok
    } catch {
      StandardStreams.complain(error.description)
      return .usage
    }
  }
}
