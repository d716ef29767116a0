/// Reads a command line by the table of a program. Options and arguments may mix; `--` ends the options; `-abc` is `-a -b -c`.
package struct ArgumentParser: Sendable {
  package let program: Command

  package init(_ program: Command) { self.program = program }

  /// - Parameter arguments: All of argv, the program's name included, so that indices in origins are argv's own.
  package func parse(_ arguments: [String]) throws(ArgumentError) -> ParseOutcome {
    if let outcome = informational(arguments) { return outcome }
    var state = State(program)
    var index = 1
    var onlyWords = false
    while index < arguments.count {
      let word = arguments[index]
      if onlyWords || word == "-" || !word.hasPrefix("-") {
        try state.take(word: word, at: index, mayBeCommand: !onlyWords)
      } else if word == "--" {
        onlyWords = true
      } else if word.hasPrefix("--") {
        try state.take(long: word, arguments, &index)
      } else {
        try state.take(cluster: word, arguments, &index)
      }
      index += 1
    }
    return .run(try state.finish())
  }

  /// `--help` anywhere, `help COMMAND...` and `--version` win over every error.
  private func informational(_ arguments: [String]) -> ParseOutcome? {
    let words = arguments.dropFirst().prefix { $0 != "--" }
    if words.first == "help" && program.subcommand("help") == nil { return .help(commands(named: words.dropFirst())) }
    if words.contains("--help") || words.contains("-h") { return .help(commands(named: words)) }
    if words.first == "--version" { return .version }
    return nil
  }

  private func commands(named words: some Sequence<String>) -> [Command] {
    var commands = [program]
    for word in words where !word.hasPrefix("-") {
      guard let next = commands[commands.count - 1].subcommand(word) else { break }
      commands.append(next)
    }
    return commands
  }
}

extension ArgumentParser {
  /// What the words so far have said.
  private struct State {
    var commands: [Command]
    var options: [String: [Sourced<String>]] = [:]
    /// Options in the order given, for the first error.
    var optionOrder: [String] = []
    var words: [Sourced<String>] = []

    init(_ program: Command) { commands = [program] }

    var command: Command { commands[commands.count - 1] }
    var spelledPath: String { commands.map(\.name).joined(separator: " ") }

    mutating func take(word: String, at index: Int, mayBeCommand: Bool) throws(ArgumentError) {
      if words.isEmpty && !command.subcommands.isEmpty {
        if mayBeCommand, let next = command.subcommand(word) {
          commands.append(next)
          return
        }
        if command.positionals.isEmpty {
          throw .unknownCommand(
            word, command: spelledPath, closest: ClosestWord.of(word, among: command.subcommands.map(\.name)))
        }
      }
      let positionals = command.positionals
      let place = min(words.count, positionals.count - 1)
      guard place >= 0, words.count < positionals.count || positionals[place].takesMany else {
        if let reason = positionals.compactMap(\.refusal).first { throw .refused(subject: "an argument", reason: reason) }
        throw .unexpectedArgument(word, command: spelledPath)
      }
      let positional = positionals[place]
      if let reason = positional.refusal, !positional.hint.words.contains(word) { throw .refused(subject: "an argument", reason: reason) }
      try check(word, positional.hint, positional.name)
      words.append(Sourced(word, from: .argument(spelling: positional.name, index: index, offset: 0)))
    }

    mutating func take(long word: String, _ arguments: [String], _ index: inout Int) throws(ArgumentError) {
      let name = String(word.dropFirst(2).prefix { $0 != "=" })
      let spelling = "--" + name
      guard let option = command.option(long: name) else {
        // A secret glued to a refused option must not be echoed as an unknown one.
        if let refused = command.options.first(where: { $0.refusal != nil && name.hasPrefix($0.long) }), let reason = refused.refusal {
          throw .refused(subject: "'\(refused.spelling)'", reason: reason)
        }
        throw .unknownOption(spelling, command: spelledPath, closest: closest(to: spelling))
      }
      if let reason = option.refusal { throw .refused(subject: "'\(spelling)'", reason: reason) }
      if spelling.utf8.count < word.utf8.count {
        if option.isFlag { throw .unexpectedValue(option: spelling, command: spelledPath) }
        let value = String(word.dropFirst(spelling.count + 1))
        try add(option, value, .argument(spelling: spelling, index: index, offset: spelling.utf8.count + 1))
      } else {
        try takeValue(of: option, spelling, arguments, &index)
      }
    }

