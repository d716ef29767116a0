public import CausewayBase
public import CausewayCrypto

/// A device's handshakes: who may connect, which exchanges are under way, cookies, and repetition (§5.3, §5.4, §6).
///
/// Pure: time, wall-clock time and randomness are arguments. Costs of a message: mac1 about 1 µs, an initiation or response about
/// 250 µs, at most 50 a second for a peer.
public struct Handshaker: ~Copyable {
  /// Sessions of a peer whose indices are kept apart; the oldest is let go. A peer needs three (whitepaper §6.3).
  static let sessionLimitPerPeer = 8
  /// Receiver indices leave their low six bits to the path.
  static let pathIndexMask = ~TransportHeader.pathMask

  public let identity: StaticIdentity
  let entropy: (Int) -> SecretKey
  let indexMask: UInt32
  var peers: [PeerID: HandshakePeer] = [:]
  var peersByKey: [PublicKey: PeerID] = [:]
  /// Of attempts and of sessions.
  var indices: [UInt32: PeerID] = [:]
  var cookies: CookieChecker
  var limiter = HandshakeRateLimiter()
  var jitter: SeededRandom
  var timestampFloor: TAI64N
  var deadline: Instant?

  /// - Parameters:
  ///   - greatestSentTimestamp: Of an earlier life of this device.
  ///   - entropy: That many unpredictable bytes; `SecretKey(randomByteCount:)` outside tests.
  public init(
    identity: StaticIdentity, greatestSentTimestamp: TAI64N = .zero,
    entropy: @escaping (Int) -> SecretKey = { SecretKey(randomByteCount: $0) }
  ) {
    self.init(identity: identity, greatestSentTimestamp: greatestSentTimestamp, indexMask: Self.pathIndexMask, entropy: entropy)
  }

  /// - Parameter indexMask: Which bits of an index are drawn: all, for transcripts of stock peers.
  init(identity: StaticIdentity, greatestSentTimestamp: TAI64N, indexMask: UInt32, entropy: @escaping (Int) -> SecretKey) {
    self.identity = identity
    self.entropy = entropy
    self.indexMask = indexMask
    timestampFloor = greatestSentTimestamp
    cookies = CookieChecker(identity.macKeys)
    // Jitter is no secret, but two devices should not draw the same.
    let key = identity.publicKey.bytes
    jitter = SeededRandom(seed: (0..<8).reduce(0) { $0 << 8 | UInt64(key[$1]) })
  }

  // MARK: Peers

  /// - Parameter presharedKey: 32 bytes, or nil for none.
  public mutating func addPeer(_ id: PeerID, publicKey: PublicKey, presharedKey: SecretKey? = nil) throws(PeerError) {
    precondition(presharedKey.map { $0.byteCount == 32 } ?? true, "a pre-shared key has 32 bytes")
    guard peers[id] == nil else { throw .duplicateID }
    guard peersByKey[publicKey] == nil else { throw .duplicateKey }
    guard publicKey != identity.publicKey else { throw .ownKey }
    let bytes = publicKey.bytes
    guard let shared = X25519.sharedSecret(identity.privateKey, bytes.span) else { throw .unusableKey }
    peers[id] = HandshakePeer(id: id, publicKey: publicKey, presharedKey: presharedKey, shared: shared)
    peersByKey[publicKey] = id
  }

  /// For handshakes from now on.
  /// - Parameter key: 32 bytes, or nil for none.
  public mutating func setPresharedKey(_ key: SecretKey?, of id: PeerID) {
    precondition(key.map { $0.byteCount == 32 } ?? true, "a pre-shared key has 32 bytes")
    peers[id]?.presharedKey = key ?? HandshakePeer.noPresharedKey
  }

  public mutating func removePeer(_ id: PeerID) {
    guard let peer = peers.removeValue(forKey: id) else { return }
    peersByKey[peer.publicKey] = nil
    if let attempt = peer.attempt { indices[attempt.localIndex] = nil }
    for index in peer.sessionIndices { indices[index] = nil }
    updateDeadline()
  }

  public func peer(for publicKey: PublicKey) -> PeerID? { peersByKey[publicKey] }
  public func publicKey(of id: PeerID) -> PublicKey? { peers[id]?.publicKey }

  /// Frees the index of a session that is over.
  public mutating func release(_ index: UInt32) {
    guard let id = indices[index], let peer = peers[id], let position = peer.sessionIndices.firstIndex(of: index) else { return }
    peer.sessionIndices.remove(at: position)
    indices[index] = nil
  }

  // MARK: Initiating

  /// Whether an initiation is out, or about to be, and not yet answered.
  public func isInitiating(_ id: PeerID) -> Bool { peers[id].map { $0.retryAt != nil } ?? false }

