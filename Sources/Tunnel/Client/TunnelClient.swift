internal import CausewayBase
internal import CausewayCrypto
public import CausewayLanes
public import CausewayLinuxIO
public import CausewayTunnelCore
internal import CausewayWire

/// A client: one session with a relay, its tunnels, and the will to keep them. Lives on one loop.
///
/// `ReconnectPolicy` says when to try; `LaneDialer` reaches the relay, `ClientLogin` talks, `SessionDriver` carries on. This object moves
/// between them: at every moment either the policy's deadline, a step's limit, or the session's heartbeat leads onward.
public final class TunnelClient {
  /// How long a goodbye may take.
  static let goodbyeLimit = Duration.seconds(1)
  /// After a network change the relay must show a sign of life within this.
  static let probeLimit = Duration.seconds(2)

  private let configuration: TunnelClientConfiguration
  private let loop: EventLoop
  private weak var observer: (any TunnelClientObserver)?
  private let pool = ChunkPool()
  private let locals: [LocalTunnel]
  private var tls: TLSContext?

  private var policy: ReconnectPolicy
  private var timer: LoopTimer?
  private var sessionTimer: LoopTimer?
  private var dialer: LaneDialer?
  private var login: ClientLogin?
  private var goodbye: (limit: LoopTimer, completion: () -> Void)?

  private var driver: SessionDriver?
  private var context: OriginContext?
  private var secret: SessionSecret?
  private var generation: UInt32 = 0
  private var grants: [Int: TunnelGrant] = [:]
  /// Tunnels that the relay took away: asking again would take the name from who has it now.
  private var lost: Set<Int> = []
  private var urls: [String?]
  private var names: [String?]

  private var wasReady = false
  private var outageStart: Instant?
  private var lastReason = ""
  private var isOver = false

  public init(_ configuration: TunnelClientConfiguration, on loop: EventLoop, observer: any TunnelClientObserver) {
    self.configuration = configuration
    self.loop = loop
    self.observer = observer
    locals = configuration.tunnels.map { LocalTunnel(name: $0.name, isHTTP: $0.isHTTP, target: $0.target) }
    urls = locals.map { _ in nil }
    names = locals.map { _ in nil }
    policy = ReconnectPolicy(seed: configuration.seed, at: loop.now)
    timer = LoopTimer(loop) { [unowned self] now in self.advance(now) }
    sessionTimer = LoopTimer(loop) { [unowned self] _ in self.forgetSession() }
  }

  /// Begins; events follow.
  public func start() {
    if configuration.server.isSecure {
      do throws(TLSError) { tls = try TLSContext(clientTrusting: configuration.trust) } catch {
        return fail(.init(kind: .other, message: error.message))
      }
    }
    advance(loop.now)
  }

  public var statistics: TunnelStatistics {
    let session = driver?.session
    return TunnelStatistics(
      isOnline: policy.state == .online, roundTripNanoseconds: session?.roundTripNanoseconds ?? 0,
      bytesSent: session?.statistics.bytesSent ?? 0,
      bytesReceived: session?.statistics.bytesReceived ?? 0, openStreams: session?.streamCount ?? 0)
  }

  /// An interface or route changed: try now, or find out now whether the relay is still there.
  public func networkChanged() {
    policy.networkChanged(at: loop.now)
    arm()
    guard policy.state == .online, let driver else { return }
    driver.probe(limit: Self.probeLimit) { [weak self, weak driver] isAlive in
      guard let self, let driver, driver === self.driver, !isAlive, driver.isAttached else { return }
      driver.detach()
      self.sessionLostLane("the relay did not answer after a network change")
    }
  }

  /// Says goodbye to the relay and ends; `completion` runs once, when the goodbye is out, or after 1 s.
  public func stop(_ completion: @escaping () -> Void) {
    guard !isOver else { return completion() }
    finish()
    let limit = LoopTimer(loop) { [weak self] _ in self?.goodbyeEnded() }
    limit.set(after: Self.goodbyeLimit)
    goodbye = (limit, completion)
    forgetSession(saying: "the client was stopped") { [weak self] in self?.goodbyeEnded() }
    for local in locals { local.pool.closeAll() }
  }

  private func goodbyeEnded() {
    let completion = goodbye?.completion
    goodbye = nil
    completion?()
  }

  // MARK: Attempts

  private func advance(_ now: Instant) {
    guard !isOver else { return }
    switch policy.advance(to: now) {
    case .attempt(let useWebSocket): attempt(useWebSocket)
    case .abandon(let step):
      abandonAttempt()
      policy.abandoned(step, at: now)
      let reason = policy.isDoubted ? "did not come on after a network change" : "took longer than \(Int(step.limit.inSeconds)) s"
      tellReconnecting("\(configuration.server.authority): \(step.name) \(reason)")
    case nil: break
    }
    arm()
  }

  private func arm() {
    if let deadline = policy.nextDeadline, !isOver { timer?.set(at: deadline) } else { timer?.cancel() }
  }

