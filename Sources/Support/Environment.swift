internal import Glibc

/// Looks up environment variables; tests give a fixed set.
package struct Environment: Sendable {
  private let lookup: @Sendable (String) -> String?

  /// The process's own. Reading is safe as long as only the start of the program changes it.
  package static let process = Environment { name in
    // SAFETY: getenv's bytes stay valid until the variable changes; they are copied at once.
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  package static func fixed(_ variables: [String: String]) -> Environment { Environment { variables[$0] } }

  private init(_ lookup: @escaping @Sendable (String) -> String?) { self.lookup = lookup }

  /// Empty counts as unset: that is how shells clear a variable for one command.
  package subscript(_ name: String) -> String? { lookup(name).flatMap { $0.isEmpty ? nil : $0 } }

  /// Reads a secret from the process's environment, overwrites its bytes (also in /proc/PID/environ) and unsets it, so that children and
  /// later readers don't see it. Call at the start of the program, while it has one thread.
  package static func takeSecret(_ name: String) -> String? {
    // SAFETY: getenv's bytes belong to the process, are NUL-terminated and writable; nothing else runs yet.
    guard let bytes = unsafe getenv(name) else { return nil }
    let value = unsafe String(cString: bytes)
    unsafe explicit_bzero(bytes, strlen(bytes))
    unsafe unsetenv(name)
    return value.isEmpty ? nil : value
  }
}
