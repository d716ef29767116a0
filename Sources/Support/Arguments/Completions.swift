/// Shell completion scripts made from a program's table.
///
/// All three find the command from the words so far, then offer its subcommands, options and the values it declares. Names and values
/// in tables are plain words; summaries are quoted for each shell.
package enum Completions {
  package enum Shell: String, CaseIterable, Sendable { case bash, zsh, fish }

  package static func script(for program: Command, _ shell: Shell) -> String {
    switch shell {
    case .bash: bash(program)
    case .zsh: zsh(program)
    case .fish: fish(program)
    }
  }

  /// Every command with its names below the program, parents first.
  static func flattened(_ program: Command) -> [(path: [String], command: Command)] {
    var result: [([String], Command)] = []
    func visit(_ command: Command, _ path: [String]) {
      result.append((path, command))
      for sub in command.subcommands { visit(sub, path + [sub.name]) }
    }
    visit(program, [])
    return result
  }

  /// Refused options are not offered.
  static func offered(_ command: Command) -> [CommandOption] { command.options.filter { $0.refusal == nil } }

  static func words(_ option: CommandOption) -> [String] { (option.short.map { ["-\($0)"] } ?? []) + [option.spelling] }

  /// The case labels `http/*` need: path joined by "/".
  static func label(_ path: [String]) -> String { path.joined(separator: "/") }

  /// A shell function body shared by bash and zsh: walks `words` from the second to the one before the cursor and sets `at`.
  static func walk(_ program: Command, word: String, from: String, before: String) -> String {
    var arms = ""
    for (path, command) in flattened(program) {
      for sub in command.subcommands {
        arms += "      \"\(label(path)):\(sub.name)\") at=\"\(label(path + [sub.name]))\" ;;\n"
      }
    }
    return """
        local at="" i
        for ((i = \(from); i < \(before); i++)); do
          case "$at:\(word)" in
      \(arms)    esac
        done

      """
  }
}

// MARK: bash

extension Completions {
  private static func bash(_ program: Command) -> String {
    let name = program.name
    var options = ""
    var values = ""
    for (path, command) in flattened(program) {
      let words = command.subcommands.map(\.name) + command.positionals.flatMap(\.hint.words)
      let all = words + offered(command).flatMap(Self.words) + ["--help"]
      let files = command.positionals.contains { $0.hint == .file } ? " files=1" : ""
      options += "    \"\(label(path))\") choices=\"\(all.joined(separator: " "))\"\(files) ;;\n"
      for option in offered(command) where !option.isFlag {
        let pattern = Self.words(option).map { "\"\(label(path)):\($0)\"" }.joined(separator: " | ")
        switch option.hint {
        case .file: values += "    \(pattern)) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
        case .directory: values += "    \(pattern)) COMPREPLY=($(compgen -d -- \"$current\")); return ;;\n"
        case .choices(let words), .suggestions(let words):
          values += "    \(pattern)) COMPREPLY=($(compgen -W \"\(words.joined(separator: " "))\" -- \"$current\")); return ;;\n"
        case .none: values += "    \(pattern)) return ;;\n"
        }
      }
    }
    return """
      # bash completion for \(name): source <(\(name) completions bash)
      _\(name)() {
        local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" choices="" files=""
        COMPREPLY=()
        # bash splits --option=value at the sign.
        if [[ "$current" == "=" ]]; then
          current=""
        elif [[ "$previous" == "=" ]]; then
          previous="${COMP_WORDS[COMP_CWORD-2]}"
        fi
      \(walk(program, word: "${COMP_WORDS[i]}", from: "1", before: "COMP_CWORD"))  case "$at:$previous" in
      \(values)  esac
        case "$at" in
      \(options)  esac
        COMPREPLY=($(compgen -W "$choices" -- "$current"))
        if [[ -n "$files" && "$current" != -* ]]; then
          COMPREPLY+=($(compgen -f -- "$current"))
        fi
      }
      complete -o filenames -F _\(name) \(name)

      """
  }
}

// MARK: zsh

