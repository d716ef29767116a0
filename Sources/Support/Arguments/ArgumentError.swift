/// What is wrong with a command line, as facts; `ArgumentError+Message.swift` makes the sentence. `command` is the spelled-out path
/// (`causeway relay`), `closest` what the user may have meant.
package enum ArgumentError: Error, Equatable, Sendable {
  case unknownCommand(String, command: String, closest: String?)
  case unknownOption(String, command: String, closest: String?)
  /// A group without one of its subcommands.
  case missingCommand(command: String, choices: [String])
  case missingArgument(String, command: String)
  case missingValue(option: String, valueName: String, command: String)
  /// `--json=yes`
  case unexpectedValue(option: String, command: String)
  /// nil where the word may be a secret.
  case unexpectedArgument(String?, command: String)
  case repeated(option: String, command: String)
  /// `subject` is an option or an argument's name.
  case notAmong([String], subject: String, got: String, command: String, closest: String?)
  /// Given before a subcommand that doesn't take it.
  case optionNotHere(option: String, command: String)
  /// The value isn't kept here.
  case refused(subject: String, reason: String)
}
