internal import CLinux
internal import CausewayBase
internal import Glibc

extension TCPStream {
  /// Our own address; nil when closed.
  public var localAddress: SocketAddress? { isOpen ? SocketAddress.local(of: fileDescriptor) : nil }
  /// The peer's; nil when closed or no longer connected. Costs a system call: a listener's callback already has it.
  public var peerAddress: SocketAddress? { isOpen ? SocketAddress.peer(of: fileDescriptor) : nil }

  /// The kernel probes an idle peer: first after `idle`, then every `interval`, and fails the connection after `count` unanswered
  /// ones. Whole seconds, at least 1.
  public func setKeepAlive(idle: Duration, interval: Duration = .seconds(15), count: Int = 4) {
    guard isOpen else { return }
    let tcp = CInt(IPPROTO_TCP)
    func seconds(_ duration: Duration) -> CInt { CInt(clamping: max(1, min(32767, duration.components.seconds))) }
    _ = shim_set_int_option(fileDescriptor, tcp, TCP_KEEPIDLE, seconds(idle))
    _ = shim_set_int_option(fileDescriptor, tcp, TCP_KEEPINTVL, seconds(interval))
    _ = shim_set_int_option(fileDescriptor, tcp, TCP_KEEPCNT, CInt(clamping: max(1, min(127, count))))
    _ = shim_set_int_option(fileDescriptor, SOL_SOCKET, SO_KEEPALIVE, 1)
  }

  public func clearKeepAlive() {
    guard isOpen else { return }
    _ = shim_set_int_option(fileDescriptor, SOL_SOCKET, SO_KEEPALIVE, 0)
  }
}