extension Completions {
  private static func zshQuote(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  /// `_describe` takes `word:description`, so colons in words are escaped.
  private static func zshItem(_ word: String, _ help: String) -> String {
    zshQuote(word.split(separator: ":", omittingEmptySubsequences: false).joined(separator: "\\:") + ":" + help)
  }

  private static func zsh(_ program: Command) -> String {
    let name = program.name
    var arms = ""
    var values = ""
    for (path, command) in flattened(program) {
      let words =
        command.subcommands.map { zshItem($0.name, $0.summary) }
        + command.positionals.flatMap { positional in positional.hint.words.map { zshItem($0, positional.help) } }
      let options =
        offered(command).flatMap { option in Self.words(option).map { zshItem($0, option.help) } } + [zshItem("--help", "Show help")]
      let files = command.positionals.contains { $0.hint == .file } ? "\n      files=1" : ""
      arms += """
          "\(label(path))")
            choices=(\(words.joined(separator: " ")))
            options=(\(options.joined(separator: " ")))\(files)
            ;;

        """
      for option in offered(command) where !option.isFlag {
        let pattern = Self.words(option).map { "\"\(label(path)):\($0)\"" }.joined(separator: " | ")
        switch option.hint {
        case .file: values += "    \(pattern)) _files; return ;;\n"
        case .directory: values += "    \(pattern)) _files -/; return ;;\n"
        case .choices(let words), .suggestions(let words):
          values += "    \(pattern)) compadd -- \(words.joined(separator: " ")); return ;;\n"
        case .none: values += "    \(pattern)) _message \(zshQuote(option.help)); return ;;\n"
        }
      }
    }
    return """
      #compdef \(name)
      # zsh completion for \(name): source <(\(name) completions zsh), or save as _\(name) in a folder of $fpath.
      _\(name)() {
        local previous="${words[CURRENT-1]}" files=""
        local -a choices options
        if [[ "${words[CURRENT]}" == --*=* ]]; then
          previous="${words[CURRENT]%%=*}"
          compset -P '*='
        fi
      \(walk(program, word: "${words[i]}", from: "2", before: "CURRENT"))  case "$at:$previous" in
      \(values)  esac
        case "$at" in
      \(arms)  esac
        if [[ "${words[CURRENT]}" == -* ]]; then
          _describe option options
        else
          (( ${#choices} )) && _describe command choices
          [[ -n "$files" ]] && _files
        fi
        return 0
      }
      if [[ "$funcstack[1]" == "_\(name)" ]]; then
        _\(name) "$@"
      elif (( $+functions[compdef] )); then
        compdef _\(name) \(name)
      fi

      """
  }
}

// MARK: fish

extension Completions {
  private static func fishQuote(_ text: String) -> String {
    var result = "'"
    for character in text {
      if character == "'" || character == "\\" { result.append("\\") }
      result.append(character)
    }
    return result + "'"
  }

  private static func fish(_ program: Command) -> String {
    let name = program.name
    var arms = ""
    var lines = ""
    for (path, command) in flattened(program) {
      for sub in command.subcommands {
        arms += "      case \(fishQuote(label(path) + ":" + sub.name))\n        set at \(fishQuote(label(path + [sub.name])))\n"
      }
      let when = "complete -c \(name) -n \(fishQuote("__\(name)_at \"\(label(path))\""))"
      for sub in command.subcommands { lines += "\(when) -a \(sub.name) -d \(fishQuote(sub.summary))\n" }
      for positional in command.positionals {
        if !positional.hint.words.isEmpty {
          lines += "\(when) -a \(fishQuote(positional.hint.words.joined(separator: " "))) -d \(fishQuote(positional.name))\n"
        }
        if positional.hint == .file { lines += "\(when) -F\n" }
      }
      for option in offered(command) {
        var line = when + (option.short.map { " -s \($0)" } ?? "") + " -l \(option.long)"
        if !option.isFlag {
          line += " -r"
          switch option.hint {
          case .file: line += " -F"
          case .directory: line += " -a '(__fish_complete_directories)'"
          case .choices(let words), .suggestions(let words): line += " -a \(fishQuote(words.joined(separator: " ")))"
          case .none: break
          }
        }
        lines += line + " -d \(fishQuote(option.help))\n"
      }
      lines += "\(when) -s h -l help -d 'Show help'\n"
    }
    return """
      # fish completion for \(name): \(name) completions fish | source
      function __\(name)_at
        set -l at ''
        for word in (commandline -opc)[2..-1]
          switch "$at:$word"
      \(arms)    end
        end
        test "$at" = "$argv[1]"
      end
      complete -c \(name) -f
      \(lines)
      """
  }
}
