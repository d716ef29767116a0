internal import CLinux

/// Who connected to a unix socket, as the kernel noted it then (SO_PEERCRED).
public struct PeerCredentials: Equatable, Sendable {
  public let processID: Int32
  public let userID: UInt32
  public let groupID: UInt32

  public init(of descriptor: CInt) throws(SystemError) {
    var (pid, uid, gid) = (Int32(0), UInt32(0), UInt32(0))
    // SAFETY: locals that outlive the call.
    try SystemError.check(unsafe Int(shim_peer_credentials(descriptor, &pid, &uid, &gid)), "SO_PEERCRED")
    (processID, userID, groupID) = (pid, uid, gid)
  }

  /// The user that this process runs as, or root.
  public var isSameUserOrRoot: Bool { userID == geteuid() || userID == 0 }
}
