package import CausewayWire

/// One way to a peer: where to, from where, and what its owner knows of it.
package struct PathConfiguration: Hashable, Sendable {
  package enum Transport: String, Sendable { case udp, tcp }

  /// Where a path's packets leave this machine.
  package enum Binding: Hashable, Sendable {
    /// As the routing table says.
    case any
    /// SO_BINDTODEVICE.
    case device(String)
    case source(IPAddress)
  }

  /// What makes it the same path after a reload.
  package struct Identity: Hashable, Sendable {
    package let host: String
    package let port: UInt16
    package let binding: Binding
    package let transport: Transport
  }

  package static let weights = 1...1000
  /// In bit/s: 1 kbit/s to 1 Tbit/s.
  package static let rates: ClosedRange<UInt64> = 1000...1_000_000_000_000
  package static let maximumNameByteCount = 32

  /// A name, or a literal address without brackets.
  package var host: String
  package var port: UInt16
  package var binding: Binding
  package var transport: Transport
  /// Unique within its peer; status and metrics show it.
  package var name: String
  /// Replaces the learned weight in `cfs`, on both ends.
  package var weight: Int?
  /// bit/s away from here; nil: learned.
  package var rateUp: UInt64?
  /// bit/s towards here, told to the peer; nil: learned.
  package var rateDown: UInt64?
  package var isBackup: Bool

  package init(
    host: String, port: UInt16, binding: Binding = .any, transport: Transport = .udp, name: String = "", weight: Int? = nil,
    rateUp: UInt64? = nil, rateDown: UInt64? = nil, isBackup: Bool = false
  ) {
    self.host = host
    self.port = port
    self.binding = binding
    self.transport = transport
    self.name = name
    self.weight = weight
    self.rateUp = rateUp
    self.rateDown = rateDown
    self.isBackup = isBackup
  }

  package var identity: Identity { Identity(host: host, port: port, binding: binding, transport: transport) }
  package var remote: HostPort { HostPort(host: host, port: port) }
  package var address: IPAddress? { IPAddress(host) }
}
