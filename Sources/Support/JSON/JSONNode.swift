internal import CausewayBase

/// A value of a JSON file with its place, read like a `YAMLNode`: each accessor throws one line that says where, what was expected and what
/// is there.
package struct JSONNode: Sendable {
  private final class Source: Sendable {
    let file: String
    let bytes: [UInt8]
    init(file: String, bytes: [UInt8]) {
      self.file = file
      self.bytes = bytes
    }

    func error(at offset: Int, _ field: String, _ reason: String) -> PlacedError {
      let before = bytes.prefix(offset)
      let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      return PlacedError(
        file: file, line: before.count { $0 == 0x0A } + 1, column: String(decoding: before[start...], as: UTF8.self).count + 1,
        field: field,
        reason: reason)
    }
  }

  private let source: Source
  private let tree: JSONTree
  /// How one got here from the root: `client.remotePaths[0].weight`.
  package let path: String

  private init(_ source: Source, _ tree: JSONTree, _ path: String) {
    self.source = source
    self.tree = tree
    self.path = path
  }

  package init(parsing bytes: [UInt8], file: String) throws(PlacedError) {
    let source = Source(file: file, bytes: bytes)
    do throws(JSONError) { self.init(source, try JSONTree.parse(bytes.span), "") } catch {
      throw source.error(at: error.offset, "", "broken JSON: \(error.reason)")
    }
  }

  package func error(_ reason: String) -> PlacedError { source.error(at: tree.offset, path, reason) }

  package var isNull: Bool {
    guard case .null = tree.content else { return false }
    return true
  }

  /// "expected WHAT, got WHAT IS THERE"; a value that may be a secret isn't shown.
  package func unexpected(_ expectation: String, isSecret: Bool = false) -> PlacedError {
    switch tree.content {
    case .null: error("expected \(expectation), got null")
    case .array: error("expected \(expectation), got a list")
    case .object: error("expected \(expectation), got an object")
    case _ where isSecret: error("expected \(expectation), got something else (not shown)")
    case .boolean(let flag): error("expected \(expectation), got \(flag)")
    case .integer(let number): error("expected \(expectation), got \(number)")
    case .number(let number): error("expected \(expectation), got \(number)")
    case .string(let text): error(PlacedError.reason(expected: expectation, got: text))
    }
  }

  // MARK: Structure

  /// The members of an object whose keys may only be `keys`; those that are null are left out.
  package func object(keys: [String]) throws(PlacedError) -> JSONObject {
    guard case .object(let members) = tree.content else { throw unexpected("an object") }
    var nodes: [String: JSONNode] = [:]
    for member in members {
      // A word that is too long for a key may be a secret.
      let name = member.key.count > INIDocument.maximumShownKeyCount ? "…" : member.key.printable
      let memberPath = path.isEmpty ? name : path + "." + name
      guard keys.contains(member.key) else {
        throw source.error(at: member.offset, memberPath, PlacedError.unknown("field", member.key, among: keys))
      }
      let node = JSONNode(source, member.value, memberPath)
      if !node.isNull { nodes[member.key] = node }
    }
    return JSONObject(node: self, members: nodes)
  }

  package func array(_ expectation: String) throws(PlacedError) -> [JSONNode] {
    guard case .array(let items) = tree.content else { throw unexpected(expectation) }
    return items.enumerated().map { JSONNode(source, $1, "\(path)[\($0)]") }
  }

  // MARK: Scalars

  package func string(_ expectation: String = "a text", isSecret: Bool = false) throws(PlacedError) -> String {
    guard case .string(let text) = tree.content, !text.isEmpty else { throw unexpected(expectation, isSecret: isSecret) }
    return text
  }

  package func boolean() throws(PlacedError) -> Bool {
    guard case .boolean(let flag) = tree.content else { throw unexpected("true or false") }
    return flag
  }

  package func integer(in range: ClosedRange<Int>) throws(PlacedError) -> Int {
    guard case .integer(let number) = tree.content, let value = Int(exactly: number), range.contains(value) else {
      throw unexpected("a whole number \(range.lowerBound)-\(range.upperBound)")
    }
    return value
  }
}

/// An object whose keys have been checked.
package struct JSONObject: Sendable {
  let node: JSONNode
  let members: [String: JSONNode]

  package func optional(_ key: String) -> JSONNode? { members[key] }

  /// An error at the object itself, for something that it lacks.
  package func missing(_ reason: String) -> PlacedError { node.error(reason) }

  package func required(_ key: String) throws(PlacedError) -> JSONNode {
    guard let member = members[key] else { throw node.error("the field '\(key)' is missing") }
    return member
  }
}
