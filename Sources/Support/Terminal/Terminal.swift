internal import CLinux
internal import Glibc

/// What a descriptor can show.
package struct Terminal: Equatable, Sendable {
  /// Someone watches: lines may be redrawn. False for files and pipes, with TERM=dumb, and with NO_COLOR, whose users want plain lines.
  package var isInteractive: Bool
  package var hasColour: Bool
  package var columns: Int
  package var rows: Int

  package init(isInteractive: Bool, hasColour: Bool, columns: Int = 80, rows: Int = 24) {
    self.isInteractive = isInteractive
    self.hasColour = hasColour
    self.columns = columns
    self.rows = rows
  }

  /// Looks at a descriptor (2: stderr).
  package static func of(_ descriptor: CInt, _ environment: Environment = .process) -> Terminal {
    let (columns, rows) = size(of: descriptor) ?? (80, 24)
    return decide(isTerminal: isatty(descriptor) == 1, columns: columns, rows: rows, environment)
  }

  static func decide(isTerminal: Bool, columns: Int, rows: Int, _ environment: Environment) -> Terminal {
    let isPlain = !isTerminal || environment["NO_COLOR"] != nil || [nil, "dumb"].contains(environment["TERM"])
    return Terminal(isInteractive: !isPlain, hasColour: !isPlain, columns: columns, rows: rows)
  }

  /// Columns and rows, or nil when the descriptor has none.
  package static func size(of descriptor: CInt) -> (columns: Int, rows: Int)? {
    var columns: UInt16 = 0
    var rows: UInt16 = 0
    // SAFETY: both integers live for the call.
    guard unsafe shim_window_size(descriptor, &columns, &rows) == 0, columns > 0, rows > 0 else { return nil }
    return (Int(columns), Int(rows))
  }
}
