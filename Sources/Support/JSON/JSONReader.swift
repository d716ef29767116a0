/// Recursive descent over a span; every function leaves `position` behind what it read.
enum JSONReader {
  static func skipSpace(_ bytes: Span<UInt8>, _ position: inout Int) {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  static func value(_ bytes: Span<UInt8>, _ position: inout Int, depth: Int) throws(JSONError) -> JSONTree {
    if depth > JSONValue.maximumDepth { throw JSONError(offset: position, reason: "nested deeper than \(JSONValue.maximumDepth) levels") }
    skipSpace(bytes, &position)
    let start = position
    return JSONTree(content: try content(bytes, &position, depth: depth), offset: start)
  }

  private static func content(_ bytes: Span<UInt8>, _ position: inout Int, depth: Int) throws(JSONError) -> JSONTree.Content {
    guard position < bytes.count else { throw JSONError(offset: position, reason: "a value is missing") }
    switch bytes[position] {
    case 0x7B: return try object(bytes, &position, depth: depth)
    case 0x5B: return try array(bytes, &position, depth: depth)
    case 0x22: return .string(try string(bytes, &position))
    case 0x74: return try word("true", .boolean(true), bytes, &position)
    case 0x66: return try word("false", .boolean(false), bytes, &position)
    case 0x6E: return try word("null", .null, bytes, &position)
    case 0x2D, 0x30...0x39: return try number(bytes, &position)
    default: throw JSONError(offset: position, reason: "expected a value")
    }
  }

  private static func word(
    _ word: String, _ value: JSONTree.Content, _ bytes: Span<UInt8>, _ position: inout Int
  ) throws(JSONError) -> JSONTree.Content {
    for byte in word.utf8 {
      guard position < bytes.count, bytes[position] == byte else { throw JSONError(offset: position, reason: "expected \(word)") }
      position += 1
    }
    return value
  }

  private static func object(_ bytes: Span<UInt8>, _ position: inout Int, depth: Int) throws(JSONError) -> JSONTree.Content {
    var members: [JSONTree.Member] = []
    var seen: Set<String> = []
    position += 1
    skipSpace(bytes, &position)
    if take(0x7D, bytes, &position) { return .object([]) }
    while true {
      skipSpace(bytes, &position)
      let start = position
      guard position < bytes.count, bytes[position] == 0x22 else { throw JSONError(offset: position, reason: "expected a key") }
      let key = try string(bytes, &position)
      if !seen.insert(key).inserted { throw JSONError(offset: start, reason: "a key is given twice") }
      skipSpace(bytes, &position)
      if !take(0x3A, bytes, &position) { throw JSONError(offset: position, reason: "expected ':'") }
      members.append(.init(key: key, offset: start, value: try value(bytes, &position, depth: depth + 1)))
      skipSpace(bytes, &position)
      if take(0x7D, bytes, &position) { return .object(members) }
      if !take(0x2C, bytes, &position) { throw JSONError(offset: position, reason: "expected ',' or '}'") }
    }
  }

  private static func array(_ bytes: Span<UInt8>, _ position: inout Int, depth: Int) throws(JSONError) -> JSONTree.Content {
    var items: [JSONTree] = []
    position += 1
    skipSpace(bytes, &position)
    if take(0x5D, bytes, &position) { return .array([]) }
    while true {
      items.append(try value(bytes, &position, depth: depth + 1))
      skipSpace(bytes, &position)
      if take(0x5D, bytes, &position) { return .array(items) }
      if !take(0x2C, bytes, &position) { throw JSONError(offset: position, reason: "expected ',' or ']'") }
    }
  }

  private static func take(_ byte: UInt8, _ bytes: Span<UInt8>, _ position: inout Int) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private static func isDigit(_ bytes: Span<UInt8>, _ position: Int) -> Bool {
    position < bytes.count && bytes[position] >= 0x30 && bytes[position] <= 0x39
  }

  private static func number(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONError) -> JSONTree.Content {
    let start = position
    var isWhole = true
    _ = take(0x2D, bytes, &position)
    if take(0x30, bytes, &position) {
      if isDigit(bytes, position) { throw JSONError(offset: start, reason: "a number with leading zeros") }
    } else {
      try digits(bytes, &position)
    }
    if take(0x2E, bytes, &position) {
      isWhole = false
      try digits(bytes, &position)
    }
    if take(0x65, bytes, &position) || take(0x45, bytes, &position) {
      isWhole = false
      if !take(0x2B, bytes, &position) { _ = take(0x2D, bytes, &position) }
      try digits(bytes, &position)
    }
    var text = ""
    for index in start..<position { text.unicodeScalars.append(Unicode.Scalar(bytes[index])) }
    if isWhole, let number = Int64(text) { return .integer(number) }
    guard let number = Double(text), number.isFinite else { throw JSONError(offset: start, reason: "a number out of range") }
    return .number(number)
  }

  private static func digits(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONError) {
    guard isDigit(bytes, position) else { throw JSONError(offset: position, reason: "expected a digit") }
    while isDigit(bytes, position) { position += 1 }
  }

  private static func string(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONError) -> String {
    let start = position
    var content: [UInt8] = []
    position += 1
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case 0x22:
        guard let text = String(validating: content, as: UTF8.self) else {
          throw JSONError(offset: start, reason: "a string that isn't UTF-8")
        }
        return text
      case 0..<0x20: throw JSONError(offset: position - 1, reason: "a control character in a string")
      case 0x5C: content += try escape(bytes, &position)
      default: content.append(byte)
      }
    }
    throw JSONError(offset: start, reason: "a string without end")
  }

  private static func escape(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONError) -> [UInt8] {
    guard position < bytes.count else { throw JSONError(offset: position, reason: "a string without end") }
    let letter = bytes[position]
    position += 1
    switch letter {
    case 0x22, 0x5C, 0x2F: return [letter]
    case 0x62: return [0x08]
    case 0x66: return [0x0C]
    case 0x6E: return [0x0A]
    case 0x72: return [0x0D]
    case 0x74: return [0x09]
    case 0x75:
      var code = try hexadecimal(bytes, &position)
      if (0xD800..<0xDC00).contains(code), position + 1 < bytes.count, bytes[position] == 0x5C, bytes[position + 1] == 0x75 {
        position += 2
        let low = try hexadecimal(bytes, &position)
        guard (0xDC00..<0xE000).contains(low) else { throw JSONError(offset: position - 6, reason: "half of a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw JSONError(offset: position - 6, reason: "half of a surrogate pair") }
      return Array(String(Character(scalar)).utf8)
    default: throw JSONError(offset: position - 2, reason: "an unknown escape")
    }
  }

  private static func hexadecimal(_ bytes: Span<UInt8>, _ position: inout Int) throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
        throw JSONError(offset: position, reason: "expected four hexadecimal digits")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
