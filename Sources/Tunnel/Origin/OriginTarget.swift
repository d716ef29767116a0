internal import CausewayBase
public import CausewayTunnelCore

/// The local service that a tunnel leads to.
public struct OriginTarget: Equatable, Sendable {
  public enum Address: Equatable, Sendable {
    /// A bare port: 127.0.0.1 and ::1 are both tried.
    case loopbackPort(UInt16)
    case hostPort(String, UInt16)
    case unixSocket(String)
  }

  public var address: Address
  /// `https://`: TLS toward the service.
  public var usesTLS = false
  /// The service's certificate is checked. Off for loopback, where a self-signed one is the rule, and with `--origin-insecure`.
  public var verifiesCertificate = false
  /// SNI and the name to verify; nil for unix sockets and bare ports.
  public var serverName: String?
  public var hostHeader = HostHeader.keep

  public init(address: Address) { self.address = address }

  /// "127.0.0.1:3000", "unix:/run/app.sock": for messages.
  public var description: String {
    switch address {
    case .loopbackPort(let port): "localhost:\(port)"
    case .hostPort(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unixSocket(let path): "unix:\(path)"
    }
  }
}

/// One tunnel of a client: what its streams lead to. Class, because streams hold it and the panel counts on it.
public final class LocalTunnel {
  public let name: String
  public let isHTTP: Bool
  public let target: OriginTarget
  public let pool: OriginPool
  /// Loopback's family that answered last: tried first next time.
  var prefersIPv6 = false
  /// Last time a connection succeeded, and whether the service is known to be down.
  var lastSuccess = Instant.zero
  public internal(set) var isDown = false

  public init(name: String, isHTTP: Bool, target: OriginTarget) {
    self.name = name
    self.isHTTP = isHTTP
    self.target = target
    pool = OriginPool()
  }
}
