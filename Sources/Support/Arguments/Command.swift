/// One command of the program as data: parser, help pages and completion scripts all read this table.
package struct Command: Sendable {
  package var name: String
  /// One line, no full stop.
  package var summary: String
  /// Paragraphs under the summary of the help page, separated by empty lines; they are wrapped.
  package var details: String
  package var positionals: [Positional]
  package var options: [CommandOption]
  package var subcommands: [Command]
  package var examples: [Example]
  /// Whether the command does something itself; a group only leads to its subcommands.
  package var runs: Bool

  package init(
    _ name: String, _ summary: String, details: String = "", positionals: [Positional] = [], options: [CommandOption] = [],
    subcommands: [Command] = [], examples: [Example] = [], runs: Bool = true
  ) {
    self.name = name
    self.summary = summary
    self.details = details
    self.positionals = positionals
    self.options = options
    self.subcommands = subcommands
    self.examples = examples
    self.runs = runs
  }

  package struct Example: Sendable {
    package var line: String
    package var meaning: String
    package init(_ line: String, _ meaning: String) {
      self.line = line
      self.meaning = meaning
    }
  }

  package func subcommand(_ name: String) -> Command? { subcommands.first { $0.name == name } }
  package func option(long: String) -> CommandOption? { options.first { $0.long == long } }
  package func option(short: Character) -> CommandOption? { options.first { $0.short == short } }
}

/// An argument known by its place.
package struct Positional: Sendable {
  package enum Arity: Sendable { case one, optional, any, some }
  /// As in the usage line: `PORT|HOST:PORT`.
  package var name: String
  package var help: String
  package var arity: Arity
  package var hint: ValueHint
  /// When set, any word that `hint` doesn't list is refused with this text and never echoed: a place where people paste secrets.
  package var refusal: String?

  package init(_ name: String, _ help: String, _ arity: Arity = .one, hint: ValueHint = .none, refusal: String? = nil) {
    self.name = name
    self.help = help
    self.arity = arity
    self.hint = hint
    self.refusal = refusal
  }

  var takesMany: Bool { arity == .any || arity == .some }
  var isRequired: Bool { arity == .one || arity == .some }
}

/// An argument known by its name.
package struct CommandOption: Sendable {
  /// Without the dashes.
  package var long: String
  package var short: Character?
  /// As in the help page (`FILE`), or nil for a flag.
  package var valueName: String?
  package var help: String
  package var repeatable: Bool
  package var hint: ValueHint
  /// The heading it stands under in the help page.
  package var section: String
  /// When set, the option exists only to explain why it doesn't: its use is an error with this text, its value is never echoed.
  package var refusal: String?
  /// `-config` counts as `--config`, for those who come from programs that write it so.
  package var acceptsOneDash: Bool

  package init(
    _ long: String, short: Character? = nil, value: String? = nil, _ help: String, repeatable: Bool = false, hint: ValueHint = .none,
    section: String = "Options", refusal: String? = nil, acceptsOneDash: Bool = false
  ) {
    self.long = long
    self.short = short
    self.valueName = value
    self.help = help
    self.repeatable = repeatable
    self.hint = hint
    self.section = section
    self.refusal = refusal
    self.acceptsOneDash = acceptsOneDash
  }

  var isFlag: Bool { valueName == nil }
  /// `--server`
  var spelling: String { "--" + long }
}

/// What can stand for a value: completions offer it, and the parser holds `choices` to be all there is.
package enum ValueHint: Sendable, Equatable {
  case none, file, directory
  case choices([String])
  /// Offered, but others are allowed.
  case suggestions([String])

  var words: [String] {
    switch self {
    case .choices(let words), .suggestions(let words): words
    case .none, .file, .directory: []
    }
  }
}
