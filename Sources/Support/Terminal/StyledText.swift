internal import CausewayBase

/// One line of text with colours, free of control characters.
package struct StyledText: Equatable, Sendable {
  package enum Style: String, Sendable {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  struct Run: Equatable, Sendable {
    var text: String
    var style: Style
  }

  private(set) var runs: [Run] = []

  package init() {}
  package init(_ text: some StringProtocol, _ style: Style = .plain) { append(text, style) }

  /// Control characters become escapes: whatever a peer sent may be passed in.
  package mutating func append(_ text: some StringProtocol, _ style: Style = .plain) {
    if !text.isEmpty { runs.append(Run(text: text.printable, style: style)) }
  }

  /// Spaces up to `column`; at least one.
  package mutating func pad(to column: Int) { append(String(repeating: " ", count: max(1, column - width))) }

  /// Terminal cells.
  package var width: Int { runs.reduce(0) { $0 + $1.text.cellWidth } }

  package var plain: String { runs.map(\.text).joined() }

  package func rendered(colour: Bool) -> String {
    if !colour { return plain }
    return runs.map { $0.style == .plain ? $0.text : "\u{1B}[\($0.style.rawValue)m\($0.text)\u{1B}[0m" }.joined()
  }

  /// At most `width` cells; what is cut off is replaced by an ellipsis.
  package func truncated(to width: Int) -> StyledText {
    if self.width <= width { return self }
    var result = StyledText()
    if width < 1 { return result }
    var left = width - 1
    for run in runs {
      var text = ""
      for character in run.text {
        let cells = character.cellWidth
        if cells > left {
          result.append(text + "…", run.style)
          return result
        }
        left -= cells
        text.append(character)
      }
      result.append(text, run.style)
    }
    return result
  }
}

extension Character {
  /// Cells on a terminal: 2 for East Asian wide characters and emoji, 0 for what only combines.
  var cellWidth: Int {
    guard let scalar = unicodeScalars.first else { return 0 }
    if scalar.value < 0x300 { return 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: break
    }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6,
      0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1FAFF, 0x20000...0x3FFFD:
      return 2
    default: return unicodeScalars.contains { $0.value == 0xFE0F } ? 2 : 1
    }
  }
}

extension String {
  var cellWidth: Int { reduce(0) { $0 + $1.cellWidth } }
}
