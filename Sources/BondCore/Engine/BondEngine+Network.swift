public import CausewayBase
import CausewayPaths
import CausewayWire

// From the network: datagrams find their session and peer, handshake messages the handshaker.

extension BondEngine {
  /// Datagrams of one route: one, or several of equal size that the kernel put together. Decrypts in place; afterwards `deliveries` may
  /// point into the buffer.
  /// - Parameters:
  ///   - bytes: `count` writable bytes.
  ///   - segmentByteCount: Bytes of each datagram but the last.
  ///   - trafficClass: TOS or traffic class byte of the outer packets.
  ///   - arrival: When the kernel got them; nil: now.
  @unsafe public func receive(
    _ bytes: UnsafeMutablePointer<UInt8>, count: Int, segmentByteCount: Int, from route: Route, trafficClass: UInt8,
    arrivedAt arrival: Instant? = nil, at now: Instant
  ) {
    let arrival = arrival ?? now
    guard count > 0 else { return }
    let step = segmentByteCount > 0 ? segmentByteCount : count
    var offset = 0
    while offset < count {
      let length = min(step, count &- offset)
      // SAFETY: offset + length <= count.
      unsafe receiveDatagram(bytes + offset, length, route, trafficClass, arrival, now)
      offset &+= length
    }
  }

  @inline(__always) private func receiveDatagram(
    _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ route: Route, _ trafficClass: UInt8, _ arrival: Instant, _ now: Instant
  ) {
    // SAFETY: `count` bytes of the caller's buffer.
    let datagram = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(bytes), count: count)
    guard let header = TransportHeader(datagram) else { return receiveHandshake(datagram, route, now) }
    guard let session = sessions.session(for: header.index) else { return drops.count(.unknownIndex) }
    guard session.keys.isUsable(at: now) else { return drops.count(.expiredKeys) }
    guard session.ownedPaths &>> UInt64(header.path.rawValue) & 1 != 0 else {
      return forward(datagram, to: session.peer.owner(of: header.path), route, trafficClass)
    }
    switch unsafe session.keys.open(header, at: bytes, count: count) {
    case .opened: break
    case .forged: return drops.count(.forged)
    case .replayed: return drops.count(.replayed)
    case .foreignPath: return drops.count(.foreignPath)
    }
    verdict = .authentic
    let peer = session.peer
    unsafe peer.receive(
      session, header.path, header.counter, bytes + TransportHeader.byteCount, count &- TransportHeader.overhead, from: route,
      trafficClass: trafficClass, arrivedAt: arrival, at: now)
    peer.activate()
  }

  // MARK: Handshakes

  /// More initiations and responses than this in a load window mean load: whitepaper §5.3. An exchange costs 250 µs, so 100 in 100 ms
  /// are a quarter of a core.
  static let loadLimit = 100
  static let loadWindow: UInt64 = 100_000_000
  /// How long load is remembered.
  static let loadMemory: UInt64 = 1_000_000_000

  private func receiveHandshake(_ message: Span<UInt8>, _ route: Route, _ now: Instant) {
    guard message.count == 148 || message.count == 92 || message.count == 64 else { return drops.count(.malformed) }
    if configuration.shard != 0 {
      forward(message, to: 0, route, 0)
      return
    }
    receiveHandshakeMessage(message, from: route, at: now)
  }

  /// A handshake message, also one that another thread's socket got.
  public func receiveHandshakeMessage(_ message: Span<UInt8>, from route: Route, at now: Instant) {
    noteLoad(at: now)
    let source = route.remote.networkBytes
    do throws(HandshakeDrop) {
      try handshaker.receive(
        message, from: source.span, at: now, unixNanoseconds: now.nanoseconds &+ unixOffset, underLoad: now < loadedUntil,
        effects: &effects)
    } catch {
      drops.count(.handshake)
      effects.removeAll(keepingCapacity: true)
      return
    }
    verdict = .accepted
    applyEffects(source: route, at: now)
  }

  private func noteLoad(at now: Instant) {
    if now.nanoseconds(since: loadWindowStart) > Self.loadWindow {
      loadWindowStart = now
      loadCount = 0
    }
    loadCount += 1
    if loadCount > Self.loadLimit { loadedUntil = Instant(nanoseconds: now.nanoseconds &+ Self.loadMemory) }
  }

  /// Carries out what the handshaker wants, in order.
  func applyEffects(source: Route?, at now: Instant) {
    guard !effects.isEmpty else { return }
    let list = effects
    effects.removeAll(keepingCapacity: true)
    for effect in list {
      switch effect {
      case .send(let message, let id, let attempt): peers[id]?.sendHandshake(message, attempt: attempt, at: now)
      case .reply(let message):
        guard let source else { continue }
        guard replies.count < Self.replyLimit else {
          drops.count(.replyOverflow)
          continue
        }
        replies.append(PeerLink.PendingHandshake(message: message, route: source))
      case .established(let id, let keys):
        guard let peer = peers[id] else { continue }
        verdict = .authentic
        if let source {
          // As in stock WireGuard: an authentic handshake message tells where the peer is.
          peer.handshakeRoute = source
          peer.path(.handshake)?.route = source
        }
        peer.timers.receivedHandshake(at: now)
        peer.keep(keys)
        peer.established(configuration.simulatesCiphers ? TransportKeys(plainForSimulation: keys) : TransportKeys(keys), at: now)
        if keys.role == .initiator { peer.adoptStreams(at: now) }
      case .timestampSent(_, let timestamp): events.append(.timestampSent(timestamp))
      case .cookieReceived(let id):
        // A cookie is for an address and port: a connection would be closed by its peer before the usual five seconds are over, and
        // the next one has another port.
        if let source, source.isStream { peers[id]?.answerCookie(on: source, at: now) }
      case .gaveUp(let id): peers[id]?.gaveUp(at: now)
      }
    }
  }
}

extension PeerLink {
  /// Ninety seconds without an answer: what waited is dropped; the next packet asks again. A bond whose owner named its paths goes on
  /// asking by itself.
  func gaveUp(at now: Instant) {
    timers.gaveUp(at: now)
    giveUps &+= 1
    dropBacklog(at: now)
    noteShare()
    if initiates { wantHandshake(at: now) }
    activate()
  }

  /// What waited to be sent has no way out.
  func dropBacklog(at now: Instant) {
    while let slot = takePacket(at: now) {
      engine.pool.give(slot)
      engine.drops.count(.backlogFull)
    }
  }
}
