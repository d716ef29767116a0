package import CausewayLinuxIO
package import CausewayRelayCore
package import CausewayWire

/// What `causeway relay` was told, checked: flags over file over defaults. Made by the command, consumed by `Relay`.
package struct RelayConfiguration: Sendable {
  package struct Listen: Equatable, Sendable {
    package var isTLS: Bool
    package var address: SocketAddress

    package init(isTLS: Bool, address: SocketAddress) {
      self.isTLS = isTLS
      self.address = address
    }
  }

  /// At least one; default http 127.0.0.1:8080.
  package var listen: [Listen] = [Listen(isTLS: false, address: .loopback4(port: 8080))]
  package var publicURL: ServerURL?
  /// Lower case, without a final dot.
  package var domain = "localhost"
  package var data: DataDirectory
  /// Names, ports, cool-down: `tcp_ports` and `limits:` of the file.
  package var policy = ReservationPolicy()
  /// PEM files; both or none, and both when a listener is https.
  package var tlsCertificate: String?
  package var tlsKey: String?
  package var trustedProxies: [IPNetwork] = []
  package var metrics: SocketAddress?
  /// The ready line as JSON.
  package var json = false

  package init(data: DataDirectory) { self.data = data }
}
