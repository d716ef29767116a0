internal import CausewayBase
internal import CausewayCrypto

/// Noise_IKpsk2 as WireGuard uses it (§5.4.2 to §5.4.5): the two messages and the keys, without any state of a device. A failed exchange
/// of keys (a public key of small order) gives nil.
enum NoiseHandshake {
  /// What an initiator keeps until the response.
  struct Initiated {
    let localIndex: UInt32
    let ephemeral: SecretKey
    let state: SymmetricState
  }

  /// What a responder has read of an initiation.
  struct ReceivedInitiation {
    let remoteIndex: UInt32
    let ephemeral: InlineArray<32, UInt8>
    var state: SymmetricState
  }

  /// - Parameter shared: The exchange of both static keys, made once for a peer.
  static func initiate(
    identity: StaticIdentity, peer: PublicKey, shared: SecretKey, ephemeral: SecretKey, localIndex: UInt32, timestamp: TAI64N
  ) -> (Initiation, Initiated)? {
    let peerKey = peer.bytes
    let ephemeralPublic = X25519.publicKey(of: ephemeral)
    guard let secret = X25519.sharedSecret(ephemeral, peerKey.span) else { return nil }
    var message = Initiation(sender: localIndex, ephemeral: ephemeralPublic)
    var state = SymmetricState.initial
    state.mixHash(peerKey.span)
    state.mixHash(ephemeralPublic.span)
    state.mixChainingKey(ephemeralPublic.span)
    let ownKey = identity.publicKey.bytes
    let staticKey = state.mixKey(secret.bytes)
    var encryptedStatic = message.encryptedStatic.mutableSpan
    state.encryptAndHash(ownKey.span, key: staticKey, into: &encryptedStatic)
    let timestampKey = state.mixKey(shared.bytes)
    let time = timestamp.bytes
    var encryptedTimestamp = message.encryptedTimestamp.mutableSpan
    state.encryptAndHash(time.span, key: timestampKey, into: &encryptedTimestamp)
    return (message, Initiated(localIndex: localIndex, ephemeral: ephemeral, state: state))
  }

  /// Who sends this, as far as its static key says; nothing is authenticated yet.
  static func receive(_ message: Initiation, identity: StaticIdentity) -> (PublicKey, ReceivedInitiation)? {
    var state = SymmetricState.initial
    let ownKey = identity.publicKey.bytes
    state.mixHash(ownKey.span)
    state.mixHash(message.ephemeral.span)
    state.mixChainingKey(message.ephemeral.span)
    guard let secret = X25519.sharedSecret(identity.privateKey, message.ephemeral.span) else { return nil }
    let staticKey = state.mixKey(secret.bytes)
    var peerKey = InlineArray<32, UInt8>(repeating: 0)
    var output = peerKey.mutableSpan
    guard state.decryptAndHash(message.encryptedStatic.span, key: staticKey, into: &output) else { return nil }
    return (
      PublicKey(peerKey.span), ReceivedInitiation(remoteIndex: message.sender, ephemeral: message.ephemeral, state: state)
    )
  }

  /// Authenticates the sender; nil for a forgery.
  static func readTimestamp(
    _ message: Initiation, shared: SecretKey, _ received: inout ReceivedInitiation
  ) -> TAI64N? {
    var state = received.state
    let key = state.mixKey(shared.bytes)
    var time = InlineArray<12, UInt8>(repeating: 0)
    var output = time.mutableSpan
    guard state.decryptAndHash(message.encryptedTimestamp.span, key: key, into: &output) else { return nil }
    received.state = state
    return TAI64N(time.span)
  }

  /// - Returns: The response, and the keys by the initiator's view of them.
  static func respond(
    to received: ReceivedInitiation, peer: PublicKey, presharedKey: SecretKey, ephemeral: SecretKey, localIndex: UInt32
  ) -> (Response, (initiator: SecretKey, responder: SecretKey))? {
    let ephemeralPublic = X25519.publicKey(of: ephemeral)
    let peerKey = peer.bytes
    guard let first = X25519.sharedSecret(ephemeral, received.ephemeral.span), let second = X25519.sharedSecret(ephemeral, peerKey.span)
    else { return nil }
    var message = Response(sender: localIndex, receiver: received.remoteIndex, ephemeral: ephemeralPublic)
    var state = received.state
    state.mixHash(ephemeralPublic.span)
    state.mixChainingKey(ephemeralPublic.span)
    state.mixChainingKey(first.bytes)
    state.mixChainingKey(second.bytes)
    let key = state.mixPresharedKey(presharedKey.bytes)
    var nothing = message.encryptedNothing.mutableSpan
    state.encryptAndHash(Span(), key: key, into: &nothing)
    return (message, state.split())
  }

  /// - Returns: nil for a forgery.
  static func finish(
    _ initiated: Initiated, _ message: Response, identity: StaticIdentity, presharedKey: SecretKey
  ) -> (initiator: SecretKey, responder: SecretKey)? {
    guard let first = X25519.sharedSecret(initiated.ephemeral, message.ephemeral.span),
      let second = X25519.sharedSecret(identity.privateKey, message.ephemeral.span)
    else { return nil }
    var state = initiated.state
    state.mixHash(message.ephemeral.span)
    state.mixChainingKey(message.ephemeral.span)
    state.mixChainingKey(first.bytes)
    state.mixChainingKey(second.bytes)
    let key = state.mixPresharedKey(presharedKey.bytes)
    var output = MutableSpan<UInt8>()
    guard state.decryptAndHash(message.encryptedNothing.span, key: key, into: &output) else { return nil }
    return state.split()
  }
}
