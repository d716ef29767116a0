internal import CausewayLinuxIO
package import CausewaySupport
internal import Glibc

/// What `causeway bond down` does from outside.
extension BondSupervisor {
  /// How long a bond that was asked to end may take: its hooks run meanwhile.
  static let endLimitSeconds = 60
  private static let pauseMicroseconds: UInt32 = 50_000

  /// Waits until the bond's process has let go of its lock.
  package static func waitForEnd(of name: String, in folders: BondFolders) throws(CommandFailure) {
    for _ in 0..<(endLimitSeconds * 1_000_000 / Int(pauseMicroseconds)) {
      if let lock = try lock(name, folders) {
        _ = consume lock
        return
      }
      usleep(pauseMicroseconds)
    }
    throw CommandFailure(.temporary, "the bond \(name) is still ending after \(endLimitSeconds) s: look at its log, a hook may hang")
  }

  /// Takes back what a killed bond left. False when there is nothing.
  package static func cleanUp(
    _ name: String, system: any BondSystem, folders: BondFolders, report: (String) -> Void
  ) throws(CommandFailure) -> Bool {
    var journal = try UndoJournal(reading: folders.undo(name))
    if journal.entries.isEmpty { return false }
    guard let lock = try lock(name, folders) else { throw CommandFailure(.temporary, "the bond \(name) is starting or ending: try again") }
    journal.replay({ (entry: UndoEntry) throws(CommandFailure) in try undo(entry, name, system, report) }, report: report)
    unsafe unlink(folders.socket(name))
    _ = consume lock
    return true
  }

  private static func lock(_ name: String, _ folders: BondFolders) throws(CommandFailure) -> FileLock? {
    do throws(FileLock.Failure) { return try FileLock(folders.lock(name)) } catch {
      guard case .held = error else { throw CommandFailure(.failure, error.description) }
      return nil
    }
  }

  /// Takes one step back; the child must be gone.
  static func undo(_ entry: UndoEntry, _ name: String, _ system: any BondSystem, _ report: (String) -> Void) throws(CommandFailure) {
    switch entry.kind {
    case .commands:
      for command in entry.commands {
        do throws(CommandFailure) { try system.runHook(command, on: name) } catch { report(error.message) }
      }
    case .link: try system.perform(.removeLink, on: name)
    case .rule: try system.perform(.removeRule(entry.defaultRouteRule), on: name)
    case .nameServers: try system.unsetNameServers(entry.tool, on: name)
    case .control: try system.setControl(entry.path, entry.value)
    }
  }
}
