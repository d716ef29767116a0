internal import CLinux
internal import Glibc

/// What a process sets for itself at its start.
public enum ProcessLimits {
  /// Raises the soft limit of open descriptors to the hard one. Returns the limit in force.
  @discardableResult
  public static func raiseDescriptorLimit() throws(SystemError) -> Int {
    let limit = shim_raise_descriptor_limit()
    if limit < 0 { throw SystemError(CInt(-limit), "setrlimit RLIMIT_NOFILE") }
    return Int(limit)
  }

  /// No core dump and no ptrace by the same user: keys in memory stay there.
  public static func disableCoreDumps() throws(SystemError) {
    let result = shim_disable_core_dumps()
    if result < 0 { throw SystemError(-result, "disabling core dumps") }
  }
}
