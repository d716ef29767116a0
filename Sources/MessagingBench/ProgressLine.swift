internal import CausewaySupport
internal import Synchronization

/// One line on a terminal's stderr that says how far a scenario is, redrawn by a task of its own. Elsewhere nothing.
final class ProgressLine: Sendable {
  private static let interval = Duration.milliseconds(100)
  private let task: Task<Void, Never>?

  init(_ name: String, _ progress: RoundProgress, of total: Int) {
    let terminal = Terminal.of(2)
    guard terminal.isInteractive else {
      task = nil
      return
    }
    task = Task {
      var line = LiveLines(descriptor: 2, terminal: terminal)
      while !Task.isCancelled {
        _ = line.show([Self.line(name, progress.value, of: total)])
        try? await Task.sleep(for: Self.interval)
      }
      _ = line.show([])
    }
  }

  func end() async {
    task?.cancel()
    await task?.value
  }

  static let width = 30

  static func line(_ name: String, _ done: Int, of total: Int) -> StyledText {
    let full = min(width, width * done / max(1, total))
    var text = StyledText(name)
    text.pad(to: 18)
    text.append(String(repeating: "█", count: full), .cyan)
    text.append(String(repeating: "░", count: width - full), .dim)
    text.append(" \(100 * done / max(1, total)) %")
    return text
  }
}