    mutating func take(cluster word: String, _ arguments: [String], _ index: inout Int) throws(ArgumentError) {
      if command.option(long: String(word.dropFirst().prefix { $0 != "=" }))?.acceptsOneDash == true {
        return try take(long: "-" + word, arguments, &index)
      }
      var rest = word.dropFirst()
      var offset = 1
      while let letter = rest.popFirst() {
        let spelling = "-\(letter)"
        offset += letter.utf8.count
        guard let option = command.option(short: letter) else {
          // `-json`: one dash too few.
          let name = String(word.dropFirst().prefix { $0 != "=" })
          throw .unknownOption(spelling, command: spelledPath, closest: closest(to: "--" + name))
        }
        if let reason = option.refusal { throw .refused(subject: "'\(spelling)'", reason: reason) }
        if option.isFlag {
          try add(option, "", .argument(spelling: spelling, index: index, offset: 0))
        } else if rest.isEmpty {
          try takeValue(of: option, spelling, arguments, &index)
        } else {
          try add(option, String(rest), .argument(spelling: spelling, index: index, offset: offset))
          return
        }
      }
    }

    private mutating func takeValue(
      of option: CommandOption, _ spelling: String, _ arguments: [String], _ index: inout Int
    ) throws(ArgumentError) {
      guard let valueName = option.valueName else {
        return try add(option, "", .argument(spelling: spelling, index: index, offset: 0))
      }
      guard index + 1 < arguments.count, arguments[index + 1] == "-" || !arguments[index + 1].hasPrefix("-") else {
        throw .missingValue(option: spelling, valueName: valueName, command: spelledPath)
      }
      index += 1
      try add(option, arguments[index], .argument(spelling: spelling, index: index, offset: 0))
    }

    private mutating func add(_ option: CommandOption, _ value: String, _ origin: Origin) throws(ArgumentError) {
      if let valueName = option.valueName {
        if value.isEmpty { throw .missingValue(option: origin.description, valueName: valueName, command: spelledPath) }
        if !option.repeatable && options[option.long] != nil { throw .repeated(option: option.spelling, command: spelledPath) }
        try check(value, option.hint, option.spelling)
      }
      options[option.long, default: []].append(Sourced(value, from: origin))
      optionOrder.append(option.long)
    }

    private func check(_ value: String, _ hint: ValueHint, _ subject: String) throws(ArgumentError) {
      guard case .choices(let choices) = hint, !choices.contains(value) else { return }
      throw .notAmong(choices, subject: subject, got: value, command: spelledPath, closest: ClosestWord.of(value, among: choices))
    }

    private func closest(to spelling: String) -> String? {
      ClosestWord.of(spelling, among: command.options.filter { $0.refusal == nil }.map(\.spelling) + ["--help"])
    }

    func finish() throws(ArgumentError) -> ParsedArguments {
      if !command.runs { throw .missingCommand(command: spelledPath, choices: command.subcommands.map(\.name)) }
      // Options given before a subcommand hold for it, if it has them.
      for long in optionOrder where command.option(long: long) == nil {
        throw .optionNotHere(option: "--" + long, command: spelledPath)
      }
      var positionalValues: [String: [Sourced<String>]] = [:]
      var rest = words[...]
      for positional in command.positionals {
        let taken = positional.takesMany ? rest : rest.prefix(1)
        if taken.isEmpty && positional.isRequired { throw .missingArgument(positional.name, command: spelledPath) }
        positionalValues[positional.name] = Array(taken)
        rest = rest.dropFirst(taken.count)
      }
      return ParsedArguments(commands: commands, optionValues: options, positionalValues: positionalValues)
    }
  }
}
