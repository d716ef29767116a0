// CausewaySupport: what a command-line program needs around its protocols. Arguments from explicit tables (help, completions),
// YAML through libyaml with a place in every error, terminal drawing, the environment, JSON.
// It knows no protocol and opens no socket. Start with Arguments/Command.swift, then Commands/ (the product's tables),
// YAML/YAMLNode.swift and Terminal/PanelModel.swift. JSON is written by CausewayBase's JSONWriter and read by JSONValue here.

/// The verdict of every command: one table for all of them.
package enum ExitCode: Int32, Sendable {
  /// Done, or ended by SIGINT or SIGTERM.
  case ok = 0
  case failure = 1
  /// Usage, an invalid name or port, broken YAML or an unknown key.
  case usage = 2
  /// Refused for good: trying again changes nothing.
  case refused = 69
  /// Refused for now: later it may work.
  case temporary = 75
  /// A configuration file that cannot be read.
  case configuration = 78
}
