/// The words on `admin.sock`, in lines that end with LF. One connection carries one question and one answer:
///
///     question:  causeway-admin-1 TAB verb TAB argument TAB cursor
///     answer:    out TEXT | note TEXT | next CURSOR   (any number of lines)
///                end CODE                             (the last; without it the answer was cut)
///
/// In every field the bytes 0x00-0x20, 0x25 (%) and 0x7F are written %XX, so that a field holds neither a separator nor an end.
package enum AdminCodec {
  /// A question with its LF; a relay closes on a longer one.
  package static let maximumQuestionByteCount = 1024
  /// An answer: a page of rows with room to spare. A command stops reading beyond it.
  package static let maximumAnswerByteCount = 1 << 20
  private static let greeting = "causeway-admin-1"

  package static func encode(_ command: AdminCommand, from cursor: String) -> [UInt8] {
    let (verb, argument) = fields(of: command)
    let line = [greeting, verb, argument, cursor].map(escaped).joined(separator: "\t") + "\n"
    return [UInt8](line.utf8)
  }

  /// Reads one question without its LF; nil when it is none, or of another version.
  package static func question(_ line: Span<UInt8>) -> (AdminCommand, cursor: String)? {
    var bytes: [UInt8] = []
    for index in line.indices { bytes.append(line[index]) }
    let fields = bytes.split(separator: 0x09, omittingEmptySubsequences: false).map(unescaped)
    guard fields.count == 4, fields[0] == greeting, let verb = fields[1], let argument = fields[2], let cursor = fields[3],
      let command = command(verb, argument)
    else { return nil }
    return (command, cursor)
  }

  package static func encode(_ answer: AdminAnswer) -> [UInt8] {
    var text = ""
    for line in answer.output { text += "out \(escaped(line))\n" }
    for line in answer.notes { text += "note \(escaped(line))\n" }
    if let next = answer.next { text += "next \(escaped(next))\n" }
    text += "end \(answer.exitCode)\n"
    return [UInt8](text.utf8)
  }

  /// Reads a whole answer; nil when it was cut or isn't one.
  package static func answer(_ bytes: [UInt8]) -> AdminAnswer? {
    var answer = AdminAnswer()
    var isComplete = false
    for line in bytes.split(separator: 0x0A) {
      let parts = line.split(separator: 0x20, maxSplits: 1, omittingEmptySubsequences: false)
      guard !isComplete, parts.count == 2, let text = unescaped(parts[1]) else { return nil }
      switch String(decoding: parts[0], as: UTF8.self) {
      case "out": answer.output.append(text)
      case "note": answer.notes.append(text)
      case "next": answer.next = text
      case "end":
        guard let code = Int32(text) else { return nil }
        answer.exitCode = code
        isComplete = true
      default: return nil
      }
    }
    return isComplete && bytes.last == 0x0A ? answer : nil
  }

  private static func fields(of command: AdminCommand) -> (String, String) {
    switch command {
    case .addAccount(let email): ("account-add", email)
    case .listAccounts: ("account-list", "")
    case .disableAccount(let email): ("account-disable", email)
    case .enableAccount(let email): ("account-enable", email)
    case .removeAccount(let email): ("account-remove", email)
    case .createToken(let email): ("token-create", email)
    case .listTokens(let email): email.map { ("token-list-of", $0) } ?? ("token-list", "")
    case .revokeToken(let id): ("token-revoke", id)
    case .listNames(let email): email.map { ("name-list-of", $0) } ?? ("name-list", "")
    case .releaseName(let name): ("name-release", name)
    }
  }

  private static func command(_ verb: String, _ argument: String) -> AdminCommand? {
    switch verb {
    case "account-add": .addAccount(email: argument)
    case "account-list": .listAccounts
    case "account-disable": .disableAccount(email: argument)
    case "account-enable": .enableAccount(email: argument)
    case "account-remove": .removeAccount(email: argument)
    case "token-create": .createToken(email: argument)
    case "token-list": .listTokens(email: nil)
    case "token-list-of": .listTokens(email: argument)
    case "token-revoke": .revokeToken(id: argument)
    case "name-list": .listNames(email: nil)
    case "name-list-of": .listNames(email: argument)
    case "name-release": .releaseName(argument)
    default: nil
    }
  }

  private static func escaped(_ text: String) -> String {
    var result: [UInt8] = []
    for byte in text.utf8 {
      if byte <= 0x20 || byte == 0x25 || byte == 0x7F {
        result += "%\(Hexadecimal.text([byte]))".utf8
      } else {
        result.append(byte)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func unescaped(_ field: ArraySlice<UInt8>) -> String? {
    var result: [UInt8] = []
    var index = field.startIndex
    while index < field.endIndex {
      if field[index] == 0x25 {
        guard index + 2 < field.endIndex, let nibbles = Hexadecimal.nibbles(field[(index + 1)...(index + 2)]) else { return nil }
        result.append(nibbles[0] << 4 | nibbles[1])
        index += 3
      } else {
        result.append(field[index])
        index += 1
      }
    }
    return String(validating: result, as: UTF8.self)
  }
}
