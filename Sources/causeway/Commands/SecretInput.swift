internal import CausewaySupport
internal import CausewayTunnel

/// One secret from a person or a pipe.
enum SecretInput {
  enum Source {
    case standardInput
    case prompt(String)
  }

  static func line(from source: Source, _ what: String) throws(CommandFailure) -> String {
    switch source {
    case .standardInput:
      let content: [UInt8]
      do throws(FileError) { content = try PrivateFile.readAll(0, "standard input") } catch { throw CommandFailure(error) }
      return try TokenChoice.read(content, "standard input")
    case .prompt(let text):
      switch HiddenPrompt.read(text) {
      case .entered(let line): return try TokenChoice.read(Array(line.utf8), what)
      case .ended: throw .usage("nothing was entered")
      case .interrupted: throw CommandFailure(.failure, "interrupted")
      case .notATerminal: throw .usage("standard input is no terminal to ask on: give \(what) with: causeway authtoken - < FILE")
      }
    }
  }
}
