public import CausewayBase
internal import CausewayCrypto

extension Handshaker {
  /// Feeds one message of type 1, 2 or 3.
  /// - Parameters:
  ///   - source: Address and port of the sender, 6 or 18 bytes in network order. Cookies are bound to them.
  ///   - underLoad: More handshakes wait than the device can do: demand proof of address.
  public mutating func receive(
    _ message: Span<UInt8>, from source: Span<UInt8>, at now: Instant, unixNanoseconds: UInt64, underLoad: Bool,
    effects: inout [HandshakeEffect]
  ) throws(HandshakeDrop) {
    if let initiation = Initiation(message) {
      guard try admit(message, sender: initiation.sender, source, now, underLoad, &effects) else { return }
      try receive(initiation, at: now, &effects)
    } else if let response = Response(message) {
      guard try admit(message, sender: response.sender, source, now, underLoad, &effects) else { return }
      try receive(response, at: now, &effects)
    } else if let reply = CookieReply(message) {
      guard let id = indices[reply.receiver], let peer = peers[id] else { throw .unknownIndex }
      guard peer.jar.receive(reply, at: now) else { throw .forged }
      effects.append(.cookieReceived(id))
    } else {
      throw .malformed
    }
  }

  /// Whether the message may cost more than its MACs did. A cookie is sent instead where one is due.
  private mutating func admit(
    _ message: Span<UInt8>, sender: UInt32, _ source: Span<UInt8>, _ now: Instant, _ underLoad: Bool,
    _ effects: inout [HandshakeEffect]
  ) throws(HandshakeDrop) -> Bool {
    guard cookies.isMAC1Valid(message) else { throw .invalidMAC1 }
    guard underLoad else { return true }
    guard cookies.isMAC2Valid(message, from: source, at: now) else {
      effects.append(.reply(cookies.reply(to: message, sender: sender, from: source, at: now, entropy: entropy)))
      return false
    }
    guard limiter.allows(source, at: now) else { throw .rateLimited }
    return true
  }

  private mutating func receive(_ message: Initiation, at now: Instant, _ effects: inout [HandshakeEffect]) throws(HandshakeDrop) {
    guard let (key, read) = NoiseHandshake.receive(message, identity: identity) else { throw .undecryptable }
    guard let id = peersByKey[key], let peer = peers[id] else { throw .unknownPeer }
    var received = read
    guard let timestamp = NoiseHandshake.readTimestamp(message, shared: peer.shared, &received) else { throw .forged }
    guard timestamp > peer.greatestReceived else { throw .replayed }
    if let last = peer.lastInitiationReceived, now <= last + WireGuardLimits.initiationInterval { throw .flooded }
    let index = newIndex(for: peer)
    guard
      let (response, keys) = NoiseHandshake.respond(
        to: received, peer: key, presharedKey: peer.presharedKey, ephemeral: entropy(32), localIndex: index)
    else {
      indices[index] = nil
      throw .undecryptable
    }
    peer.greatestReceived = timestamp
    peer.lastInitiationReceived = now
    keep(index, of: peer)
    effects.append(.reply(peer.jar.close(response.body, at: now)))
    effects.append(
      .established(
        id,
        SessionKeys(
          sending: keys.responder, receiving: keys.initiator, localIndex: index, remoteIndex: message.sender, role: .responder, birth: now))
    )
  }

  private mutating func receive(_ message: Response, at now: Instant, _ effects: inout [HandshakeEffect]) throws(HandshakeDrop) {
    guard let id = indices[message.receiver], let peer = peers[id], let attempt = peer.attempt,
      attempt.localIndex == message.receiver
    else { throw .unknownIndex }
    guard
      let keys = NoiseHandshake.finish(attempt, message, identity: identity, presharedKey: peer.presharedKey)
    else { throw .forged }
    // The index goes on as the session's.
    peer.attempt = nil
    peer.retryAt = nil
    keep(message.receiver, of: peer)
    updateDeadline()
    effects.append(
      .established(
        id,
        SessionKeys(
          sending: keys.initiator, receiving: keys.responder, localIndex: message.receiver, remoteIndex: message.sender, role: .initiator,
          birth: now)))
  }

  private mutating func keep(_ index: UInt32, of peer: HandshakePeer) {
    peer.sessionIndices.append(index)
    if peer.sessionIndices.count > Self.sessionLimitPerPeer { indices[peer.sessionIndices.removeFirst()] = nil }
  }
}
