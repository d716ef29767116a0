public import CausewayBase
import CausewayPaths
import CausewayWire

// Several threads, each with an engine. The first does the handshakes and knows what the peer is; the others learn of it, and tell it
// what they need. Each has its own paths, order and acknowledgements: a flow never crosses threads.

/// What the first thread knows of a peer and the others need: state, not change, so that applying it twice or skipping one does no harm.
public struct PeerShare: Sendable {
  public var id: PeerID
  /// Sessions that may be in use, oldest first.
  var keys: [SessionKeys]
  /// The session that the peer is known to have keys of, on all its threads.
  var current: UInt32?
  var kind: PeerKind
  var bootID: UInt64?
  var shardCount: Int
  var features: Hello.Features
  /// How often the peer counted as new.
  var resets: UInt32
  /// How often a handshake ended without an answer.
  var giveUps: UInt32
}

/// A handshake message, or a datagram of another thread's path, that came to this thread's socket.
public struct ForwardedDatagram: Sendable {
  public var shard: Int
  public var bytes: [UInt8]
  public var route: Route
  public var trafficClass: UInt8
}

extension BondEngine {
  /// Datagrams that may wait for their thread in one turn; more are dropped.
  static let forwardLimit = 512
  /// A thread asks for a handshake at most this often.
  static let needInterval: UInt64 = 500_000_000

  // MARK: The first thread

  /// Peers of which the other threads have to learn something.
  /// - Parameter body: Whether it could pass the share on; else it is asked again in the next turn.
  public func drainShares(_ body: (PeerShare) -> Bool) {
    sharedPeers.removeAll { peer in peers[peer.id] !== peer || body(peer.share) }
  }

  /// Another thread wants new keys.
  public func needHandshake(_ id: PeerID, promptly: Bool, at now: Instant) {
    peers[id]?.wantHandshake(promptly: promptly, at: now)
  }

  // MARK: The other threads

  public func apply(_ share: PeerShare, at now: Instant) {
    guard let peer = peers[share.id] else { return }
    peer.apply(share, at: now)
    updateHandOver()
  }

  public func drainNeeds(_ body: (_ peer: PeerID, _ promptly: Bool) -> Void) {
    for need in needs { body(need.peer, need.promptly) }
    needs.removeAll(keepingCapacity: true)
  }

  /// Whether this thread opens paths to the peer now: without one a connection for it would be closed.
  public func opensPaths(to id: PeerID) -> Bool {
    guard let peer = peers[id] else { return false }
    return configuration.shard == 0 || peer.kind == .bond && configuration.shard < peer.usedShards
  }

  // MARK: Both

  /// Which thread sends a packet of this thread's queue. Ask only while `handsOver`.
  public func shard(for packet: Span<UInt8>) -> Int {
    guard packet.count >= IPHeader.version4ByteCount, let id = allowedIPs.peer(forDestinationOf: packet), let peer = peers[id] else {
      return configuration.shard
    }
    return configuration.shard % peer.usedShards
  }

  func updateHandOver() {
    handsOver = peerOrder.contains { $0.usedShards <= configuration.shard }
  }

  /// Which thread of this side has a connection whose first message is a datagram of this index; nil when no session has it.
  public func shard(forReceiver index: UInt32) -> Int? {
    let path = PathID(UInt8(truncatingIfNeeded: index & TransportHeader.pathMask))
    guard let session = sessions.session(for: index & ~TransportHeader.pathMask) else { return nil }
    return session.peer.owner(of: path)
  }

  /// For another thread; the bytes are as they came.
  @inline(never) func forward(_ datagram: Span<UInt8>, to shard: Int, _ route: Route, _ trafficClass: UInt8) {
    guard forwarded.count < Self.forwardLimit else { return drops.count(.replyOverflow) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(datagram.count)
    for index in datagram.indices { bytes.append(datagram[index]) }
    forwarded.append(ForwardedDatagram(shard: shard, bytes: bytes, route: route, trafficClass: trafficClass))
  }

  public func drainForwarded(_ body: (ForwardedDatagram) -> Void) {
    for datagram in forwarded { body(datagram) }
    forwarded.removeAll(keepingCapacity: true)
  }
}

extension PeerLink {
  /// Threads used towards this peer, of either side.
  var usedShards: Int { kind == .bond ? min(engine.configuration.shardCount, remoteShardCount) : 1 }

