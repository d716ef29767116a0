internal import CausewayBase
internal import CLinux
internal import CausewaySupport
internal import Glibc

/// Programs that the parent starts: the packet child, hooks, and tools for name servers. They get this program's standard error as both
/// outputs, so that standard output stays the answer.
enum ChildProgram {
  /// A started program.
  struct Started {
    let processID: Int32

    /// The exit code, 128 + signal, or nil while it runs.
    func poll() -> Int32? {
      let result = shim_wait(processID, 0)
      return result == -EAGAIN ? nil : max(0, result)
    }

    func wait() -> Int32 { max(0, shim_wait(processID, 1)) }
    func kill() { _ = Glibc.kill(processID, SIGKILL) }
  }

  /// - Parameter descriptors: Handed over as `first`, `first` + 1, ...
  static func start(
    _ path: String, _ arguments: [String], environment: [String], descriptors: [CInt] = [], from first: CInt = 3
  ) throws(CommandFailure) -> Started {
    var child: Int32 = 0
    let result = unsafe withStrings(arguments) { arguments in
      unsafe withStrings(environment) { environment in
        // SAFETY: the vectors are NULL-terminated and, like `descriptors`, outlive the call.
        unsafe descriptors.withUnsafeBufferPointer { descriptors in
          unsafe shim_spawn(path, arguments, environment, descriptors.baseAddress, CInt(descriptors.count), first, &child)
        }
      }
    }
    if result < 0 { throw CommandFailure(.failure, "cannot start \(path): \(unsafe String(cString: strerror(-result)))") }
    return Started(processID: child)
  }

  /// Runs to its end. No time limit, as wg-quick has none: a hook may be meant to wait for something.
  static func run(_ path: String, _ arguments: [String], _ what: String) throws(CommandFailure) {
    let code = try start(path, arguments, environment: inheritedEnvironment).wait()
    if code != 0 { throw CommandFailure(.failure, "\(what) failed: " + (code > 128 ? "signal \(code - 128)" : "exit code \(code)")) }
  }

  /// A hook, with every `%i` the interface's name.
  static func runHook(_ command: String, interface: String) throws(CommandFailure) {
    let command = command.replacing("%i", with: interface)
    try run("/bin/bash", ["bash", "-c", command], "the command '\(command.prefix(200).printable)'")
  }

  static var inheritedEnvironment: [String] {
    var result: [String] = []
    var index = 0
    // SAFETY: environ is NULL-terminated and nothing changes it after the start.
    while let entry = unsafe environ[index] {
      result.append(unsafe String(cString: entry))
      index += 1
    }
    return result
  }

  private static func withStrings<R>(_ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R) -> R {
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe texts.map { unsafe strdup($0) } + [nil]
    defer { for unsafe pointer in unsafe pointers { unsafe free(pointer) } }
    // SAFETY: freed after the call only.
    return unsafe pointers.withUnsafeMutableBufferPointer { unsafe body(UnsafePointer($0.baseAddress!)) }
  }
}
