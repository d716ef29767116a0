internal import CLinux
package import CausewayLinuxIO

/// Capabilities (capabilities(7)) that the packet child keeps.
package struct WorkerPrivileges: OptionSet, Sendable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// CAP_NET_BIND_SERVICE: a port below 1024, also after a socket had to be made anew.
  package static let lowPorts = WorkerPrivileges(rawValue: 1 << 10)
  /// CAP_NET_ADMIN: SO_MARK, big socket buffers.
  package static let networkAdministration = WorkerPrivileges(rawValue: 1 << 12)
  /// CAP_NET_RAW: SO_BINDTODEVICE on kernels that ask for it.
  package static let rawSockets = WorkerPrivileges(rawValue: 1 << 13)

  /// The user and group of nobody.
  package static let nobody: UInt32 = 65534
}

/// Gives up everything but `kept`, for good: root becomes nobody, other capabilities go (from the bounding set too), no program that is
/// started can regain any (no_new_privs), and nobody can trace or dump the process. Without root it keeps what it has of `kept`.
///
/// Call it before the first thread: capabilities belong to threads.
package func dropPrivileges(keeping kept: WorkerPrivileges) throws(SystemError) {
  let result = shim_drop_privileges(WorkerPrivileges.nobody, kept.rawValue)
  if result < 0 { throw SystemError(-result, "giving up privileges") }
}

/// Has the kernel end this process when its parent ends; returns false when the parent is gone already.
package func followParent(_ parent: Int32) -> Bool { shim_follow_parent(parent) == 0 }
