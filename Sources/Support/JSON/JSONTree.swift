/// A JSON value with where it stood, as `JSONReader` leaves it: `JSONValue` forgets the places, `JSONNode` makes them lines and columns.
struct JSONTree: Sendable {
  enum Content: Sendable {
    case null
    case boolean(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONTree])
    case object([Member])
  }

  struct Member: Sendable {
    var key: String
    /// In bytes from the start of the text.
    var offset: Int
    var value: JSONTree
  }

  var content: Content
  /// In bytes from the start of the text.
  var offset: Int

  static func parse(_ bytes: Span<UInt8>) throws(JSONError) -> JSONTree {
    var position = 0
    let tree = try JSONReader.value(bytes, &position, depth: 0)
    JSONReader.skipSpace(bytes, &position)
    if position < bytes.count { throw JSONError(offset: position, reason: "something follows the value") }
    return tree
  }
}

extension JSONValue {
  init(_ tree: JSONTree) {
    self =
      switch tree.content {
      case .null: .null
      case .boolean(let flag): .boolean(flag)
      case .integer(let number): .integer(number)
      case .number(let number): .number(number)
      case .string(let text): .string(text)
      case .array(let items): .array(items.map(JSONValue.init))
      case .object(let members): .object(members.map { Member($0.key, JSONValue($0.value)) })
      }
  }
}
