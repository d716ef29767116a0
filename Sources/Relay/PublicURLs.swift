internal import CausewayLinuxIO

/// How tunnels are called in public: scheme and port of `--public-url`, else of the first https listener, else of the first http one.
struct PublicURLs: Sendable {
  let scheme: String
  /// Nil when it is the scheme's own.
  let port: UInt16?
  let domain: String
  /// TCP tunnels listen on the first listener's address.
  let tcpBase: SocketAddress

  init(scheme: String, port: UInt16, domain: String, tcpBase: SocketAddress) {
    self.scheme = scheme
    self.port = port == (scheme == "https" ? 443 : 80) ? nil : port
    self.domain = domain
    self.tcpBase = tcpBase
  }

  func http(_ name: String) -> String { "\(scheme)://\(name).\(domain)" + (port.map { ":\($0)" } ?? "") }
  func tcp(_ port: UInt16) -> String { "tcp://\(domain):\(port)" }

  func tcpAddress(_ port: UInt16) -> SocketAddress {
    var address = tcpBase
    address.port = port
    return address
  }
}
