import CausewayBase
import CausewayPaths
import CausewayWire

// Paths: opened, proved, followed when they move, judged, closed.

extension PeerLink {
  /// This side numbers the paths it opens: even ids for the smaller static key, odd for the other; 0 is the handshake's.
  func ownPathID(uplink: Int) -> PathID? {
    PathNumbering.id(
      uplink: uplink, shard: engine.configuration.shard, shards: remoteShardCount, used: usedShards,
      isEven: engine.configuration.identity.publicKey < settings.publicKey)
  }

  /// Which of its opener's uplinks a path belongs to, whatever the thread.
  func uplinkOfPeer(_ id: PathID) -> Int {
    PathNumbering.uplink(of: id, shards: isOwn(id) ? remoteShardCount : engine.configuration.shardCount, used: usedShards)
  }

  func isOwn(_ id: PathID) -> Bool {
    id != .handshake && (id.rawValue & 1 == 0) == (engine.configuration.identity.publicKey < settings.publicKey)
  }

  @discardableResult
  func addPath(_ id: PathID, uplink: Int?, route: Route?, at now: Instant) -> BondPath {
    let path = BondPath(
      id: id, uplink: uplink, route: route, challenge: engine.drawChallenge(), innerMTU: innerMTU, at: now)
    if let uplink, uplink < settings.uplinks.count {
      path.weight = settings.uplinks[uplink].weight
      path.preference = settings.uplinks[uplink].preference
    }
    pathIndex[Int(id.rawValue)] = Int8(paths.count)
    paths.append(path)
    scheduler.reset(paths.count - 1)
    applyRateLimit(path)
    engine.events.append(.pathOpened(self.id, id, uplink: uplink))
    takeFacts(path, at: now)
    return path
  }

  /// Opens a path for each uplink that has a route.
  func openUplinks(at now: Instant) {
    guard kind == .bond else { return }
    var opened = false
    for (uplink, route) in uplinkRoutes.enumerated() {
      guard let route, let id = ownPathID(uplink: uplink), path(id) == nil else { continue }
      addPath(id, uplink: uplink, route: route, at: now)
      opened = true
    }
    if opened { tellPaths(at: now) }
    tellUnnumbered()
  }

  /// More uplinks than every thread has ids for: some flows go without some paths, which the owner ought to know.
  private func tellUnnumbered() {
    guard engine.configuration.shard == 0, !hasToldUnnumbered else { return }
    let limit = PathNumbering.uplinkLimit(shards: remoteShardCount, used: usedShards)
    guard let last = uplinkRoutes.lastIndex(where: { $0 != nil }), last >= limit else { return }
    hasToldUnnumbered = true
    engine.events.append(.uplinksUnnumbered(id, limit: limit, peerThreads: remoteShardCount))
  }

  /// A path that the peer opens with its first packet on it.
  func acceptPath(_ id: PathID, from route: Route, at now: Instant) -> BondPath? {
    if id == .handshake {
      handshakeRoute = route
      ensureHandshakePath(at: now)
      return path(.handshake)
    }
    guard kind == .bond, !isOwn(id) else { return nil }
    let path = addPath(id, uplink: nil, route: route, at: now)
    applyAnnouncement(to: path)
    return path
  }

  /// An authentic packet came from somewhere else than the last: roaming, or the first under new keys.
  func follow(_ path: BondPath, _ session: Session, _ counter: UInt64, _ route: Route, _ count: Int, at now: Instant) {
    if path.newestEpoch != session.epoch {
      guard Int32(bitPattern: session.epoch &- path.newestEpoch) > 0 else { return }
      path.newestEpoch = session.epoch
      path.newestCounter = counter
      if path.route == route { return }
    } else if counter < path.newestCounter {
      return
    }
    guard let old = path.route else {
      guard path.uplink == nil else { return }
      if route.isStream { revive(path, on: route, at: now) } else { path.route = route }
      return
    }
    if old.hasSameFarEnd(as: route) {
      path.route = route  // another of our own addresses: answer from there
      return
    }
    if kind != .bond || path.id == .handshake {
      // The stock rule: the newest authentic packet tells where the peer is.
      path.route = route
      handshakeRoute = route
      applyRateLimit(path)
      engine.events.append(.pathMoved(id, path.id, route))
      return
    }
    if path.uplink != nil { return }  // we chose where it goes
    if let candidate = path.candidate, candidate.route.hasSameFarEnd(as: route) { return }
    path.candidate = BondPath.Candidate(
      route: route, challenge: engine.drawChallenge(), deadline: now, probesLeft: BondPath.candidateProbes, isPending: true)
    controlPending = true
  }

