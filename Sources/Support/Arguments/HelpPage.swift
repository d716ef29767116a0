/// The help page of a command: at most 100 columns, descriptions aligned.
package enum HelpPage {
  package static let width = 100
  /// Names longer than this put their description on the next line.
  static let nameColumnLimit = 36

  /// - Parameter commands: From the program down to the command in question.
  package static func text(for commands: [Command]) -> String {
    let command = commands[commands.count - 1]
    let path = commands.map(\.name).joined(separator: " ")
    var lines = wrap("\(path): \(command.summary)", width: width)
    for paragraph in command.details.split(separator: "\n\n") {
      lines.append("")
      lines += wrap(String(paragraph), width: width)
    }
    lines.append("")
    lines += usage(command, path)
    for (title, rows) in sections(command) where !rows.isEmpty {
      lines += ["", title + ":"]
      lines += table(rows)
    }
    if !command.examples.isEmpty {
      lines += ["", "Examples:"]
      for example in command.examples {
        lines.append("  " + example.line)
        lines += wrap(example.meaning, width: width - 6).map { "      " + $0 }
      }
    }
    if !command.subcommands.isEmpty { lines += ["", "'\(path) COMMAND --help' says more about one of them."] }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func usage(_ command: Command, _ path: String) -> [String] {
    var lines: [String] = []
    let words = command.positionals.map { positional in
      switch positional.arity {
      case .one: positional.name
      case .optional: "[\(positional.name)]"
      case .any: "[\(positional.name)]..."
      case .some: "\(positional.name)..."
      }
    }
    if command.runs { lines.append(([path, "[OPTIONS]"] + words).joined(separator: " ")) }
    if !command.subcommands.isEmpty { lines.append("\(path) COMMAND ...") }
    return lines.enumerated().map { ($0.offset == 0 ? "Usage: " : "       ") + $0.element }
  }

  private static func sections(_ command: Command) -> [(String, [(String, String)])] {
    var sections: [(String, [(String, String)])] = [
      ("Commands", command.subcommands.map { ($0.name, $0.summary) }),
      ("Arguments", command.positionals.map { ($0.name, $0.help) }),
    ]
    var titles: [String] = []
    for option in command.options where !titles.contains(option.section) { titles.append(option.section) }
    if !titles.contains("Options") { titles.append("Options") }
    for title in titles {
      var rows = command.options.filter { $0.section == title && $0.refusal == nil }.map { (name(of: $0), $0.help) }
      if title == "Options" { rows.append(("-h, --help", "Show this page")) }
      if title == "Options" && command.name == "causeway" { rows.append(("    --version", "Show the version")) }
      sections.append((title, rows))
    }
    return sections
  }

  private static func name(of option: CommandOption) -> String {
    (option.short.map { "-\($0), " } ?? "    ") + option.spelling + (option.valueName.map { " " + $0 } ?? "")
      + (option.repeatable ? "..." : "")
  }

  private static func table(_ rows: [(String, String)]) -> [String] {
    let column = (rows.map(\.0.count).filter { $0 <= nameColumnLimit }.max() ?? 0) + 4
    let indent = String(repeating: " ", count: column)
    return rows.flatMap { name, help in
      let wrapped = wrap(help, width: width - column)
      let head = "  " + name
      if head.count + 2 > column { return [head] + wrapped.map { indent + $0 } }
      let first = head + String(repeating: " ", count: column - head.count) + (wrapped.first ?? "")
      return [first] + wrapped.dropFirst().map { indent + $0 }
    }
  }

  /// Breaks at spaces; a word longer than the width gets a line of its own.
  static func wrap(_ text: String, width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      if !line.isEmpty && line.count + 1 + word.count > width {
        lines.append(line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    if !line.isEmpty { lines.append(line) }
    return lines
  }
}
