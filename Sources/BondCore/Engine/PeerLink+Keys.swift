import CausewayBase
import CausewayPaths
import CausewayWire

// Sessions of a peer: made, confirmed, worn out; and what the peer turns out to be.

extension PeerLink {
  // MARK: Sessions

  /// The handshake gave keys. Whitepaper §6.3: an initiator may send at once, a responder after the first packet under them.
  func established(_ keys: TransportKeys, at now: Instant) {
    epoch &+= 1
    let session = Session(keys: keys, peer: self, epoch: epoch)
    session.establishedAt = now
    keys.allowsPaths = kind == .bond
    engine.sessions.insert(session)
    lastHandshake = now
    timers.established(as: keys.role, at: now)
    switch keys.role {
    case .initiator:
      if let previous { retire(previous) }
      if let next, now < next.establishedAt + WireGuardLimits.rekeyTimeout {
        // Crossing handshakes: by the time our answer is there the peer sends under those keys, so they stay.
        if let current { retire(current) }
        previous = next
      } else {
        // Older ones were never more than an attempt.
        if let next { retire(next) }
        previous = current
      }
      next = nil
      current = session
      // The first packet under new keys asks what the peer is, and confirms them at once.
      helloPending = true
      helloAttempts = 0
      helloDeadline = .distantFuture
      strangerDeadline = .distantFuture
      controlPending = true
      ensureHandshakePath(at: now)
      probeDeadPaths(at: now)
    case .responder:
      if let next { retire(next) }
      next = session
    }
    engine.events.append(.handshakeCompleted(id))
    noteShare()
    activate()
  }

  /// The first packet under `session`, which is not the current one.
  func confirm(_ session: Session, at now: Instant) {
    guard session === next else { return }
    if let previous { retire(previous) }
    previous = current
    current = session
    next = nil
    settledIndex = session.keys.localIndex
    noteShare()
    engine.handshaker.cancelAttempt(id)
    strangerDeadline = Instant(nanoseconds: now.nanoseconds &+ Self.strangerPatience)
    ensureHandshakePath(at: now)
    probeDeadPaths(at: now)
    activate()
  }

  /// New keys while no path works: the peer is there, so each path may be again. Long-lost ones would be probed seconds later.
  private func probeDeadPaths(at now: Instant) {
    guard kind == .bond, !paths.contains(where: { $0.isUsable }) else { return }
    for path in paths where !path.isDown { path.sender.interfaceUp(at: now) }
  }

  func retire(_ session: Session) {
    engine.sessions.remove(session)
    engine.handshaker.release(session.keys.localIndex)
  }

  func eraseKeys() {
    for session in [current, previous, next] { if let session { retire(session) } }
    current = nil
    previous = nil
    next = nil
    noteShare()
    engine.handshaker.cancelAttempt(id)
  }

  /// Asks for a handshake; while one is under way nothing happens.
  func wantHandshake(promptly: Bool = false, at now: Instant) {
    if engine.configuration.shard != 0 { return needHandshake(promptly: promptly, at: now) }
    guard !engine.handshaker.isInitiating(id) || promptly else { return }
    guard handshakeRoute != nil || uplinkRoutes.contains(where: { $0 != nil }) else { return }
    engine.handshaker.initiate(
      id, promptly: promptly, at: now, unixNanoseconds: now.nanoseconds &+ engine.unixOffset, effects: &engine.effects)
    engine.applyEffects(source: nil, at: now)
  }

  /// A message of the handshake on its way: the first on the best route, repeats on every one.
  func sendHandshake(_ message: HandshakeMessage, attempt: Int, at now: Instant) {
    timers.sentHandshake(at: now)
    pendingHandshakes.removeAll(keepingCapacity: true)
    var routes: [Route] = []
    func add(_ route: Route?) {
      if let route, !routes.contains(where: { $0.hasSameFarEnd(as: route) }) { routes.append(route) }
    }
    add(freshStream)
    freshStream = nil
    if let path = bestPath(), path.sender.state == .normal || attempt == 1 { add(path.route) }
    if routes.isEmpty { add(handshakeRoute) }
    if attempt > 1 || routes.isEmpty {
      add(handshakeRoute)
      for path in paths { add(path.route) }
      for route in uplinkRoutes { add(route) }
    }
    for route in routes { pendingHandshakes.append(PendingHandshake(message: message, route: route)) }
    activate()
  }

  // MARK: Path 0

  /// The path that handshakes take: byte for byte stock WireGuard, and all there is with a stock peer.
  func ensureHandshakePath(at now: Instant) {
    guard engine.configuration.shard == 0 else { return }
    if let path = path(.handshake) {
      if path.route == nil { path.route = handshakeRoute ?? uplinkRoutes.compactMap { $0 }.first }
      return
    }
    guard let route = handshakeRoute ?? uplinkRoutes.compactMap({ $0 }).first else { return }
    let path = addPath(.handshake, uplink: nil, route: route, at: now)
    path.isValidated = true
  }

  // MARK: HELLO