  /// The new address proved itself.
  func move(_ path: BondPath, to route: Route, at now: Instant) {
    if let old = path.route, old.isStream, old.socket != route.socket { engine.events.append(.closeStream(socket: old.socket)) }
    path.route = route
    path.isValidated = true
    path.isBlocked = false
    path.sender.interfaceUp(at: now)
    engine.events.append(.pathMoved(id, path.id, route))
    becameUsable(path, at: now)
    takeFacts(path, at: now)
  }

  func becameUsable(_ path: BondPath, at now: Instant) {
    path.searchMTU(at: now)
    controlPending = true
    if parityDeadline == .distantFuture { parityDeadline = Instant(nanoseconds: now.nanoseconds &+ Self.parityInterval) }
    updateBacklogLimit(at: now)
    activate()
  }

  func close(_ path: BondPath, at now: Instant) {
    guard !path.isClosing else { return }
    path.isClosing = true
    remove(path, at: now)
  }

  func remove(_ path: BondPath, at now: Instant) {
    takeInFlight(path, at: now)
    dropRateClaim(path)
    if let route = path.route, route.isStream { engine.events.append(.closeStream(socket: route.socket)) }
    let index = Int(pathIndex[Int(path.id.rawValue)])
    guard index >= 0 else { return }
    paths.remove(at: index)
    pathIndex = InlineArray(repeating: -1)
    for (place, path) in paths.enumerated() { pathIndex[Int(path.id.rawValue)] = Int8(place) }
    for place in 0...paths.count { scheduler.reset(place) }
    redundantPaths = 0
  }

  // MARK: Health

  func takeFacts(_ path: BondPath, at now: Instant) {
    while let fact = path.sender.nextFact() {
      switch fact {
      case .sendProbe(let id):
        path.pendingProbe = id
        controlPending = true
      case .askTransport: if let route = path.route, route.isStream { engine.events.append(.askStream(socket: route.socket)) }
      case .changed(let change): changed(path, change, at: now)
      }
    }
  }

  private func changed(_ path: BondPath, _ change: PathChange, at now: Instant) {
    path.statistics.transitions &+= 1
    engine.events.append(.pathChanged(id, path.id, change))
    if change.to == .unstable || change.to == .lost {
      takeInFlight(path, at: now)
      backlogHeldUntil = Instant(nanoseconds: now.nanoseconds &+ Self.backlogPatience)
      if change.from == .normal, change.reason != .suspectedByPeer {
        let reason: Suspicion.Reason =
          switch change.reason {
          case .dataUnacknowledged: .unacknowledged
          case .interfaceDown: .interfaceDown
          default: .probesUnanswered
          }
        if suspicions.count < PathID.limit { suspicions.append(Suspicion(path: path.id, reason: reason)) }
        controlPending = true
      }
      if change.to == .lost, path.id != .handshake, path.route?.isStream == true {
        path.streamDeadline = Instant(nanoseconds: now.nanoseconds &+ Self.streamPatience)
      }
      if change.to == .lost, let uplink = path.uplink { engine.events.append(.uplinkLost(id, uplink: uplink)) }
    }
    if change.to == .normal { path.streamDeadline = .distantFuture }
    updateBacklogLimit(at: now)
    if change.to == .lost, !paths.contains(where: { carriesData($0) }) {
      // The peer may have been restarted and know our keys no more.
      allPathsDeadSince = now
      if let lastHandshake, now.nanoseconds(since: lastHandshake) > 5_000_000_000 { wantHandshake(at: now) }
    } else if change.to == .normal, allPathsDeadSince != nil {
      allPathsDeadSince = nil
      // What waited longer than the backlog may is of no use to anyone.
      queue.expire(before: now + (.zero - engine.configuration.limits.backlog))
    }
    activate()
  }