  private func began(_ step: ConnectStep) {
    policy.began(step, at: loop.now)
    arm()
  }

  private func attempt(_ useWebSocket: Bool) {
    let began = { [weak self] (step: ConnectStep) -> Void in self?.began(step) }
    let dialer = LaneDialer(configuration, tls: tls, useWebSocket: useWebSocket, on: loop, began: began) { [weak self] result in
      guard let self else { return }
      self.dialer = nil
      switch result {
      case .success(let lane): self.logIn(on: lane)
      case .failure(let failure):
        if useWebSocket { self.policy.forgetFallback() }
        self.attemptFailed(failure)
      }
    }
    self.dialer = dialer
    dialer.start()
  }

  private func abandonAttempt() {
    dialer?.cancel()
    dialer = nil
    login?.cancel()
    login = nil
    // A session whose tunnels were never confirmed is of no use: what was asked and answered is lost with the lane.
    if !hasAllTunnels { forgetSession() }
  }

  private func attemptFailed(_ failure: DialFailure) {
    guard !isOver else { return }
    if failure.kind == .rawRefused {
      policy.rawUpgradeRefused(at: loop.now)
      return arm()
    }
    if failure.kind == .lasting && !wasReady { return fail(.init(kind: .refused, message: failure.message)) }
    policy.attemptFailed(retryAfter: failure.retryAfter, at: loop.now)
    tellReconnecting(failure.message)
    arm()
  }

  private func tellReconnecting(_ reason: String) {
    guard reason != lastReason else { return }
    lastReason = reason
    let delay: Duration
    if case .waiting(let until) = policy.state { delay = max(.zero, until - loop.now) } else { delay = .zero }
    observer?.client(self, event: .reconnecting(reason: reason, delay: delay))
  }

  // MARK: Login

  private func logIn(on lane: Lane) {
    let login = ClientLogin(lane, token: configuration.token, resuming: secret.map { ($0, generation) }) { [weak self] outcome in
      guard let self else { return lane.close() }
      self.login = nil
      self.loggedIn(on: lane, outcome)
    }
    self.login = login
  }

  private func loggedIn(on lane: Lane, _ outcome: LoginOutcome) {
    switch outcome {
    case .started(let secret):
      forgetSession()
      self.secret = secret
      generation = 0
      startSession(on: lane)
    case .resumed(let generation):
      // Its time may have run out while we asked.
      guard let driver, secret != nil else {
        lane.close()
        return attemptFailed(DialFailure(kind: .passing, message: "\(configuration.server.authority): the session came back too late"))
      }
      self.generation = generation
      sessionTimer?.cancel()
      policy.succeeded()
      arm()
      driver.attach(lane, resumed: true)
      if let outageStart { observer?.client(self, event: .resumed(outage: loop.now - outageStart)) }
      online()
    case .refused(let error):
      lane.close()
      refused(error)
    case .broken(let reason):
      attemptFailed(DialFailure(kind: .passing, message: "\(configuration.server.authority): \(reason)"))
    }
  }

  private func refused(_ error: ControlError) {
    if !hasAllTunnels { forgetSession(saying: error.message) }
    if error.isFinal {
      return fail(.init(kind: error.code == .nameInvalid || error.code == .portInvalid ? .usage : .refused, message: error.message))
    }
    if !wasReady && error.request != nil { return fail(.init(kind: .temporary, message: error.message)) }
    attemptFailed(DialFailure(kind: .passing, message: error.message, retryAfter: error.retryAfter.map { .seconds($0) }))
  }

  private func startSession(on lane: Lane) {
    let driver = SessionDriver(role: .client, limits: configuration.limits, pool: pool, loop: loop)
    driver.owner = self
    self.driver = driver
    context = OriginContext(
      driver: driver, pool: pool, observer: observer?.wantsRequests == true ? self : nil,
      requestsPerSecond: observer?.requestsPerSecond ?? 0)
    context?.availability = self
    grants = [:]
    driver.attach(lane, resumed: false)
    began(.tunnels)
    for (index, tunnel) in configuration.tunnels.enumerated() where !lost.contains(index) {
      var request = TunnelRequest(
        request: index, isHTTP: tunnel.isHTTP, subdomain: tunnel.subdomain, remotePort: tunnel.remotePort, basicAuth: tunnel.basicAuth)
      if tunnel.subdomain == nil { request.previousName = names[index] }
      send(.create(request))
    }
  }

  private func granted(_ grant: TunnelGrant) {
    guard grants[grant.request] == nil, locals.indices.contains(grant.request) else { return }
    grants[grant.request] = grant
    // Each is served as soon as it stands: visitors may be there already.
    serveGranted()
    guard hasAllTunnels else { return }
    policy.succeeded()
    arm()
    let before = urls
    for grant in grants.values {
      urls[grant.request] = grant.url
      names[grant.request] = grant.subdomain
    }
    let endpoints = locals.indices.map { TunnelEvent.Endpoint(name: locals[$0].name, url: urls[$0] ?? "") }
    if !wasReady {
      wasReady = true
      observer?.client(self, event: .ready(endpoints))
    } else {
      observer?.client(self, event: .restarted(outage: outageStart.map { loop.now - $0 } ?? .zero))
      for index in grants.keys.sorted() where before[index] != urls[index] { observer?.client(self, event: .urlChanged(endpoints[index])) }
    }
    online()
  }

