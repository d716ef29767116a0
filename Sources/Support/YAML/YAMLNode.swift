internal import CausewayBase

/// A value of a YAML document with its place. Scalars are texts; the typed accessors in `YAMLNode+Values.swift` give them a meaning.
package struct YAMLNode: Sendable {
  package enum Content: Sendable {
    /// `isPlain`: written without quotes, so that `null` and `true` are more than texts.
    case scalar(String, isPlain: Bool)
    case sequence([YAMLNode])
    /// In the order of the file; keys are unique.
    case mapping([Entry])
  }

  package struct Entry: Sendable {
    package var key: String
    package var keyPlace: Place
    package var value: YAMLNode
  }

  /// 1-based.
  package struct Place: Equatable, Sendable {
    package var line: Int
    package var column: Int
    package init(line: Int, column: Int) {
      self.line = line
      self.column = column
    }
  }

  package let content: Content
  package let file: String
  package let place: Place
  /// How one got here from the root: `tunnels[0].local_port`. Filled by the accessors.
  package internal(set) var path = ""

  package func error(_ reason: String) -> YAMLError { error(at: place, path, reason) }

  func error(at place: Place, _ key: String, _ reason: String) -> YAMLError {
    YAMLError(file: file, line: place.line, column: place.column, key: key, reason: reason)
  }

  package var origin: Origin { .file(file, line: place.line, column: place.column, key: path) }

  /// `~`, `null`, or nothing at all.
  package var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  // MARK: Structure

  /// The entries of a mapping whose keys may only be `keys`; an unknown one is an error that offers the closest. An empty document
  /// counts as an empty mapping.
  package func mapping(keys: [String]) throws(YAMLError) -> YAMLMapping {
    let mapping = try mapping()
    for entry in mapping.entries where !keys.contains(entry.key) {
      let closest = ClosestWord.of(entry.key, among: keys)
      throw error(
        at: entry.keyPlace, Self.join(path, entry.key),
        "unknown key" + (closest.map { ", did you mean '\($0)'?" } ?? "; known are \(keys.joined(separator: ", "))"))
    }
    return mapping
  }

  /// The entries of a mapping with any keys.
  /// - Parameter isSecret: Something else that stands there may be a secret: never show it.
  package func mapping(isSecret: Bool = false) throws(YAMLError) -> YAMLMapping {
    if path.isEmpty && isNull { return YAMLMapping(node: self, entries: []) }
    guard case .mapping(let entries) = content else { throw unexpected("a mapping (key: value)", isSecret: isSecret) }
    return YAMLMapping(
      node: self,
      entries: entries.map { entry in
        var entry = entry
        entry.value.path = Self.join(path, entry.key)
        return entry
      })
  }

  package func sequence() throws(YAMLError) -> [YAMLNode] {
    guard case .sequence(let items) = content else { throw unexpected("a list") }
    return items.enumerated().map { index, item in
      var item = item
      item.path = "\(path)[\(index)]"
      return item
    }
  }

  static func join(_ path: String, _ key: String) -> String {
    let short = key.count > 64 ? key.prefix(64) + "…" : key[...]
    return path.isEmpty ? short.printable : path + "." + short.printable
  }

  /// "expected WHAT, got WHAT IS THERE".
  package func unexpected(_ expectation: String, isSecret: Bool = false) -> YAMLError {
    let got =
      switch content {
      case .mapping: "a mapping"
      case .sequence: "a list"
      case .scalar where isNull: "nothing"
      case .scalar where isSecret: "something else (not shown)"
      case .scalar(let text, _): "'" + text.prefix(64).printable + (text.count > 64 ? "…'" : "'")
      }
    return error("expected \(expectation), got \(got)")
  }
}

/// A mapping whose keys have been checked.
package struct YAMLMapping: Sendable {
  let node: YAMLNode
  package let entries: [YAMLNode.Entry]

  package func optional(_ key: String) -> YAMLNode? { entries.first { $0.key == key }?.value }

  package func required(_ key: String) throws(YAMLError) -> YAMLNode {
    guard let value = optional(key) else { throw node.error("the key '\(key)' is missing") }
    return value
  }
}
