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

  /// Asks the scheduler for short slices (EEVDF, Linux 6.12), so that a loop that carries bulk on a busy machine comes back to small
  /// messages sooner; its share of the processor stays the same. Older kernels don't know the wish, and nothing depends on it.
  public static func requestShortSlices() { _ = shim_request_slice(100_000) }

  /// What `ps` and `top` show of the main thread, which calls this; 15 bytes count.
  public static func nameProcess(_ name: String) { unsafe shim_name_thread(name) }

  /// Lets another thread that is ready to run have this processor (sched_yield(2)).
  public static func yield() { _ = sched_yield() }

  /// No core dump and no ptrace by the same user: keys in memory stay there.
  public static func disableCoreDumps() throws(SystemError) {
    let result = shim_disable_core_dumps()
    if result < 0 { throw SystemError(-result, "disabling core dumps") }
  }
}
