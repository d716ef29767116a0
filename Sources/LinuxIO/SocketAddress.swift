internal import CLinux

/// An IPv4, IPv6 or unix-domain socket address, as the kernel has it.
public struct SocketAddress: Sendable {
  var storage: sockaddr_storage
  var length: socklen_t

  init(storage: sockaddr_storage, length: socklen_t) {
    self.storage = storage
    self.length = length
  }
}
