internal import CausewayBase

extension ArgumentError: CustomStringConvertible {
  /// One line: what, where, what to do.
  package var description: String {
    switch self {
    case .unknownCommand(let word, let command, let closest):
      "unknown command '\(word.printable)'" + Self.hint(closest, command)
    case .unknownOption(let spelling, let command, let closest):
      "unknown option '\(spelling.printable)' for '\(command)'" + Self.hint(closest, command)
    case .missingCommand(let command, let choices):
      "'\(command)' needs one of: \(choices.joined(separator: ", ")); see '\(command) --help'"
    case .missingArgument(let name, let command):
      "'\(command)' needs \(name); see '\(command) --help'"
    case .missingValue(let option, let valueName, let command):
      "option '\(option)' needs a value (\(valueName)); see '\(command) --help'"
    case .unexpectedValue(let option, let command):
      "option '\(option)' takes no value; see '\(command) --help'"
    case .unexpectedArgument(let word?, let command):
      "unexpected argument '\(word.printable)' for '\(command)'; see '\(command) --help'"
    case .unexpectedArgument(nil, let command):
      "too many arguments for '\(command)'; see '\(command) --help'"
    case .repeated(let option, let command):
      "option '\(option)' is given twice, '\(command)' takes it once"
    case .notAmong(let choices, let subject, let got, _, let closest):
      "\(subject) can't be '\(got.printable)': "
        + (closest.map { "did you mean '\($0)'?" } ?? "expected \(choices.joined(separator: ", "))")
    case .optionNotHere(let option, let command):
      "option '\(option)' isn't for '\(command)'; see '\(command) --help'"
    case .refused(let subject, let reason):
      "\(subject) isn't accepted: \(reason)"
    }
  }

  private static func hint(_ closest: String?, _ command: String) -> String {
    closest.map { ": did you mean '\($0)'?" } ?? "; see '\(command) --help'"
  }
}
