/// A JSON value (RFC 8259), read strictly: one value, no trailing commas, no comments, no duplicate keys, bounded depth. To write JSON
/// use `JSONWriter`.
package enum JSONValue: Equatable, Sendable {
  case null
  case boolean(Bool)
  /// A number without fraction and exponent that fits.
  case integer(Int64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  /// In the order of the text.
  case object([Member])

  package struct Member: Equatable, Sendable {
    package var key: String
    package var value: JSONValue
    package init(_ key: String, _ value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  package static let maximumDepth = 64

  package init(parsing bytes: Span<UInt8>) throws(JSONError) { self.init(try JSONTree.parse(bytes)) }

  package init(parsing text: String) throws(JSONError) {
    let bytes = Array(text.utf8)
    try self.init(parsing: bytes.span)
  }

  /// The member of an object, or nil.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  package var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }
  package var integer: Int64? {
    guard case .integer(let number) = self else { return nil }
    return number
  }
  package var double: Double? {
    switch self {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }
  package var boolean: Bool? {
    guard case .boolean(let flag) = self else { return nil }
    return flag
  }
  package var array: [JSONValue]? {
    guard case .array(let items) = self else { return nil }
    return items
  }
}

package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// In bytes from the start.
  package var offset: Int
  package var reason: String
  package var description: String { "broken JSON at byte \(offset): \(reason)" }
}