  func owner(of id: PathID) -> Int {
    PathNumbering.owner(of: id, shards: isOwn(id) ? remoteShardCount : engine.configuration.shardCount, used: usedShards)
  }

  /// What this thread opens of what comes in under a session: a replay window works only where all of a path's datagrams come together.
  func updateOwnedPaths() {
    guard engine.configuration.shardCount > 1 else { return }
    var mask: UInt64 = 0
    for raw in 0..<PathID.limit where owner(of: PathID(UInt8(raw))) == engine.configuration.shard { mask |= 1 << UInt64(raw) }
    for session in [current, previous, next] { session?.ownedPaths = mask }
  }

  // MARK: The first thread

  /// Something changed that other threads go by.
  func noteShare() {
    guard engine.configuration.shardCount > 1 else { return }
    updateOwnedPaths()
    guard engine.configuration.shard == 0, !engine.sharedPeers.contains(where: { $0 === self }) else { return }
    engine.sharedPeers.append(self)
  }

  /// Keeps the keys of a handshake for the other threads.
  func keep(_ keys: SessionKeys) {
    guard engine.configuration.shardCount > 1 else { return }
    sharedKeys.append(keys)
  }

  var share: PeerShare {
    let live = [current, previous, next].compactMap { $0?.keys.localIndex }
    sharedKeys.removeAll { !live.contains($0.localIndex) }
    return PeerShare(
      id: id, keys: sharedKeys, current: settledIndex, kind: kind, bootID: remoteBootID, shardCount: remoteShardCount,
      features: remoteFeatures, resets: resets, giveUps: giveUps)
  }

  // MARK: The other threads

  func needHandshake(promptly: Bool, at now: Instant) {
    guard kind == .bond else { return }  // until then the first thread has all packets
    guard now.nanoseconds(since: neededAt) >= BondEngine.needInterval || neededAt == .zero else { return }
    neededAt = now
    engine.needs.append((id, promptly))
  }

  func apply(_ share: PeerShare, at now: Instant) {
    if share.resets != resets {
      resets = share.resets
      reset(at: now)
    }
    remoteBootID = share.bootID
    remoteShardCount = share.shardCount
    remoteFeatures = share.features
    kind = share.kind
    apply(share.keys, current: share.current, at: now)
    for session in [current, previous, next] { session?.keys.allowsPaths = kind == .bond }
    updateOwnedPaths()
    if kind == .bond {
      openUplinks(at: now)
      adoptStreams(at: now)
    }
    applyRateLimits()
    // Without keys after the first thread's ninety seconds, or without paths: nothing that waited here goes out in time.
    if engine.configuration.shard >= usedShards || share.giveUps != giveUps { dropBacklog(at: now) }
    giveUps = share.giveUps
    activate()
  }

  /// Takes sessions over and lets go of those that the first thread has no more.
  private func apply(_ keys: [SessionKeys], current wanted: UInt32?, at now: Instant) {
    var sessions: [Session] = []
    let known = [previous, current, next].compactMap { $0 }
    for keys in keys {
      if let session = known.first(where: { $0.keys.localIndex == keys.localIndex }) {
        sessions.append(session)
      } else {
        epoch &+= 1
        let session = Session(
          keys: engine.configuration.simulatesCiphers ? TransportKeys(plainForSimulation: keys) : TransportKeys(keys), peer: self,
          epoch: epoch)
        engine.sessions.insert(session)
        sessions.append(session)
      }
    }
    for session in known where !sessions.contains(where: { $0 === session }) { retire(session) }
    // A packet may have confirmed here what the first thread did not know yet when it told.
    var place = sessions.lastIndex { $0.keys.localIndex == wanted }
    if let current, let own = sessions.firstIndex(where: { $0 === current }) { place = max(place ?? own, own) }
    let before = current
    current = place.map { sessions[$0] }
    previous = place.flatMap { $0 > 0 ? sessions[$0 - 1] : nil }
    let after = place.map { $0 + 1 } ?? 0
    next = sessions.count > after ? sessions[sessions.count - 1] : nil
    for session in sessions where session !== current && session !== previous && session !== next { retire(session) }
    if let current, current !== before {
      // The first thread asks for new keys in time; this one only sees when nothing comes back.
      timers.established(as: .responder, at: now)
      timers.receivedHandshake(at: now)
    }
  }
}