  /// Starts a handshake, and repeats it until it is answered or given up. While one is under way this only lengthens its time.
  /// - Parameter promptly: Don't wait for the rest of the five seconds since the last initiation (a link has come back).
  public mutating func initiate(
    _ id: PeerID, promptly: Bool = false, at now: Instant, unixNanoseconds: UInt64, effects: inout [HandshakeEffect]
  ) {
    guard let peer = peers[id] else { return }
    peer.giveUpAt = now + WireGuardLimits.rekeyAttemptTime
    if peer.retryAt == nil { peer.attemptCount = 0 }
    let gap = promptly ? WireGuardLimits.promptInitiationInterval : WireGuardLimits.rekeyTimeout
    if let last = peer.lastInitiationSent, now < last + gap {
      // Too soon: later, and not twice.
      peer.retryAt = min(peer.retryAt ?? .distantFuture, last + gap)
    } else if promptly || (peer.retryAt ?? .zero) <= now {
      sendInitiation(peer, at: now, unixNanoseconds, &effects)
    }
    updateDeadline()
  }

  /// Ends what `initiate` began: the peer's own handshake was confirmed first, or nobody wants the peer any more.
  public mutating func cancelAttempt(_ id: PeerID) {
    guard let peer = peers[id] else { return }
    endAttempt(peer)
    updateDeadline()
  }

  /// When `advance` is due, or nil.
  public var nextDeadline: Instant? { deadline }

  /// Repeats initiations, and gives up those that are too old.
  public mutating func advance(to now: Instant, unixNanoseconds: UInt64, effects: inout [HandshakeEffect]) {
    guard let deadline, deadline <= now else { return }
    for id in peers.keys.sorted() {
      guard let peer = peers[id], let retryAt = peer.retryAt, retryAt <= now else { continue }
      if peer.giveUpAt <= now {
        endAttempt(peer)
        effects.append(.gaveUp(id))
      } else {
        sendInitiation(peer, at: now, unixNanoseconds, &effects)
      }
    }
    updateDeadline()
  }

  private mutating func sendInitiation(
    _ peer: HandshakePeer, at now: Instant, _ unixNanoseconds: UInt64, _ effects: inout [HandshakeEffect]
  ) {
    endAttempt(peer)
    let index = newIndex(for: peer)
    let timestamp = max(TAI64N(unixNanoseconds: unixNanoseconds), max(peer.greatestSent, timestampFloor).next)
    peer.attemptCount += 1
    let wait = WireGuardLimits.rekeyTimeout + .milliseconds(Int64(jitter.next() % WireGuardLimits.rekeyJitterMilliseconds))
    peer.retryAt = now + wait
    peer.lastInitiationSent = now
    guard
      let (message, initiated) = NoiseHandshake.initiate(
        identity: identity, peer: peer.publicKey, shared: peer.shared, ephemeral: entropy(32), localIndex: index, timestamp: timestamp)
    else {
      indices[index] = nil
      return
    }
    peer.greatestSent = timestamp
    peer.attempt = initiated
    effects.append(.timestampSent(peer.id, timestamp))
    effects.append(.send(peer.jar.close(message.body, at: now), to: peer.id, attempt: peer.attemptCount))
  }

  mutating func endAttempt(_ peer: HandshakePeer) {
    peer.retryAt = nil
    guard let attempt = peer.attempt else { return }
    indices[attempt.localIndex] = nil
    peer.attempt = nil
  }

  mutating func newIndex(for peer: HandshakePeer) -> UInt32 {
    while true {
      let index = entropy(4).bytes.littleEndianIndex & indexMask
      if indices[index] == nil {
        indices[index] = peer.id
        return index
      }
    }
  }

  mutating func updateDeadline() {
    deadline = nil
    for peer in peers.values {
      if let retryAt = peer.retryAt { deadline = min(deadline ?? .distantFuture, retryAt) }
    }
  }
}

extension Span<UInt8> {
  fileprivate var littleEndianIndex: UInt32 {
    UInt32(self[0]) | UInt32(self[1]) << 8 | UInt32(self[2]) << 16 | UInt32(self[3]) << 24
  }
}

/// What a device knows of the handshakes with one peer.
final class HandshakePeer {
  let id: PeerID
  let publicKey: PublicKey
  static let noPresharedKey = SecretKey(byteCount: 32) { _ in }
  /// Zeros when there is none.
  var presharedKey: SecretKey
  /// The exchange of both static keys.
  let shared: SecretKey
  var jar: CookieJar
  /// Our own initiation.
  var attempt: NoiseHandshake.Initiated?
  var attemptCount = 0
  var retryAt: Instant?
  var giveUpAt = Instant.distantFuture
  var lastInitiationSent: Instant?
  var greatestSent = TAI64N.zero
  /// Of the peer's initiations.
  var greatestReceived = TAI64N.zero
  var lastInitiationReceived: Instant?
  /// Oldest first.
  var sessionIndices: [UInt32] = []

  init(id: PeerID, publicKey: PublicKey, presharedKey: SecretKey?, shared: SecretKey) {
    self.id = id
    self.publicKey = publicKey
    self.presharedKey = presharedKey ?? Self.noPresharedKey
    self.shared = shared
    jar = CookieJar(MACKeys(of: publicKey))
  }
}
