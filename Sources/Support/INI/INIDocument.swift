internal import CausewayBase

/// A file in WireGuard's INI form: `[Section]` lines, `Key = value` lines, `#` begins a comment anywhere. Sections and keys may repeat, in the
/// order of the file; both are compared without regard to case.
package struct INIDocument: Sendable {
  package struct Section: Sendable {
    /// As written.
    package var name: String
    package var file: String
    package var line: Int
    package var entries: [INIEntry] = []

    package func isNamed(_ name: String) -> Bool { self.name.lowercased() == name.lowercased() }

    package func error(_ reason: String) -> PlacedError { PlacedError(file: file, line: line, field: "[\(name)]", reason: reason) }

    /// Throws for a key that isn't among `keys`, offering the closest, and for a second one of those not in `repeatable`.
    package func check(keys: [String], repeatable: [String]) throws(PlacedError) {
      var seen: [String: Int] = [:]
      for entry in entries {
        guard let key = keys.first(where: { $0.lowercased() == entry.key.lowercased() }) else {
          throw entry.errorAtKey(PlacedError.unknown("key", entry.key, among: keys))
        }
        if !repeatable.contains(key), let first = seen.updateValue(entry.line, forKey: key) {
          throw entry.errorAtKey("given twice, first in line \(first)")
        }
      }
    }

    package func values(_ key: String) -> [INIEntry] { entries.filter { $0.key.lowercased() == key.lowercased() } }
    package func value(_ key: String) -> INIEntry? { values(key).first }
  }

  /// More sections or lines than any real file has.
  package static let maximumSectionCount = 10_000
  /// A longer word is no key; it may be a secret on a line of its own, and is never shown.
  static let maximumShownKeyCount = 32

  package private(set) var sections: [Section] = []

  package init(parsing bytes: [UInt8], file: String) throws(PlacedError) {
    guard var text = String(validating: bytes, as: UTF8.self) else { throw PlacedError(file: file, reason: "the file isn't UTF-8") }
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    var number = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).flatMap({
      $0.split(separator: "\r\n", omittingEmptySubsequences: false)
    }) {
      number += 1
      try take(line, number, file)
    }
  }

  private mutating func take(_ line: Substring, _ number: Int, _ file: String) throws(PlacedError) {
    let content = Self.trim(line.prefix { $0 != "#" })
    if content.isEmpty { return }
    let column = line.distance(from: line.startIndex, to: content.startIndex) + 1
    func fail(_ reason: String) -> PlacedError { PlacedError(file: file, line: number, column: column, reason: reason) }
    if content.hasPrefix("[") {
      guard content.hasSuffix("]"), content.count <= Self.maximumShownKeyCount else { throw fail("expected [Section]") }
      guard sections.count < Self.maximumSectionCount else { throw fail("more than \(Self.maximumSectionCount) sections") }
      sections.append(Section(name: String(Self.trim(content.dropFirst().dropLast())), file: file, line: number))
      return
    }
    guard let equals = content.firstIndex(of: "=") else {
      throw fail(content.hasPrefix(";") ? "a comment begins with '#', not with ';'" : "expected 'Key = value' or [Section]")
    }
    let key = Self.trim(content[..<equals])
    guard !key.isEmpty, key.count <= Self.maximumShownKeyCount, !key.contains(where: \.isWhitespace) else {
      throw fail("expected 'Key = value' or [Section]")
    }
    guard !sections.isEmpty else { throw fail("'\(key.printable)' stands before the first [Section]") }
    let value = Self.trim(content[content.index(after: equals)...])
    let valueColumn = line.distance(from: line.startIndex, to: value.startIndex) + 1
    sections[sections.count - 1].entries.append(
      INIEntry(
        section: sections[sections.count - 1].name, key: String(key), value: String(value), file: file, line: number, keyColumn: column,
        column: valueColumn))
  }

  private static func trim(_ text: Substring) -> Substring {
    var text = text.drop(while: \.isWhitespace)
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}

/// One `Key = value` with its place.
package struct INIEntry: Sendable {
  package let section: String
  /// As written.
  package let key: String
  package let value: String
  package let file: String
  package let line: Int
  let keyColumn: Int
  let column: Int

  package func error(_ reason: String) -> PlacedError { error(reason, at: column) }
  func errorAtKey(_ reason: String) -> PlacedError { error(reason, at: keyColumn) }

  private func error(_ reason: String, at column: Int) -> PlacedError {
    PlacedError(file: file, line: line, column: column, field: "[\(section.printable)] \(key.printable)", reason: reason)
  }

  /// "expected WHAT, got 'VALUE'"; the value isn't shown when it may be a secret.
  package func unexpected(_ expectation: String, got part: String? = nil, choices: [String] = [], isSecret: Bool = false) -> PlacedError {
    if isSecret { return error("expected \(expectation)" + (value.isEmpty ? ", got nothing" : ", got something else (not shown)")) }
    return error(PlacedError.reason(expected: expectation, got: part ?? value, choices: choices))
  }

  // MARK: Values with a meaning

  /// Decimal, or hexadecimal with 0x.
  package func integer(in range: ClosedRange<Int>, _ expectation: String? = nil, zeroWord: String? = nil) throws(PlacedError) -> Int {
    let text = value.lowercased()
    if let zeroWord, text == zeroWord { return 0 }
    let isHexadecimal = text.hasPrefix("0x")
    let digits = isHexadecimal ? text.dropFirst(2) : text[...]
    guard digits.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }), digits.utf8.count <= 16,
      let number = Int(digits, radix: isHexadecimal ? 16 : 10), range.contains(number)
    else { throw unexpected(expectation ?? "a whole number \(range.lowerBound)-\(range.upperBound)") }
    return number
  }

  /// One of `choices`, whatever its case.
  package func oneOf(_ choices: [String]) throws(PlacedError) -> String {
    let text = value.lowercased()
    if choices.contains(text) { return text }
    let list = choices.count == 1 ? choices[0] : choices.dropLast().joined(separator: ", ") + " or " + choices[choices.count - 1]
    throw unexpected(list, choices: choices)
  }

  /// Parts between commas, trimmed; none of them is empty.
  package func list(_ expectation: String) throws(PlacedError) -> [String] {
    if value.isEmpty { return [] }
    let parts = value.split(separator: ",", omittingEmptySubsequences: false).map { part in
      String(part.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
    if parts.contains("") { throw error("expected \(expectation), got nothing between two commas") }
    return parts
  }
}
