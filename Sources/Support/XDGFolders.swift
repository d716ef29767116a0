internal import Glibc

/// Where a user's files belong (XDG Base Directory Specification 0.8). A relative value in a variable is ignored, as that says.
package struct XDGFolders: Sendable {
  /// `$XDG_CONFIG_HOME` or `~/.config`, without the program's folder.
  package let config: String
  /// `$XDG_STATE_HOME` or `~/.local/state`.
  package let state: String

  package init(_ environment: Environment = .process) {
    let home = environment["HOME"] ?? Self.homeOfUser() ?? "/"
    func folder(_ variable: String, _ standard: String) -> String {
      if let path = environment[variable], path.hasPrefix("/") { return path }
      return (home == "/" ? "" : home) + "/" + standard
    }
    config = folder("XDG_CONFIG_HOME", ".config")
    state = folder("XDG_STATE_HOME", ".local/state")
  }

  package var clientConfiguration: String { config + "/causeway/config.yaml" }
  package var relayData: String { state + "/causeway/relay" }

  private static func homeOfUser() -> String? {
    // SAFETY: called at start by one thread; the entry is copied before the next call.
    guard let entry = unsafe getpwuid(getuid()), let folder = unsafe entry.pointee.pw_dir else { return nil }
    return unsafe String(cString: folder)
  }
}
