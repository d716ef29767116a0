internal import CLinux
internal import Glibc

/// The process's own argument vector, for secrets that arrived in it all the same.
package enum ProgramArguments {
  /// Overwrites argv[`index`] from byte `offset` on with `*`, in place: `ps` and /proc/PID/cmdline show the stars from now on. Take the
  /// arguments as Swift strings first. Returns false when there is no such element.
  @discardableResult
  package static func overwrite(at index: Int, from offset: Int = 0) -> Bool {
    guard index >= 0, index < Int(shim_argument_count()), let bytes = unsafe shim_argument(CInt(index)) else { return false }
    // SAFETY: argv's elements are NUL-terminated, writable and live as long as the process.
    let count = unsafe strlen(bytes)
    guard offset >= 0, offset <= count else { return false }
    unsafe memset(bytes + offset, 0x2A, count - offset)
    return true
  }

  /// Overwrites a value that came from an argument; other origins are left alone.
  @discardableResult
  package static func overwrite(_ origin: Origin) -> Bool {
    guard case .argument(_, let index, let offset) = origin else { return false }
    return overwrite(at: index, from: offset)
  }

  /// A crash must not write secrets to a disk: sets the core size limit to 0.
  package static func disableCoreDumps() {
    var limit = rlimit(rlim_cur: 0, rlim_max: 0)
    unsafe _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
  }
}