  /// Gives up what is in flight on a path that is set aside; it goes out again elsewhere.
  func takeInFlight(_ path: BondPath, at now: Instant) {
    path.sender.takeAllInFlight(into: &engine.outcome)
    applyOutcome(of: path, at: now)
  }

  /// Bytes that may wait: what all paths carry in the time of the limit, at least enough for a burst of a few flows; and from when on one
  /// flow's share of them is too long.
  func updateBacklogLimit(at now: Instant) {
    var rate: UInt64 = 0
    var roundTrip: UInt64 = 0
    for path in paths where carriesData(path) {
      rate &+= path.sender.capacityBytesPerSecond
      roundTrip = max(roundTrip, path.sender.roundTrip.minimumSmoothed)
    }
    let limits = engine.configuration.limits
    let worth = Int(min(Double(rate) * limits.backlog.inSeconds, Double(limits.backlogByteCount)))
    // A path that goes takes no room away from what waits already, nor for a while from what its senders have under way: that would be a
    // storm of losses where one is enough to slow them down.
    let limit = max(Self.minimumBacklog, worth)
    if limit >= queue.byteLimit {
      queue.byteLimit = limit
    } else if now >= backlogHeldUntil {
      queue.byteLimit = max(limit, min(queue.byteLimit, queue.byteCount))
    }
    // An ordered flow's round trip is that of the slowest path it uses. While the backlog keeps its room nobody is punished for using it.
    queue.tempo = now < backlogHeldUntil ? .rest : CoDel.Tempo(roundTrip: roundTrip)
  }

  /// So long the backlog keeps its room after a path was set aside, in nanoseconds: until its senders have found the rate of what is left.
  static let backlogPatience: UInt64 = 5_000_000_000
  /// Bytes of backlog that are always allowed: eight reads of 64 KiB.
  static let minimumBacklog = 512 * 1024

  /// Whether data may go on a path as far as it itself is concerned. Path 0 leaves them to the paths that were opened.
  func carriesData(_ path: BondPath) -> Bool { path.isUsable && !(path.id == .handshake && hasOpenedPath) }

  private func others(than path: BondPath) -> OtherPaths {
    var others = OtherPaths()
    others.soundUntil = .zero
    for other in paths where other !== path && carriesData(other) {
      others.newsAt = max(others.newsAt, other.sender.newsAt)
      others.soundUntil = max(others.soundUntil, other.sender.soundUntil)
    }
    return others
  }

  private func askOthers(than path: BondPath, at now: Instant) {
    for other in paths where other !== path && carriesData(other) {
      other.sender.ask(at: now)
      takeFacts(other, at: now)
    }
  }

  // MARK: Time

  /// When this peer wants to be called, as far as time alone decides.
  func updateDeadline(at now: Instant) {
    if timers.hasDue { applyTimers(at: now) }
    var deadline = timers.nextDeadline ?? .distantFuture
    deadline = min(deadline, min(helloDeadline, strangerDeadline))
    if !queue.isEmpty || stash != .none { deadline = min(deadline, sendWait) }
    if kind == .bond {
      if let due = order.nextDeadline { deadline = min(deadline, due) }
      if let due = current?.acknowledgementDue { deadline = min(deadline, due) }
      if let due = previous?.acknowledgementDue { deadline = min(deadline, due) }
      if !resends.isEmpty { deadline = min(deadline, resendWait) }
      if !pathsAcknowledged { deadline = min(deadline, pathsDeadline) }
      deadline = min(deadline, parityDeadline)
      if let due = parity.nextDeadline { deadline = min(deadline, due) }
      if let due = reassembler.nextDeadline { deadline = min(deadline, due) }
      for path in paths {
        if let due = path.mtuSearch?.nextDeadline { deadline = min(deadline, due) }
        deadline = min(deadline, path.sender.nextDeadline)
        if let candidate = path.candidate { deadline = min(deadline, candidate.deadline) }
        deadline = min(deadline, path.streamDeadline)
        if path.isRateShared { deadline = min(deadline, rateDeadline(path)) }
      }
    }
    for session in [current, previous, next] { if let session { deadline = min(deadline, session.keys.rejectedAt) } }
    // What is due and could not be done now (no keys, no path) must not be asked for again and again; nor may those who come by more often
    // than that put it off for ever.
    let retry = Instant(nanoseconds: now.nanoseconds &+ Self.retryInterval)
    if deadline > now {
      self.deadline = deadline
    } else if self.deadline <= now || self.deadline > retry {
      self.deadline = retry
    }
  }

