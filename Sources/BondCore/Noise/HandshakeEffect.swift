/// What a caller of `Handshaker` must do, in this order.
public enum HandshakeEffect: Sendable {
  /// Send to where the peer is thought to be. Attempts count from 1; from 2 on the answer is overdue, so try every path.
  case send(HandshakeMessage, to: PeerID, attempt: Int)
  /// Send to where the received message came from.
  case reply(HandshakeMessage)
  /// The peer has proved who it is, and these are the keys. A responder sends on them only after a packet has confirmed them.
  case established(PeerID, SessionKeys)
  /// Keep the greatest on disk, so that a restart with a clock set back does not lock us out.
  case timestampSent(PeerID, TAI64N)
  /// The peer is under load and wants our address proved: the next initiation does that.
  case cookieReceived(PeerID)
  /// No answer for `WireGuardLimits.rekeyAttemptTime`: drop what waits for this peer.
  case gaveUp(PeerID)
}

/// Why a message of a handshake was dropped. Nothing has changed but, under load, the sender's allowance.
public enum HandshakeDrop: UInt8, Error, CaseIterable, Sendable {
  /// No handshake message by type and length.
  case malformed
  case invalidMAC1
  /// Under load, and the address has had its share.
  case rateLimited
  /// Not encrypted for us, or a public key of small order.
  case undecryptable
  case unknownPeer
  /// The right static key, but not its owner.
  case forged
  /// Not later than the latest initiation of this peer.
  case replayed
  /// Too soon after the latest initiation of this peer.
  case flooded
  /// An index that waits for no such message.
  case unknownIndex
}

/// Why a peer cannot be added.
public enum PeerError: Error, Sendable {
  case duplicateID
  case duplicateKey
  /// Our own key.
  case ownKey
  /// A public key of small order: no secret can be shared with it.
  case unusableKey
}
