internal import CLinux
internal import CausewayBase
internal import Glibc

/// Takes connections from a listening socket (accept(2)) and knows what its errors mean.
///
/// It keeps a descriptor in reserve, so that a process without any left can still take a connection in order to close it: that peer
/// sees a closed connection at once instead of hanging, and the listener does not stay readable for ever.
struct Acceptor: ~Copyable {
  enum Outcome: ~Copyable {
    case connection(FileDescriptor, SocketAddress)
    /// Nobody waits.
    case empty
    /// The process has no descriptor left: `shed` what waits.
    case noDescriptors
    /// No memory, or what should not happen: try later, never at once.
    case failed
  }

  /// On /dev/null; -1 when it could not be had back.
  private var spare = Self.openSpare()

  deinit { if spare >= 0 { _ = Glibc.close(spare) } }

  /// The next connection and who makes it (unmapped). Those that failed before they were taken are passed over.
  func next(from listener: CInt) -> Outcome {
    while true {
      var peer = shim_address()
      // SAFETY: a local that outlives the call.
      let result = unsafe shim_accept(listener, &peer)
      if result >= 0 { return .connection(FileDescriptor(adopting: result), SocketAddress(peer).unmapped) }
      switch -result {
      case EAGAIN: return .empty
      case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP, EPERM: continue
      case EMFILE, ENFILE: return .noDescriptors
      default: return .failed
      }
    }
  }

  /// Closes the connection that waits first, through the spare descriptor.
  /// - Returns: false when there was none, or no spare descriptor to do it with.
  mutating func shed(from listener: CInt) -> Bool {
    restoreSpare()
    guard spare >= 0 else { return false }
    _ = Glibc.close(spare)
    var peer = shim_address()
    // SAFETY: as above.
    let result = unsafe shim_accept(listener, &peer)
    if result >= 0 { _ = Glibc.close(result) }
    spare = Self.openSpare()
    return result >= 0
  }

  /// After descriptors became free again.
  mutating func restoreSpare() {
    if spare < 0 { spare = Self.openSpare() }
  }

  private static func openSpare() -> CInt { unsafe shim_open("/dev/null", O_RDONLY, 0) }
}
