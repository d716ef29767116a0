public import CausewayBase
public import CausewayCrypto

public enum HandshakeRole: Sendable { case initiator, responder }

/// What a handshake gives. Each thread makes its own `TransportKeys` from it.
public struct SessionKeys: Sendable {
  public let sending: SecretKey
  public let receiving: SecretKey
  /// The peer puts it into what it sends us; the low six bits are zero.
  public let localIndex: UInt32
  public let remoteIndex: UInt32
  public let role: HandshakeRole
  public let birth: Instant

  public init(
    sending: SecretKey, receiving: SecretKey, localIndex: UInt32, remoteIndex: UInt32, role: HandshakeRole, birth: Instant
  ) {
    self.sending = sending
    self.receiving = receiving
    self.localIndex = localIndex
    self.remoteIndex = remoteIndex
    self.role = role
    self.birth = birth
  }
}
