/// Where a setting came from: flags win over the environment, it over files, they over defaults; messages name the winner.
package enum Origin: Equatable, Sendable, CustomStringConvertible {
  /// `spelling` is what the user wrote (`--server`, `-k`, `PORT`); the value begins at `offset` bytes of argv[`index`].
  case argument(spelling: String, index: Int, offset: Int)
  case environment(String)
  /// `key`: the path of the value's key (`limits.names_per_account`), or empty.
  case file(String, line: Int, column: Int, key: String = "")
  case standard

  package var description: String {
    switch self {
    case .argument(let spelling, _, _): spelling
    case .environment(let name): name
    case .file(let file, let line, let column, let key): "\(file):\(line):\(column)" + (key.isEmpty ? "" : ": key '\(key)'")
    case .standard: "default"
    }
  }
}

/// A value together with its origin.
package struct Sourced<Value: Sendable>: Sendable {
  package var value: Value
  package var origin: Origin
  package init(_ value: Value, from origin: Origin) {
    self.value = value
    self.origin = origin
  }
}

extension Sourced: Equatable where Value: Equatable {}

/// What a command line said, valid according to the table of its command.
package struct ParsedArguments: Sendable {
  /// From the program down: `[causeway, relay, account, add]`.
  package let commands: [Command]
  let optionValues: [String: [Sourced<String>]]
  let positionalValues: [String: [Sourced<String>]]

  package var command: Command { commands[commands.count - 1] }
  /// Names below the program: `["relay", "account", "add"]`.
  package var path: [String] { commands.dropFirst().map(\.name) }

  /// Whether the flag was given. A precondition failure when the command has no such option.
  package func flag(_ long: String) -> Bool { !values(long).isEmpty }
  /// The value of an option that can be given once, or the last one of a repeatable option.
  package func value(_ long: String) -> Sourced<String>? { values(long).last }
  /// All values of a repeatable option, in order.
  package func values(_ long: String) -> [Sourced<String>] {
    precondition(command.option(long: long) != nil, "'\(command.name)' declares no option --\(long)")
    return optionValues[long] ?? []
  }
  /// Whether this command declares the option at all: for code shared by several commands.
  package func knows(_ long: String) -> Bool { command.option(long: long) != nil }

  package func positional(_ name: String) -> Sourced<String>? { positionals(name).first }
  package func positionals(_ name: String) -> [Sourced<String>] {
    precondition(command.positionals.contains { $0.name == name }, "'\(command.name)' declares no argument \(name)")
    return positionalValues[name] ?? []
  }
}

package enum ParseOutcome: Sendable {
  case run(ParsedArguments)
  /// Asked for the help page of the last command.
  case help([Command])
  case version
}