  /// Nanoseconds until something that is due and can't be done is tried again.
  static let retryInterval: UInt64 = 1_000_000

  func advance(to now: Instant) {
    advanceKeys(at: now)
    guard kind == .bond else { return }
    if let due = order.nextDeadline, due <= now {
      order.advance(to: now)
      while let slot = order.nextReleased() { engine.deliver(slot) }
    }
    if !pathsAcknowledged, pathsDeadline <= now { controlPending = true }
    if parityDeadline <= now { updateParity(at: now) }
    if let due = parity.nextDeadline, due <= now { parity.advance(to: now) }
    if let due = reassembler.nextDeadline, due <= now { reassembler.advance(to: now) }
    var alive = 0
    for path in paths where carriesData(path) { alive += 1 }
    for path in paths {
      if path.isRateShared, rateDeadline(path) <= now { shareRate(path, at: now) }
      if path.sender.nextDeadline <= now {
        path.sender.advance(
          to: now, anotherPathAlive: alive > (carriesData(path) ? 1 : 0), others: others(than: path), into: &engine.outcome)
        applyOutcome(of: path, at: now)
        takeFacts(path, at: now)
        if path.sender.takeNewDoubt() { askOthers(than: path, at: now) }
      }
      if path.streamDeadline <= now { giveUpStream(of: path) }
      if let due = path.mtuSearch?.nextDeadline, due <= now {
        path.mtuSearch?.advance(to: now, &path.mtuFacts)
        if path.takeMTUFacts() { controlPending = true }
      }
      if let candidate = path.candidate, candidate.deadline <= now {
        path.candidate?.isPending = candidate.probesLeft > 0
        if candidate.probesLeft <= 0 { path.candidate = nil }
        controlPending = true
      }
    }
    if !resends.isEmpty { abandonLate(at: now) }
  }

  private func advanceKeys(at now: Instant) {
    if let deadline = timers.nextDeadline, deadline <= now { timers.advance(to: now) }
    applyTimers(at: now)
    if helloDeadline <= now {
      if helloAttempts >= Self.helloLimit {
        helloAttempts = 0
        helloDeadline = .distantFuture
        // Frames under these keys are an answer too.
        if kind != .bond || current?.hasRecorded != true { helloUnanswered(at: now) }
      } else {
        helloPending = true
        controlPending = true
        helloDeadline = .distantFuture
      }
    }
    if strangerDeadline <= now {
      strangerDeadline = .distantFuture
      if kind != .bond || current?.hasRecorded != true { helloUnanswered(at: now) }
    }
    if let session = previous, !session.keys.isUsable(at: now) {
      retire(session)
      previous = nil
    }
    if let session = next, !session.keys.isUsable(at: now) {
      retire(session)
      next = nil
    }
    if let session = current, !session.keys.isUsable(at: now) {
      retire(session)
      current = nil
      if initiates { wantHandshake(at: now) }
    }
  }

  func applyTimers(at now: Instant) {
    let due = timers.take()
    guard !due.isEmpty else { return }
    if due.contains(.forgetSourceAddress) { path(.handshake)?.route?.local = .unspecified }
    if due.contains(.sendKeepalive) {
      keepalivePending = true
      if current == nil { wantHandshake(at: now) }
    }
    if due.contains(.initiateHandshake) { wantHandshake(at: now) }
    if due.contains(.eraseKeys) {
      eraseKeys()
      if initiates { wantHandshake(at: now) }  // erasing ended the attempt
    }
    activate()
  }
}
