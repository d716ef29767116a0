internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLinuxIO
package import CausewaySupport
package import CausewayWire

/// The token for one relay: `--token-file`, else CAUSEWAY_TOKEN, else what `causeway authtoken` stored for this very origin.
package struct TokenChoice: Sendable {
  package var token: String
  package var origin: Origin
  package var warning: String?

  package static let maximumByteCount = 4096

  /// - Parameters:
  ///   - secret: CAUSEWAY_TOKEN, taken out of the environment.
  ///   - configuration: Read only when needed: a broken file is no concern of someone who brings a token.
  package init(
    for server: ServerURL, file: Sourced<String>?, secret: String?, configuration: () throws(CommandFailure) -> ClientConfiguration,
    configurationPath: String
  ) throws(CommandFailure) {
    if let file {
      origin = file.origin
      let content: [UInt8]
      do throws(FileError) {
        if file.value == "-" {
          content = try PrivateFile.readAll(0, "standard input")
        } else {
          guard let found = try PrivateFile.read(file.value, isSecret: false) else {
            throw FileError(path: file.value, reason: "no such file")
          }
          content = found
          warning = SecretText.warning(aboutFile: file.value)
        }
      } catch { throw CommandFailure(.configuration, "\(file.origin): \(error)") }
      token = try Self.check(SecretText.firstLine(of: content), file.value == "-" ? "standard input" : file.value.printable)
    } else if let secret {
      origin = .environment("CAUSEWAY_TOKEN")
      token = try Self.check(SecretText.firstLine(of: Array(secret.utf8)), "CAUSEWAY_TOKEN")
    } else {
      let stored = try configuration()
      guard let found = stored.token(of: server) else {
        throw CommandFailure(
          .refused,
          "no token for \(server.origin): run 'causeway authtoken --server \(server.origin)', or set CAUSEWAY_TOKEN (its owner makes one with 'causeway relay account add EMAIL')"
        )
      }
      origin = .file(configurationPath, line: 1, column: 1)
      token = try Self.check(found, configurationPath.printable)
    }
  }

  /// One token out of what a pipe or a person gave.
  package static func read(_ content: [UInt8], _ place: String) throws(CommandFailure) -> String {
    try check(SecretText.firstLine(of: content), place)
  }

  /// The token itself is in no message.
  package static func check(_ text: String?, _ place: String) throws(CommandFailure) -> String {
    guard let text else { throw .usage("\(place): more than one line, where a token is expected") }
    if text.isEmpty { throw .usage("\(place): empty, where a token is expected") }
    guard text.utf8.count <= maximumByteCount, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw .usage("\(place): not a token: it is one word of printable ASCII characters")
    }
    return text
  }
}

extension ClientConfiguration {
  /// Compares origins as URLs, so that `https://Relay.example.com/` written by hand is found too.
  package func token(of server: ServerURL) -> String? {
    token(for: server.origin) ?? tokens.first { (try? ServerURL(parsing: $0.origin))?.origin == server.origin }?.token
  }

  /// The client's own file; an absent one counts as empty.
  package static func load(_ path: String) throws(CommandFailure) -> ClientConfiguration {
    let content: [UInt8]?
    do throws(FileError) { content = try PrivateFile.read(path, isSecret: true) } catch { throw CommandFailure(error) }
    guard let content else { return ClientConfiguration() }
    do throws(YAMLError) { return try ClientConfiguration(parsing: content, file: path) } catch { throw CommandFailure(error) }
  }
}

/// Files with one secret in them.
enum SecretText {
  /// Without its line end and the spaces around it; nil when more than one line has something in it.
  static func firstLine(of content: [UInt8]) -> String? {
    let lines = content.split(separator: 0x0A).map { line in
      String(decoding: line, as: UTF8.self).drop { $0.isWhitespace }
    }.filter { !$0.isEmpty }
    if lines.count > 1 { return nil }
    guard var line = lines.first else { return "" }
    while line.last?.isWhitespace == true { line.removeLast() }
    return String(line)
  }

  static func warning(aboutFile path: String) -> String? {
    guard let isPrivate = try? Files.isPrivate(path), !isPrivate else { return nil }
    return "\(path.printable) holds a secret and others can read it; run: chmod 600 '\(path.printable)'"
  }
}
