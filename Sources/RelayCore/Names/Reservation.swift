/// A name and whose it is: one row of the store.
package struct Reservation: Equatable, Sendable {
  package enum Kind: Int64, Sendable {
    case random = 0
    case requested = 1
  }

  package var name: TunnelName
  /// Nil when its account was removed: the name only cools down.
  package var account: AccountID?
  package var kind: Kind
  package var lastUsed: WallTime
  /// When its account let go of it; nil while it holds it.
  package var released: WallTime?
  /// The port that sticks to the name, also while the name is used for HTTP.
  package var tcpPort: UInt16?

  package init(
    name: TunnelName, account: AccountID?, kind: Kind, lastUsed: WallTime, released: WallTime? = nil, tcpPort: UInt16? = nil
  ) {
    self.name = name
    self.account = account
    self.kind = kind
    self.lastUsed = lastUsed
    self.released = released
    self.tcpPort = tcpPort
  }
}

/// What a tunnel asks for when it is created.
package struct NameRequest: Equatable, Sendable {
  package enum Name: Equatable, Sendable {
    /// A random one.
    case any
    /// The random name it had before, if it is still to be had; else a new random one.
    case previous(TunnelName)
    /// This one or none.
    case exactly(TunnelName)
  }

  package enum Port: Equatable, Sendable {
    /// Not a TCP tunnel. A port that sticks to the name stays with it.
    case none
    /// The one that sticks to the name, else a free one.
    case any
    case exactly(UInt16)
  }

  package var account: AccountID
  package var name: Name
  package var port: Port
  /// Ports that the relay could not bind: not offered by this call, not even the one that sticks.
  package var avoidedPorts: Set<UInt16>

  package init(account: AccountID, name: Name = .any, port: Port = .none, avoidedPorts: Set<UInt16> = []) {
    self.account = account
    self.name = name
    self.port = port
    self.avoidedPorts = avoidedPorts
  }
}
