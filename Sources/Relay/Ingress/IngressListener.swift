internal import CausewayBase
public import CausewayLinuxIO
internal import CausewayRelayCore
public import CausewayWire

/// Accepts visitors at one address and hands them to the loop's `Ingress`: HTTP, HTTPS, or one public TCP port.
public final class IngressListener {
  public enum Kind {
    case http
    case https(TLSContext)
    /// Asked for each connection: where the port leads now; nil closes it.
    case tcp(route: () -> Route?)
  }

  /// Where it listens; the real port where 0 was asked for.
  public var address: SocketAddress { listener.address }
  private let listener: Listener

  /// - Parameters:
  ///   - trustedProxies: networks whose X-Forwarded fields are believed.
  ///   - sharesPort: several loops listen on the same port.
  public init(
    _ address: SocketAddress, _ kind: Kind, trustedProxies: [IPNetwork] = [], sharesPort: Bool = false, _ ingress: Ingress
  ) throws(SystemError) {
    var options = Listener.Options()
    options.sharesPort = sharesPort
    listener = try Listener(address, options: options, on: ingress.loop) { [unowned ingress] descriptor, peer in
      Self.accept(descriptor, peer, kind, trustedProxies, ingress)
    }
  }

  /// Stops accepting; connections go on.
  public func close() { listener.close() }

  private static func accept(
    _ descriptor: consuming FileDescriptor, _ peer: SocketAddress, _ kind: Kind, _ trustedProxies: [IPNetwork], _ ingress: Ingress
  ) {
    // The registration fails only for want of kernel memory; the descriptor is then closed.
    guard let stream = try? TCPStream(adopting: descriptor, on: ingress.loop) else { return }
    var visitor = Visitor(peer, trustedProxies)
    switch kind {
    case .http: ingress.accept(stream, visitor)
    case .https(let context):
      visitor.isSecure = true
      do throws(TLSError) {
        try stream.startTLS(context, alpn: ["http/1.1"])
      } catch {
        return stream.close()
      }
      ingress.accept(stream, visitor)
    case .tcp(let route):
      guard let route = route(), route.isLive else { return stream.abort() }
      ingress.acceptTCP(stream, visitor, port: peer.port, route: route)
    }
  }
}

extension Visitor {
  init(_ peer: SocketAddress, _ trustedProxies: [IPNetwork] = []) {
    let ip: IPAddress? =
      switch peer.family {
      case .unix: nil
      case .ipv4: IPAddress(ipv4: UInt32(truncatingIfNeeded: peer.low))
      case .ipv6: IPAddress(ipv6High: peer.high, low: peer.low).unmapped
      }
    let isTrusted = ip.map { ip in trustedProxies.contains { $0.contains(ip) } } ?? false
    self.init(address: peer.family == .unix ? "127.0.0.1" : peer.host, ip: ip, isTrustedProxy: isTrusted)
  }
}

extension Ingress {
  /// A connection that a listener of somebody else's accepted at a public TCP port.
  public func acceptTCP(_ descriptor: consuming FileDescriptor, _ peer: SocketAddress, _ route: Route) {
    guard let stream = try? TCPStream(adopting: descriptor, on: loop) else { return }
    guard route.isLive else { return stream.abort() }
    acceptTCP(stream, Visitor(peer), port: peer.port, route: route)
  }
}
