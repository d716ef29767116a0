internal import Synchronization

/// A panel of a few lines that redraws in place on stderr, with lines of text scrolling above it; plain event lines where that can't be.
///
/// Between two calls the cursor is visible and stands below the panel, so there is nothing to restore if the process is killed. Frames are
/// drawn at most every 50 ms by the caller's timer, not by each change.
package final class LivePanel: Sendable {
  private let descriptor: CInt
  private let terminal: Terminal
  private let state = Mutex(State())

  private struct State {
    /// Widths of the lines on screen.
    var shown: [Int] = []
    var model: PanelModel?
    /// Of the window that they were drawn for.
    var size = (columns: 0, rows: 0)
    var isClosed = false
  }

  package init(descriptor: CInt = 2, terminal: Terminal? = nil) {
    self.descriptor = descriptor
    self.terminal = terminal ?? Terminal.of(descriptor)
  }

  /// Whether a panel is drawn; otherwise `show` writes one line an event.
  package var isLive: Bool { terminal.isInteractive }

  /// Redraws, or writes what is new since the last model.
  package func show(_ model: PanelModel) {
    // Writes happen under the lock: frames and lines must not interleave.
    state.withLock { state in
      if state.isClosed { return }
      defer { state.model = model }
      guard terminal.isInteractive else {
        let lines = PanelDrawing.events(from: state.model, to: model)
        if !lines.isEmpty { write(lines.map { $0.plain + "\n" }.joined()) }
        return
      }
      if state.model == model && !state.shown.isEmpty && state.size == size { return }
      draw(model, above: "", &state)
    }
  }

  /// Writes a line above the panel; control characters are escaped.
  package func note(_ line: StyledText) {
    state.withLock { state in
      let text = line.rendered(colour: terminal.hasColour) + "\n"
      if terminal.isInteractive, !state.isClosed, let model = state.model {
        draw(model, above: text, &state)
      } else {
        write(text)
      }
    }
  }

  package func note(_ line: String) { note(StyledText(line)) }

  /// Leaves the last frame on screen and draws no more; later notes are plain lines below it.
  package func close() { state.withLock { $0.isClosed = true } }

  private var size: (columns: Int, rows: Int) { Terminal.size(of: descriptor) ?? (terminal.columns, terminal.rows) }

  private func draw(_ model: PanelModel, above text: String, _ state: inout State) {
    state.size = size
    let lines = PanelDrawing.lines(model, columns: state.size.columns, rows: state.size.rows)
    write(PanelFrame.text(over: state.shown, columns: state.size.columns, above: text, lines, colour: terminal.hasColour))
    state.shown = lines.map(\.width)
  }

  // Nobody can be told that stderr is gone or full.
  private func write(_ text: String) { StandardStreams.write(text, to: descriptor) }
}

/// The escape sequences of one frame.
enum PanelFrame {
  /// - Parameter shown: Cell widths of the lines on screen; in a narrower window they may have wrapped.
  static func text(over shown: [Int], columns: Int, above: String, _ lines: [StyledText], colour: Bool) -> String {
    let rows = shown.reduce(0) { $0 + max(1, ($1 + columns - 1) / columns) }
    // The cursor hides only inside the frame.
    var text = "\u{1B}[?25l"
    if rows > 0 { text += "\u{1B}[\(rows)A" }
    text += "\r\u{1B}[J" + above
    for line in lines { text += line.rendered(colour: colour) + "\n" }
    return text + "\u{1B}[?25h"
  }
}
