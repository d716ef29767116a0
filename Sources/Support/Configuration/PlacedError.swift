internal import CausewayBase

/// What is wrong with a file, at its place: `wg0.conf:7:10: [Interface] MTU: expected 1280-9000, got '500'`.
package struct PlacedError: Error, Equatable, Sendable, CustomStringConvertible {
  package var file: String
  /// 1-based; 0: the file as a whole.
  package var line: Int
  /// 1-based, in characters; 0: the line as a whole.
  package var column: Int
  /// The field, as its file names it; empty when the text itself is at fault.
  package var field: String
  package var reason: String

  package init(file: String, line: Int = 0, column: Int = 0, field: String = "", reason: String) {
    self.file = file
    self.line = line
    self.column = column
    self.field = field
    self.reason = reason
  }

  package var place: String { file + (line > 0 ? ":\(line)" + (column > 0 ? ":\(column)" : "") : "") }
  package var description: String { place + ": " + (field.isEmpty ? "" : field + ": ") + reason }
}

extension PlacedError {
  /// "expected WHAT, got 'TEXT'" with the closest of `choices`, if one is near.
  static func reason(expected expectation: String, got text: String, choices: [String] = []) -> String {
    let shown = text.isEmpty ? "nothing" : "'" + text.prefix(64).printable + (text.count > 64 ? "…'" : "'")
    let closest = ClosestWord.of(text, among: choices)
    return "expected \(expectation), got \(shown)" + (closest.map { ", did you mean '\($0)'?" } ?? "")
  }

  package static func unknownOption(_ word: String, among known: [String]) -> String {
    let closest = ClosestWord.of(word, among: known)
    return "unknown option '\(word.printable)'"
      + (closest.map { ", did you mean '\($0)'?" } ?? "; known are \(known.joined(separator: ", "))")
  }

  static func unknown(_ what: String, _ word: String, among known: [String]) -> String {
    let closest = ClosestWord.of(word, among: known)
    return "unknown \(what)" + (closest.map { ", did you mean '\($0)'?" } ?? "; known are \(known.joined(separator: ", "))")
  }
}
