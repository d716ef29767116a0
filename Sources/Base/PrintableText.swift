extension Unicode.Scalar {
  /// Could move a cursor, start an escape sequence, break a line, or reorder what a reader sees: C0, DEL, C1, line and paragraph
  /// separators, bidirectional controls.
  package var isUnprintable: Bool {
    switch value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

extension StringProtocol {
  /// The text with every unprintable scalar written as an escape (`\n`, `\x1b`, `\u{202e}`): what comes from a peer goes through
  /// here before it reaches a terminal, a log line or an error message. Always one line.
  package var printable: String {
    if !unicodeScalars.contains(where: \.isUnprintable) { return String(self) }
    var result = ""
    for scalar in unicodeScalars {
      if !scalar.isUnprintable {
        result.unicodeScalars.append(scalar)
        continue
      }
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      default:
        let digits = String(scalar.value, radix: 16)
        result += scalar.value < 0x100 ? "\\x" + (digits.count < 2 ? "0" : "") + digits : "\\u{\(digits)}"
      }
    }
    return result
  }
}