  private func online() {
    outageStart = nil
    lastReason = ""
  }

  private var hasAllTunnels: Bool { grants.count + lost.count == locals.count }

  /// A newer session has the name, or the relay's owner released it.
  private func tunnelLost(_ index: Int, _ reason: String) {
    guard grants.removeValue(forKey: index) != nil else { return }
    lost.insert(index)
    serveGranted()
    let endpoint = TunnelEvent.Endpoint(name: locals[index].name, url: urls[index] ?? "")
    if lost.count == locals.count { return fail(.init(kind: .refused, message: reason)) }
    observer?.client(self, event: .tunnelLost(endpoint, reason: reason))
  }

  private func serveGranted() {
    context?.setTunnels(Dictionary(grants.values.map { ($0.tunnel, locals[$0.request]) }) { first, _ in first })
  }

  /// - Parameter farewell: what the relay is told if a lane is there, so that it need not wait for us; then `completion`.
  private func forgetSession(saying farewell: String? = nil, _ completion: @escaping () -> Void = {}) {
    sessionTimer?.cancel()
    secret = nil
    grants = [:]
    guard let old = driver else { return completion() }
    driver = nil
    old.owner = nil
    old.endAllStreams(.sessionEnded)
    context?.end()
    context = nil
    guard let farewell, old.isAttached else {
      old.detach()
      return completion()
    }
    let scratch = ByteBuffer()
    ControlMessage.end(reason: farewell).encode(to: scratch)
    old.sendControl(scratch.bytes)
    old.detachAfterFlush(completion)
  }

  private func send(_ message: ControlMessage) {
    let scratch = ByteBuffer()
    message.encode(to: scratch)
    driver?.sendControl(scratch.bytes)
  }

  // MARK: Ends

  private func fail(_ failure: TunnelEvent.Failure) {
    guard !isOver else { return }
    finish()
    forgetSession(saying: failure.message)
    observer?.client(self, event: .failed(failure))
  }

  private func finish() {
    isOver = true
    policy.end()
    timer?.cancel()
    sessionTimer?.cancel()
    dialer?.cancel()
    dialer = nil
    login?.cancel()
    login = nil
  }
}

extension TunnelClient: SessionDriverOwner {
  public func sessionOpened(_ stream: StreamID) -> any StreamHandler {
    guard let context else { preconditionFailure("a session without its origin context") }
    return context.handler(for: stream)
  }

  public func sessionReceivedControl(_ message: Span<UInt8>) {
    do throws(ControlError) {
      switch try ControlMessage(message) {
      case .created(let grant): granted(grant)
      case .error(let error) where error.code == .nameLost && error.request != nil: tunnelLost(error.request ?? 0, error.message)
      case .error(let error) where error.request != nil || error.isFinal: refused(error)
      case .error(let error) where error.code == .sessionEnded: fail(.init(kind: .refused, message: error.message))
      case .error(let error): sessionFailed(error.message)
      default: break
      }
    } catch {
      sessionFailed("the relay sent a damaged message: \(error.message)")
    }
  }

  private func sessionFailed(_ reason: String) {
    driver?.detach()
    sessionLostLane(reason)
  }

  public func sessionLostLane(_ reason: String) {
    guard !isOver else { return }
    if outageStart == nil { outageStart = loop.now }
    if hasAllTunnels {
      sessionTimer?.set(after: configuration.limits.resumeLimit)
      policy.lost(at: loop.now)
    } else {
      forgetSession()
      policy.attemptFailed(at: loop.now)
    }
    tellReconnecting("the connection to the relay is lost: \(reason)")
    arm()
  }

  public func sessionSynchronized() {}
}

extension TunnelClient: OriginObserver, OriginAvailabilityObserver {
  public func requestFinished(tunnel: LocalTunnel, method: String, target: String, status: Int, duration: Duration) {
    observer?.client(self, event: .request(tunnel: tunnel.name, method: method, target: target, status: status, duration: duration))
  }

  public func requestsSkipped(_ count: Int) { observer?.client(self, event: .requestsSkipped(count)) }

  public func originChanged(tunnel: LocalTunnel, isUp: Bool, reason: String) {
    observer?.client(
      self,
      event: isUp
        ? .localUp(tunnel: tunnel.name, target: tunnel.target.description)
        : .localDown(tunnel: tunnel.name, target: tunnel.target.description, reason: reason))
  }
}

extension ConnectStep {
  /// In a sentence: "connecting took longer than 10 s".
  var name: String {
    switch self {
    case .connect: "connecting"
    case .tls: "the TLS handshake"
    case .upgrade: "the upgrade"
    case .login: "the login"
    case .tunnels: "registering the tunnels"
    }
  }
}
