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
  private var acceptor = Acceptor()

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
    descriptor = socket.release()
  }

  deinit { _ = Glibc.close(descriptor) }

  /// The next connection that waits and who makes it, or nil.
  public func accept() -> (socket: TCPPathSocket, peer: DatagramAddress)? {
    while true {
      switch acceptor.next(from: descriptor) {
      case .connection(let connection, let peer):
        guard let address = peer.datagram else { continue }
        return (TCPPathSocket(adopting: connection.release()), address)
      case .noDescriptors:
        guard acceptor.shed(from: descriptor) else { return nil }
        shedCount += 1
      case .empty: return nil
      case .failed: return nil
      }
    }
  }
}
