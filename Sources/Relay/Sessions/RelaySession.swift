internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore
internal import CausewayWire

/// One client's session at the relay: its account, its tunnels, its secret for a resume. It outlives its lane by `resumeLimit`.
final class RelaySession: SessionDriverOwner {
  let account: AccountID
  private(set) var token: TokenHash
  let secret: SessionSecret
  let driver: SessionDriver
  private(set) var generation: UInt32 = 0
  /// The client has shown that it knows `generation`. Until then it may come back with the one before: our answer can be lost.
  private var isGenerationConfirmed = true
  private unowned let sessions: SessionRegistry
  private var tunnels: [RelayTunnel] = []
  private var nextTunnel: UInt16 = 1
  private var pendingRequests = 0
  /// Losses of tunnels that happened while no lane was there; at most `tunnelLimit`.
  private var untold: [ControlError] = []
  private var endTimer: LoopTimer?
  private(set) var isOver = false

  init(_ account: AccountID, _ token: TokenHash, _ secret: SessionSecret, _ sessions: SessionRegistry) {
    self.account = account
    self.token = token
    self.secret = secret
    self.sessions = sessions
    driver = SessionDriver(role: .relay, limits: sessions.limits, budget: sessions.budget, pool: sessions.pool, loop: sessions.loop)
    driver.owner = self
    endTimer = LoopTimer(sessions.loop) { [unowned self] _ in end("its client did not come back in time") }
  }

  var isAttached: Bool { driver.isAttached }
  var tunnelCount: Int { tunnels.count }

  // MARK: Lanes

  func start(on lane: Lane) {
    driver.attach(lane, resumed: false)
    let key = secret.key
    send(.started(id: secret.id, key: key.bytes.array(in: 0..<key.byteCount)))
  }

  /// Takes the session to a proven lane; the older one is fenced.
  /// - Parameter known: the generation that the client has proven: one that `accepts` takes. However many answers are lost in a row,
  ///   the next one is its successor.
  func resume(on lane: Lane, _ token: TokenHash, from known: UInt32) {
    self.token = token
    generation = known &+ 1
    isGenerationConfirmed = false
    endTimer?.cancel()
    driver.attach(lane, resumed: true)
    send(.resumed(generation: generation))
    sessions.metrics.resumes.add()
    sessions.log.info("session resumed", ["session": .string(shortID), "streams": .integer(driver.session.streamCount)])
  }

  func accepts(generation other: UInt32) -> Bool { other == generation || !isGenerationConfirmed && other == generation &- 1 }

  func sessionLostLane(_ reason: String) {
    guard !isOver else { return }
    endTimer?.set(after: driver.session.limits.resumeLimit)
    sessions.log.info("session detached", ["session": .string(shortID), "reason": .string(reason)])
  }

  func sessionSynchronized() {
    isGenerationConfirmed = true
    for error in untold { send(.error(error)) }
    untold = []
    for tunnel in tunnels { sessions.routes.wake(tunnel.name) }
  }

  /// Ends for good: streams are reset, names are free for the account's next session.
  /// - Parameter completion: called once, when the last word has left or cannot.
  func end(_ reason: String, telling error: ControlError? = nil, _ completion: @escaping () -> Void = {}) {
    guard !isOver else { return completion() }
    isOver = true
    endTimer?.cancel()
    driver.endAllStreams(.sessionEnded)
    if let error, driver.isAttached {
      send(.error(error))
      driver.detachAfterFlush(completion)
    } else {
      driver.detach()
      completion()
    }
    for tunnel in tunnels { sessions.close(tunnel) }
    tunnels = []
    sessions.sessionEnded(self)
    sessions.log.info("session ended", ["session": .string(shortID), "reason": .string(reason)])
  }

  /// Enough of the random id to tell sessions apart in a log.
  var shortID: String { Hexadecimal.text(secret.id.prefix(4)) }

  // MARK: Control

  func sessionOpened(_ stream: StreamID) -> any StreamHandler { preconditionFailure("a client cannot open streams: Session refuses it") }

  func sessionReceivedControl(_ message: Span<UInt8>) {
    guard !isOver else { return }
    do throws(ControlError) {
      switch try ControlMessage(message) {
      case .create(let request): create(request)
      case .end(let reason): end("its client said goodbye: \(NameError.printable(reason))")
      default: break  // from a newer client
      }
    } catch {
      end("its client sent a damaged message", telling: error)
    }
  }

  private func create(_ request: TunnelRequest) {
    guard tunnels.count + pendingRequests < SessionLimits.tunnelLimit else {
      return refuse(request, ControlError(.limitReached, "a session has at most \(SessionLimits.tunnelLimit) tunnels"))
    }
    pendingRequests += 1
    sessions.openTunnel(request, for: self) { [weak self, weak sessions] result in
      guard let self else {
        if case .success(let tunnel) = result { sessions?.close(tunnel) }
        return
      }
      self.pendingRequests -= 1
      self.answered(request, result)
    }
  }

  private func answered(_ request: TunnelRequest, _ result: Result<RelayTunnel, ControlError>) {
    switch result {
    case .success(let tunnel):
      guard !isOver else { return sessions.close(tunnel) }
      tunnels.append(tunnel)
      send(
        .created(
          TunnelGrant(request: request.request, tunnel: tunnel.number, url: tunnel.url, subdomain: tunnel.name, remotePort: tunnel.port)))
      sessions.log.info("tunnel open", ["session": .string(shortID), "url": .string(tunnel.url)])
    case .failure(let error): refuse(request, error)
    }
  }

  func takeTunnelNumber() -> UInt16 {
    defer { nextTunnel &+= 1 }
    return nextTunnel
  }

  /// Another session of the account took the name over, or it was released.
  func lose(_ name: String) {
    guard let index = tunnels.firstIndex(where: { $0.name == name }) else { return }
    let tunnel = tunnels.remove(at: index)
    sessions.close(tunnel)
    let reason = "the name '\(name)' went to a newer session or was released"
    guard !tunnels.isEmpty || pendingRequests > 0 else {
      return end("its last tunnel is gone", telling: ControlError(.sessionEnded, reason))
    }
    sessions.log.info("tunnel lost", ["session": .string(shortID), "url": .string(tunnel.url)])
    let error = ControlError(.nameLost, reason, request: tunnel.request)
    // Control messages do not outlive a lane: a detached session's client hears it after its resume.
    if driver.isAttached { send(.error(error)) } else { untold.append(error) }
  }

  private func refuse(_ request: TunnelRequest, _ error: ControlError) {
    var error = error
    error.request = request.request
    send(.error(error))
  }

  private func send(_ message: ControlMessage) {
    let scratch = ByteBuffer()
    message.encode(to: scratch)
    driver.sendControl(scratch.bytes)
  }
}
