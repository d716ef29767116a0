public import CausewayBase
import CausewayCrypto
public import CausewayPaths
import CausewayWire

// Peers and their ways: added, changed and removed by the owner, found and lost by the shell.

extension BondEngine {
  /// Adds a peer, or changes one that is there: allowed IPs, keep-alive and uplinks. Uplinks keep their paths when their settings are
  /// the same but for weight, rates and preference.
  public func setPeer(_ id: PeerID, _ settings: PeerSettings, at now: Instant) throws(PeerError) {
    var settings = settings
    if configuration.shard != 0 { settings.persistentKeepalive = nil }  // the first thread's part
    if let peer = peers[id] {
      peer.change(settings, at: now)
    } else {
      try handshaker.addPeer(id, publicKey: settings.publicKey, presharedKey: settings.presharedKey)
      let peer = PeerLink(engine: self, id: id, settings: settings, at: now)
      peers[id] = peer
      peerOrder.append(peer)
      peer.timers.start(at: now)
    }
    allowedIPs.removeAll(of: id)
    for network in settings.allowedIPs { allowedIPs.insert(network, for: id) }
    for peer in peerOrder { peer.allowedSource.forget() }
    peers[id]?.activate()
    updateHandOver()
  }

  public func removePeer(_ id: PeerID) {
    guard let peer = peers.removeValue(forKey: id) else { return }
    peer.shutDown()
    peerOrder.removeAll { $0 === peer }
    active.removeAll { $0 === peer }
    activeHead = 0
    handshaker.removePeer(id)
    allowedIPs.removeAll(of: id)
  }

  /// The shell has a socket for an uplink, another one, or none any more.
  public func setUplink(_ uplink: Int, of id: PeerID, route: Route?, at now: Instant) {
    guard let peer = peers[id], uplink < peer.uplinkRoutes.count else { return }
    peer.setUplink(uplink, route: route, at: now)
  }

  /// The kernel says that an uplink's interface or address went or came back.
  public func setUplink(_ uplink: Int, of id: PeerID, isDown: Bool, at now: Instant) {
    guard let peer = peers[id] else { return }
    for path in peer.paths where path.uplink == uplink {
      if isDown { path.sender.interfaceDown(at: now) } else { path.sender.interfaceUp(at: now) }
      path.isDown = isDown
      peer.takeFacts(path, at: now)
    }
    if !isDown, peer.current == nil || !peer.paths.contains(where: { $0.isUsable }) { peer.wantHandshake(promptly: true, at: now) }
    peer.activate()
  }

  /// A stream's kernel queue is full, or has room again.
  public func setStream(_ socket: UInt32, isBlocked: Bool, at now: Instant) {
    for peer in peerOrder {
      for path in peer.paths where path.route?.isStream == true && path.route?.socket == socket {
        path.isBlocked = isBlocked
        if !isBlocked { peer.activate() }
      }
    }
  }

  /// Starts handshakes without waiting for data, and goes on asking: for peers whose ways are known.
  public func connect(_ id: PeerID, at now: Instant) {
    peers[id]?.initiates = true
    peers[id]?.wantHandshake(at: now)
  }

  public func setScheduler(_ kind: SchedulerKind) {
    configuration.scheduler = kind
    for peer in peerOrder {
      peer.scheduler = AnyScheduler(kind)
      peer.activate()
    }
  }

  /// The kernel refused a run as larger than the device's MTU.
  public func refusedAsTooBig(_ run: OutgoingRun, at now: Instant) {
    guard let id = run.peer, let peer = peers[id], let path = peer.path(run.path) else { return }
    path.mtuSearch?.refused(byteCount: run.segmentByteCount + run.route.overheadByteCount, at: now, &path.mtuFacts)
    if path.takeMTUFacts() { peer.controlPending = true }
    peer.activate()
  }

  /// The least smoothed round trip of all usable paths, in nanoseconds; `UInt64.max` without any.
  public var shortestRoundTrip: UInt64 {
    var shortest = UInt64.max
    for peer in peerOrder { for path in peer.paths where path.isUsable { shortest = min(shortest, path.sender.roundTrip.smoothed) } }
    return shortest
  }

  func drawChallenge() -> UInt64 { entropy(8).bytes.littleEndian(at: 0) }
}

extension PeerLink {
  func change(_ new: PeerSettings, at now: Instant) {
    settings = new
    hasToldUnnumbered = false
    allowedSource.forget()
    timers.persistentKeepalive = new.persistentKeepalive
    while uplinkRoutes.count < new.uplinks.count { uplinkRoutes.append(nil) }
    if uplinkRoutes.count > new.uplinks.count { uplinkRoutes.removeLast(uplinkRoutes.count - new.uplinks.count) }
    for (index, uplink) in new.uplinks.enumerated() where uplink.isRemoved { uplinkRoutes[index] = nil }
    for path in paths {
      guard let uplink = path.uplink else {
        applyRateLimit(path)
        continue
      }
      guard uplink < new.uplinks.count, !new.uplinks[uplink].isRemoved else {
        retire(path, at: now)
        continue
      }
      path.weight = new.uplinks[uplink].weight
      path.preference = new.uplinks[uplink].preference
      applyRateLimit(path)
    }
    tellPaths(at: now)
    activate()
  }

  /// Announced as closing first; gone once the peer has heard.
  private func retire(_ path: BondPath, at now: Instant) {
    guard !path.isClosing else { return }
    path.isClosing = true
    takeInFlight(path, at: now)
  }

  /// Our closing paths go: the peer has acknowledged the news.
  func closeRetired(at now: Instant) {
    for path in paths where path.isClosing && path.uplink != nil { remove(path, at: now) }
  }

  func setUplink(_ uplink: Int, route: Route?, at now: Instant) {
    guard !settings.uplinks[uplink].isRemoved else { return }
    uplinkRoutes[uplink] = route
    if let route, kind == .bond {
      if let id = ownPathID(uplink: uplink), let path = path(id) {
        guard path.route != route else { return }
        path.route = route
        path.isValidated = false
        path.isBlocked = false
        path.candidate = BondPath.Candidate(
          route: route, challenge: engine.drawChallenge(), deadline: now, probesLeft: BondPath.candidateProbes, isPending: true)
        path.sender.interfaceUp(at: now)
        controlPending = true
        takeFacts(path, at: now)
      } else {
        openUplinks(at: now)
      }
    } else if kind != .bond, let route {
      if let path = path(.handshake) { path.route = route } else { handshakeRoute = handshakeRoute ?? route }
    }
    activate()
  }

  func shutDown() {
    eraseKeys()
    for path in paths {
      takeInFlight(path, at: .zero)
      dropRateClaim(path)
    }
    dropUnderWay()
    while let slot = takePacket(at: .zero) { engine.pool.give(slot) }
  }
}
