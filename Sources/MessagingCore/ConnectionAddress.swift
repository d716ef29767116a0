/// What one side tells the other in the handshake: how to name the connection in headers, and what it may send at first.
public struct ConnectionAddress: Hashable, Sendable, BitwiseCopyable {
  /// `ConnectionID.rawValue` in the table of the side that says it.
  public var identifier: UInt32
  /// Random bits that each header to that side repeats.
  public var check: UInt16
  /// First grant in units of `MessageCost.unit`.
  public var grant: UInt32

  public init(identifier: UInt32, check: UInt16, grant: UInt32) {
    self.identifier = identifier
    self.check = check
    self.grant = grant
  }
}

/// How a mailbox treats the loss of a peer.
public enum MailboxKind: UInt8, Sendable, BitwiseCopyable {
  /// Any number of connections; a lost one ends only the receives tied to it.
  case server
  /// One connection; its loss ends every receive.
  case client
}
