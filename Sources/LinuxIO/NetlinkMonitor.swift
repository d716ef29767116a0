internal import CLinux
internal import CausewayBase
internal import Glibc

/// A change of this machine's network, as the kernel tells it.
public struct NetworkChange: Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// A link's state: switched on, and with a carrier.
    case link(isUp: Bool, isRunning: Bool)
    case linkRemoved
    case addressAdded(AddressPrefix)
    case addressRemoved(AddressPrefix)
    case routeAdded(AddressPrefix)
    case routeRemoved(AddressPrefix)
    /// Messages were lost: look at everything again.
    case missed
  }

  public var kind: Kind
  /// The interface; 0 for `missed`, and for routes without one.
  public var interface: UInt32
}

/// Hears of links, addresses and routes (rtnetlink(7)), each with its interface, without waiting; for a `PacketPoll` or an `EventLoop`.
/// The simpler `NetworkWatcher` only tells that something changed.
public final class NetlinkMonitor {
  /// Readable when something changed.
  public let descriptor: CInt
  private var bytes = [UInt8](repeating: 0, count: 32768)

  public init() throws(SystemError) {
    descriptor = CInt(try SystemError.check(Int(shim_network_monitor()), "netlink monitor"))
  }

  deinit { _ = Glibc.close(descriptor) }

  /// Tells all that is there; the routes that the kernel keeps for itself (local, multicast) are left out.
  public func read(_ body: (NetworkChange) -> Void) {
    // A bound, so that a storm of changes cannot hold up the caller: the rest comes with the next readiness.
    for _ in 0..<64 {
      let count = unsafe Glibc.recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == ENOBUFS {
        body(NetworkChange(kind: .missed, interface: 0))
        continue
      }
      guard count > 0 else { return }
      let reader = NetlinkReader(Array(bytes[..<count]))
      try? reader.messages { (type, _, range) in
        if let change = NetworkChange(reader, type, range) { body(change) }
        return true
      }
    }
  }
}

extension NetworkChange {
  fileprivate init?(_ reader: NetlinkReader, _ type: UInt16, _ body: Range<Int>) {
    switch NetlinkMessage.Kind(rawValue: type) {
    case .newLink:
      guard let link = NetworkLink(reader, body) else { return nil }
      self.init(kind: .link(isUp: link.isUp, isRunning: link.isRunning), interface: link.index)
    case .removeLink:
      guard let link = NetworkLink(reader, body) else { return nil }
      self.init(kind: .linkRemoved, interface: link.index)
    case .newAddress:
      guard let address = InterfaceAddress(reader, body) else { return nil }
      self.init(kind: .addressAdded(address.prefix), interface: address.interface)
    case .removeAddress:
      guard let address = InterfaceAddress(reader, body) else { return nil }
      self.init(kind: .addressRemoved(address.prefix), interface: address.interface)
    case .newRoute:
      guard let route = NetworkRoute(reader, body) else { return nil }
      self.init(kind: .routeAdded(route.destination), interface: route.interface)
    case .removeRoute:
      guard let route = NetworkRoute(reader, body) else { return nil }
      self.init(kind: .routeRemoved(route.destination), interface: route.interface)
    default: return nil
    }
  }
}
