/// Lines that redraw in place on a terminal, at most as many as it has rows; for what a command shows until Ctrl-C. Elsewhere each frame is
/// written below the last, after an empty line.
package struct LiveLines {
  private let descriptor: CInt
  private let terminal: Terminal
  /// Widths of the lines on screen.
  private var shown: [Int] = []
  private var isFirst = true

  package init(descriptor: CInt = 1, terminal: Terminal? = nil) {
    self.descriptor = descriptor
    self.terminal = terminal ?? Terminal.of(descriptor)
  }

  /// Columns and rows now.
  package var size: (columns: Int, rows: Int) { Terminal.size(of: descriptor) ?? (terminal.columns, terminal.rows) }

  /// False when nobody reads any more.
  package mutating func show(_ lines: [StyledText]) -> Bool {
    let size = size
    defer { isFirst = false }
    guard terminal.isInteractive else {
      return StandardStreams.write((isFirst ? "" : "\n") + lines.map { $0.plain + "\n" }.joined(), to: descriptor)
    }
    let lines = lines.prefix(max(1, size.rows - 1)).map { $0.truncated(to: max(1, size.columns - 1)) }
    defer { shown = lines.map(\.width) }
    return StandardStreams.write(
      PanelFrame.text(over: shown, columns: size.columns, above: "", lines, colour: terminal.hasColour), to: descriptor)
  }
}