  func receiveHello(_ hello: Hello, on path: BondPath, at now: Instant) {
    guard hello.minimumVersion <= Hello.currentVersion else { return engine.drops.count(.unknownVersion) }
    strangerDeadline = .distantFuture
    meet(hello, at: now)
    openUplinks(at: now)  // a peer that has forgotten us may be the one that asks
    helloAcknowledgementPending = true
    helloPath = path
    controlPending = true
    activate()
  }

  func receiveHelloAcknowledgement(_ hello: Hello, at now: Instant) {
    guard helloDeadline != .distantFuture || helloPending || helloAttempts > 0 else { return engine.drops.count(.unaskedHello) }
    guard hello.minimumVersion <= Hello.currentVersion else { return engine.drops.count(.unknownVersion) }
    helloDeadline = .distantFuture
    helloPending = false
    helloAttempts = 0
    settledIndex = current?.keys.localIndex
    meet(hello, at: now)
    openUplinks(at: now)
    activate()
  }

  /// Frames from a peer that did not answer our HELLO, or whose own got lost: it knows what we are, so ask again, once a second.
  func receivedEarlyFrame(at now: Instant) {
    engine.drops.count(.frameBeforeHello)
    guard helloDeadline == .distantFuture, !helloPending, now.nanoseconds(since: lastEarlyHello) >= Self.helloInterval else { return }
    lastEarlyHello = now
    helloAttempts = Self.helloLimit - 1
    helloPending = true
    controlPending = true
  }

  /// Its frames overtook its HELLO: one of ours, and the answer is a round trip away. What waits for it would go without an order as
  /// WireGuard's packets do.
  func awaitsHello(at now: Instant) -> Bool {
    kind == .unknown && helloDeadline != .distantFuture && lastEarlyHello != .zero
      && now.nanoseconds(since: lastEarlyHello) < Self.helloInterval
  }

  private func meet(_ hello: Hello, at now: Instant) {
    if let known = remoteBootID, known != hello.bootID || kind != .bond { reset(at: now) }
    remoteBootID = hello.bootID
    remoteShardCount = Int(hello.shardCount)
    remoteFeatures = hello.features
    applyRateLimits()
    defer { noteShare() }
    guard kind != .bond else { return }
    kind = .bond
    for session in [current, previous, next] { session?.keys.allowsPaths = true }
    if let path = path(.handshake) { takeFacts(path, at: now) }
    engine.events.append(.peerKind(id, .bond))
  }

  /// Three questions unanswered: the peer is no Causeway, or forgot that it was.
  func helloUnanswered(at now: Instant) {
    helloDeadline = .distantFuture
    helloAttempts = 0
    if kind == .bond {
      localBootID &+= 1
      reset(at: now)
    }
    if kind != .stock {
      kind = .stock
      engine.events.append(.peerKind(id, .stock))
    }
    for session in [current, previous, next] { session?.keys.allowsPaths = false }
    noteShare()
    ensureHandshakePath(at: now)
    applyRateLimits()
  }

  /// Gives back what was sent and waits to be sent again, after `takeInFlight` of every path.
  func dropUnderWay() {
    for (slot, _) in copies { release(hold: slot) }
    copies.removeAll(keepingCapacity: true)
    for slot in redundant { release(hold: slot) }
    redundant.removeAll(keepingCapacity: true)
    redundantPaths = 0
    while let slot = resends.popFirst(pool) { pool.give(slot) }
  }

  private func release(hold slot: PacketSlot) {
    pool[slot].copies &-= 1
    let info = pool[slot]
    if info.copies == 0 && !info.flags.contains(.queued) { pool.give(slot) }
  }

  /// The peer counts as new: nothing of the bond's state holds any more. What waits to be sent stays.
  func reset(at now: Instant) {
    if engine.configuration.shard == 0 { resets &+= 1 }
    for path in paths {
      takeInFlight(path, at: now)
      dropRateClaim(path)
    }
    dropUnderWay()
    hasToldUnnumbered = false
    let route = path(.handshake)?.route ?? handshakeRoute
    paths.removeAll()
    views.removeAll()
    pathIndex = InlineArray(repeating: -1)
    scheduler = AnyScheduler(engine.configuration.scheduler)
    stamper.reset()
    order.reset(at: now)
    while let slot = order.nextReleased() { engine.deliver(slot) }
    // Sequences begin anew: parity and pieces of the old ones would be taken for theirs.
    decoder = nil
    parity.update(nil)
    reassembler = Reassembler(pool: pool)
    skips.removeAll(keepingCapacity: true)
    suspicions.removeAll(keepingCapacity: true)
    parameters = OrderParameters(holdLimitMicroseconds: 0, memoryByteCount: 0)
    remotePathsSequence = nil
    announced.removeAll(keepingCapacity: true)
    pathsAcknowledged = true
    kind = .unknown
    for session in [current, previous, next] { session?.keys.allowsPaths = false }
    if let route {
      handshakeRoute = route
      ensureHandshakePath(at: now)
    }
  }
}
