internal import CausewaySupport
internal import Glibc

/// What a command does with its parsed arguments. It returns the verdict; errors are its own to say, in one line, through `complain`.
typealias CommandHandler = (ParsedArguments) -> ExitCode

enum Dispatcher {
  /// By the names below the program. Every command of `Program.table` that runs has its line here, its function in Commands/.
  static let handlers: [[String]: CommandHandler] = [
    ["completions"]: runCompletions,
    ["version"]: runVersion,
  ]

  static func run(_ arguments: [String]) -> ExitCode {
    do throws(ArgumentError) {
      switch try ArgumentParser(Program.table).parse(arguments) {
      case .help(let commands): answer(HelpPage.text(for: commands))
      case .version: answer("causeway \(Version.number)\n")
      case .run(let parsed):
        guard let handler = handlers[parsed.path] else {
          complain("'\(parsed.path.joined(separator: " "))' isn't part of this build")
          return .failure
        }
        return handler(parsed)
      }
      return .ok
    } catch {
      complain(error.description)
      return .usage
    }
  }
}

/// Writes to stdout: the answer.
func answer(_ text: String) {
  unsafe fputs(text, stdout)
  unsafe fflush(stdout)
}

/// Writes one line to stderr: the story.
func complain(_ line: String) { unsafe fputs("causeway: \(line)\n", stderr) }
