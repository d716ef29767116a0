internal import CLinux
public import CausewayBase
internal import Glibc

/// A listening TCP socket for packet threads: no loop, no callback; a `PacketPoll` says when somebody waits. Belongs to one thread.
@safe public final class TCPPathListener {
  /// Connections that the kernel keeps for us; it caps this at net.core.somaxconn.
  public static let backlog: CInt = 512

  /// Readable when a connection waits.
  public let descriptor: CInt
  public let localAddress: DatagramAddress
  /// Connections closed at once because the process had no descriptor for them.
  public private(set) var shedCount: UInt64 = 0
  /// Kept open on /dev/null, so that a process without descriptors can still take a connection in order to close it: else the
  /// listener would stay readable and the thread spin. -1 when it could not be had back.
  private var spare: CInt

  /// An IPv6 one takes no IPv4.
  public init(bindingTo address: DatagramAddress) throws(SystemError) {
    let isIPv4 = address.family == .ipv4
    let subject = "TCP \(SocketAddress(address))"
    let socket = FileDescriptor(
      adopting: CInt(try SystemError.check(Int(shim_socket(isIPv4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue), 0)), "TCP socket")))
    let fd = socket.rawValue
    try SystemError.check(Int(shim_set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)), "SO_REUSEADDR for \(subject)")
    if !isIPv4 { try SystemError.check(Int(shim_set_int_option(fd, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1)), "IPV6_V6ONLY for \(subject)") }
    try SystemError.check(Int(SocketAddress(address).bind(fd)), "bind \(subject)")
    try SystemError.check(shim_result(Int(listen(fd, Self.backlog))), "listen \(subject)")
    localAddress = SocketAddress.local(of: fd)?.datagram ?? address
    spare = Self.openSpare()
    descriptor = socket.release()
  }

  deinit {
    _ = Glibc.close(descriptor)
    if spare >= 0 { _ = Glibc.close(spare) }
  }

  /// The next connection that waits and who makes it, or nil.
  public func accept() -> (socket: TCPPathSocket, peer: DatagramAddress)? {
    while true {
      var peer = shim_address()
      // SAFETY: a local that outlives the call.
      let result = unsafe shim_accept(descriptor, &peer)
      if result >= 0 {
        guard let address = SocketAddress(peer).unmapped.datagram else {
          _ = Glibc.close(result)
          continue
        }
        return (TCPPathSocket(adopting: result), address)
      }
      switch -result {
      case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP, EPERM:
        continue  // that one failed before we took it (accept(2))
      case EMFILE, ENFILE:
        guard shed() else { return nil }
      default: return nil
      }
    }
  }

  /// Closes the connection that waits first, through the spare descriptor.
  private func shed() -> Bool {
    if spare < 0 { spare = Self.openSpare() }
    guard spare >= 0 else { return false }
    _ = Glibc.close(spare)
    var peer = shim_address()
    let result = unsafe shim_accept(descriptor, &peer)
    if result >= 0 {
      _ = Glibc.close(result)
      shedCount += 1
    }
    spare = Self.openSpare()
    return result >= 0
  }

  private static func openSpare() -> CInt { unsafe shim_open("/dev/null", O_RDONLY, 0) }
}
