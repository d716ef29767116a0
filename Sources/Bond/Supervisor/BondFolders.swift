internal import CausewayLinuxIO
package import CausewaySupport
internal import Glibc

/// Where running bonds keep what they need: root's under /run and /var/lib, another user's under the XDG folders.
package struct BondFolders: Sendable {
  /// Sockets, locks and journals; gone after a reboot.
  package let runtime: String
  /// What must survive a reboot.
  package let state: String

  package init(runtime: String, state: String) {
    self.runtime = runtime
    self.state = state
  }

  /// - Throws: Without root and XDG_RUNTIME_DIR.
  package init(_ environment: Environment = .process, user: UInt32 = geteuid()) throws(CommandFailure) {
    if user == 0 {
      self.init(runtime: "/run/causeway/bond", state: "/var/lib/causeway/bond")
      return
    }
    guard let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") else {
      throw CommandFailure(.failure, "XDG_RUNTIME_DIR isn't set: without root it says where the bond's socket belongs")
    }
    self.init(runtime: runtime + "/causeway/bond", state: XDGFolders(environment).state + "/causeway/bond")
  }

  package func socket(_ name: String) -> String { "\(runtime)/\(name).sock" }
  package func undo(_ name: String) -> String { "\(runtime)/\(name).undo" }
  package func lock(_ name: String) -> String { "\(runtime)/\(name).lock" }
  package func timestamp(_ name: String) -> String { "\(state)/\(name).state" }

  /// Makes both, for their owner only.
  package func prepare() throws(CommandFailure) {
    do throws(SystemError) {
      try Files.makeFolder(runtime)
      try Files.makeFolder(state)
    } catch { throw CommandFailure(.failure, "cannot make the bond's folders: \(error)") }
  }

  /// Names of bonds that have a socket, sorted; some may have been killed.
  package var names: [String] {
    guard let folder = unsafe opendir(runtime) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        // SAFETY: readdir terminates d_name, which lives until the next call.
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name.hasSuffix(".sock"), InterfaceName.isValid(String(name.dropLast(5))) { names.append(String(name.dropLast(5))) }
    }
    return names.sorted()
  }
}
