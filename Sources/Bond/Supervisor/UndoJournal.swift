internal import CausewayBase
internal import CausewayLinuxIO
package import CausewaySupport
internal import Glibc

/// What must be undone, one line a step, each on disk before the step is taken: a start after SIGKILL replays it backwards. It lies in a
/// folder that only its owner can write.
package struct UndoJournal: Sendable {
  package let path: String
  /// Oldest first.
  package private(set) var entries: [UndoEntry] = []

  /// What a killed bond left behind; empty when there is nothing. A last line that was cut is a step that was not taken.
  package init(reading path: String) throws(CommandFailure) {
    self.path = path
    let bytes: [UInt8]?
    do throws(FileError) { bytes = try PrivateFile.read(path, isSecret: true) } catch { throw CommandFailure(error) }
    for line in (bytes ?? []).split(separator: 0x0A, omittingEmptySubsequences: true) {
      let text = Array(line)
      guard let json = try? JSONValue(parsing: text.span), let entry = try? UndoEntry(json: json) else { continue }
      entries.append(entry)
    }
  }

  /// Writes one more line; the step may be taken when this returns.
  package mutating func append(_ entry: UndoEntry) throws(CommandFailure) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if descriptor < 0 { throw failure(errno) }
    defer { close(descriptor) }
    let line = Array((entry.jsonText + "\n").utf8)
    // SAFETY: the array outlives the call. One write: a line is whole or not there.
    let count = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    if count != line.count { throw failure(count < 0 ? errno : ENOSPC) }
    entries.append(entry)
  }

  /// Takes back every step, the last first, then removes the file. A step that can't be taken back is told to `report` and doesn't stop the
  /// others.
  package mutating func replay(_ undo: (UndoEntry) throws(CommandFailure) -> Void, report: (String) -> Void) {
    while let entry = entries.popLast() {
      do throws(CommandFailure) { try undo(entry) } catch { report(error.message) }
    }
    if unsafe unlink(path) != 0 && errno != ENOENT { report(failure(errno).message) }
  }

  private func failure(_ code: CInt) -> CommandFailure {
    CommandFailure(.failure, "cannot write \(path): \(SystemError(code, "write").message)")
  }
}
