internal import CLinux
public import CausewayBase
internal import Glibc

extension SocketAddress {
  public init(_ address: DatagramAddress) { self.init(shim_address(address)) }

  /// nil for a unix address.
  public var datagram: DatagramAddress? {
    switch family {
    case .ipv4: DatagramAddress(family: .ipv4, high: high, low: low, port: port)
    case .ipv6: DatagramAddress(family: .ipv6, high: high, low: low, port: port, scope: scope)
    case .unix: nil
    }
  }
}

extension shim_address {
  @inline(__always) init(_ address: DatagramAddress) {
    self.init(
      family: UInt16(address.family == .ipv4 ? AF_INET : AF_INET6), port: address.port, scope: address.scope, high: address.high,
      low: address.low)
  }
}

extension DatagramAddress {
  @inline(__always) init(_ kernel: shim_address) {
    self.init(
      family: CInt(kernel.family) == AF_INET6 ? .ipv6 : .ipv4, high: kernel.high, low: kernel.low, port: kernel.port, scope: kernel.scope)
  }
}
