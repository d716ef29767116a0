public import CausewayBase
public import CausewayPaths

// Paths over TCP: a connection ends and another takes its place; path ids and counters go on.

/// What the last datagram proved about its sender. A shell lets a stranger's connection live by it.
public enum MessageVerdict: UInt8, Sendable, BitwiseCopyable {
  /// Wrong, unknown or seen before.
  case dropped
  /// In order, but no proof: it was answered with a cookie, or was one.
  case accepted
  /// From a peer.
  case authentic
}

extension BondEngine {
  /// An uplink's connection stands.
  /// - Parameter startsWithHandshake: The connection before it was closed by the peer before anything authentic came: the peer may have
  ///   forgotten our keys, and a connection may bring it one message only.
  public func streamConnected(
    _ uplink: Int, of id: PeerID, route: Route, startsWithHandshake: Bool, at now: Instant
  ) {
    guard let peer = peers[id], uplink < peer.uplinkRoutes.count else { return }
    peer.streamConnected(uplink, route, startsWithHandshake: startsWithHandshake, at: now)
  }

  /// A connection is gone, in either direction. What was in flight on it goes out again elsewhere.
  public func streamEnded(_ socket: UInt32, at now: Instant) {
    for peer in peerOrder { peer.streamEnded(socket, at: now) }
    replies.removeAll { $0.route.isStream && $0.route.socket == socket }
  }

  /// What the kernel says of a connection: every few milliseconds while it is sent on, and in answer to `askStream`.
  public func streamTold(_ socket: UInt32, _ report: TransportReport, at now: Instant) {
    for peer in peerOrder {
      for path in peer.paths where path.route.isStream(socket) {
        path.sender.transportTold(report, at: now)
        peer.activate()
      }
    }
  }

  /// Bytes a second of the fastest path on a connection, or 0.
  public func capacity(ofStream socket: UInt32) -> UInt64 {
    var capacity: UInt64 = 0
    for peer in peerOrder {
      for path in peer.paths where path.route.isStream(socket) { capacity = max(capacity, path.sender.capacityBytesPerSecond) }
    }
    return capacity
  }
}

extension PeerLink {
  func streamConnected(_ uplink: Int, _ route: Route, startsWithHandshake: Bool, at now: Instant) {
    uplinkRoutes[uplink] = route
    let hasKeys = current.map { $0.keys.isUsable(at: now) } ?? false
    if hasKeys, !startsWithHandshake {
      if kind == .bond { setUplink(uplink, route: route, at: now) }
    } else {
      // The path stays without a route until the peer has answered: a probe under keys that it forgot would end the connection.
      freshStream = route
      handshakeRoute = handshakeRoute ?? route
      wantHandshake(promptly: true, at: now)
    }
    activate()
  }

  /// Asks again on the connection that brought a cookie.
  func answerCookie(on route: Route, at now: Instant) {
    freshStream = route
    wantHandshake(promptly: true, at: now)
  }

  /// The handshake is done: connections that waited for it carry their paths.
  func adoptStreams(at now: Instant) {
    freshStream = nil
    guard kind == .bond else { return }
    for (uplink, route) in uplinkRoutes.enumerated() {
      guard let route, route.isStream, let id = ownPathID(uplink: uplink), let path = path(id), path.route != route else { continue }
      setUplink(uplink, route: route, at: now)
    }
  }

  func streamEnded(_ socket: UInt32, at now: Instant) {
    if freshStream.isStream(socket) { freshStream = nil }
    if handshakeRoute.isStream(socket) { handshakeRoute = nil }
    for uplink in uplinkRoutes.indices where uplinkRoutes[uplink].isStream(socket) { uplinkRoutes[uplink] = nil }
    pendingHandshakes.removeAll { $0.route.isStream && $0.route.socket == socket }
    for path in paths {
      path.pendingEchoes.removeAll { $0.route.isStream && $0.route.socket == socket }
      if let candidate = path.candidate, candidate.route.isStream, candidate.route.socket == socket { path.candidate = nil }
      guard path.route.isStream(socket) else { continue }
      path.route = nil
      path.isBlocked = false
      path.streamDeadline = .distantFuture
      if path.id == .handshake { continue }
      path.sender.interfaceDown(at: now)
      takeFacts(path, at: now)
    }
    activate()
  }

  /// So long a lost path keeps its connection, in nanoseconds. Its kernel repeats what is lost at pauses that double, and when the way is
  /// back may sleep for as long as it was away: a new connection asks every second.
  static let streamPatience: UInt64 = 1_000_000_000

  func giveUpStream(of path: BondPath) {
    path.streamDeadline = .distantFuture
    if let route = path.route, route.isStream { engine.events.append(.closeStream(socket: route.socket)) }
  }

  /// A path of the peer's that had lost its connection came in over another one, which is as good as proved: its sender has answered
  /// from there.
  func revive(_ path: BondPath, on route: Route, at now: Instant) {
    path.route = route
    path.isBlocked = false
    path.sender.interfaceUp(at: now)
    engine.events.append(.pathMoved(id, path.id, route))
    takeFacts(path, at: now)
    controlPending = true
    activate()
  }
}

extension Route? {
  @inline(__always) func isStream(_ socket: UInt32) -> Bool { self.map { $0.isStream && $0.socket == socket } ?? false }
}
