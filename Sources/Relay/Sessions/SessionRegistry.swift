internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore
internal import CausewayWire

/// What became of a token.
enum AuthenticationOutcome: Sendable {
  case accepted(Account, TokenHash)
  case refused
  case busy
}

/// All sessions of one loop, and the ways into them: lanes log in here. Names and tunnels: `SessionRegistry+Tunnels`.
final class SessionRegistry: ControlPath {
  /// Logins under way at once; more are turned away with 503.
  static let loginLimit = 1024
  /// What those are told to wait, in seconds: a login takes 10 s at most, milliseconds mostly.
  static let loginRetrySeconds = 2
  /// The same while the relay is stopping: the next one will be there soon.
  static let drainRetrySeconds = 1
  static let sessionLimit = 16_384
  /// Refused logins of one address are told once in so long.
  static let refusalLogInterval = Duration.seconds(10)
  /// A holder that shows no sign of life for so long loses its name to the account's newer session.
  static let probeLimit = Duration.seconds(2)

  let loop: EventLoop
  let pool: ChunkPool
  let routes: RouteTable
  let log: Logger
  let metrics: RelayMetrics
  let urls: PublicURLs
  let store: StoreThread
  let policy: ReservationPolicy
  let limits: SessionLimits
  /// All sessions' windows and streams together.
  let budget: WindowBudget
  /// `Self.loginLimit`, but in tests.
  var loginLimit = SessionRegistry.loginLimit
  /// The relay is stopping: no new lanes.
  private(set) var isDraining = false
  private(set) var sessions: [[UInt8]: RelaySession] = [:]
  /// Who serves a name, from the tunnel's opening to its close.
  var holders: [String: (session: RelaySession, tunnel: RelayTunnel)] = [:]
  /// Of sessions that are over.
  private(set) var endedTotals = SessionCounters()
  private let refusals = RepeatLimiter(interval: SessionRegistry.refusalLogInterval)
  private var logins: [ObjectIdentifier: LaneLogin] = [:]
  /// Takes the connections of a TCP tunnel's port.
  var acceptTCP: ((consuming FileDescriptor, SocketAddress, Route) -> Void)?

  init(
    loop: EventLoop, pool: ChunkPool, routes: RouteTable, store: StoreThread, policy: ReservationPolicy, urls: PublicURLs,
    metrics: RelayMetrics, log: Logger, limits: SessionLimits = SessionLimits(), budget: WindowBudget = WindowBudget()
  ) {
    self.budget = budget
    self.limits = limits
    self.loop = loop
    self.pool = pool
    self.routes = routes
    self.store = store
    self.policy = policy
    self.urls = urls
    self.metrics = metrics
    self.log = log
  }

  // MARK: Lanes

  func acceptLane(_ stream: TCPStream, from peer: String, upgrade: LaneUpgrade, received: Span<UInt8>) {
    if isDraining { return refuse(stream, retryAfter: Self.drainRetrySeconds) }
    guard logins.count < loginLimit else { return refuse(stream, retryAfter: Self.loginRetrySeconds) }
    let head = ByteBuffer()
    head.append("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
    let framing: WebSocketFraming?
    switch upgrade {
    case .raw:
      head.append("Upgrade: causeway/3\r\n\r\n")
      framing = nil
    case .webSocket(let key):
      let digest = SHA1.hash(WebSocketHandshake.acceptInput(key.span).span)
      head.append("Upgrade: websocket\r\nSec-WebSocket-Accept: ")
      head.append(Base64.encode(digest.span))
      head.append("\r\n\r\n")
      framing = WebSocketFraming(isClient: false)
    }
    // A fresh socket takes these few bytes whole; one that does not is not worth keeping.
    guard case .bytes(head.count) = stream.write(head.bytes) else { return stream.abort() }
    let login = LaneLogin(Lane(stream, received: received, framing: framing), from: peer, self)
    logins[ObjectIdentifier(login)] = login
  }

  /// Instead of a 101: the client comes back after `retryAfter` seconds, on either kind of lane.
  private func refuse(_ stream: TCPStream, retryAfter: Int) {
    let head = ByteBuffer()
    head.append(
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: \(retryAfter)\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    _ = stream.write(head.bytes)
    stream.close()
    metrics.turnedAway.add()
  }

  /// One line for each address in `refusalLogInterval`, with the number of those between; no token and nothing of one.
  func logRefusal(_ what: String, _ peer: String) {
    guard let suppressed = refusals.admit(peer, at: loop.now) else { return }
    log.warning("login refused", ["reason": .string(what), "peer": .string(peer), "suppressed": .integer(suppressed)])
  }

  func loginEnded(_ login: LaneLogin) { logins[ObjectIdentifier(login)] = nil }

  func authenticate(_ token: String, _ completion: @escaping (AuthenticationOutcome) -> Void) {
    let hash = TokenHash(of: token)
    let bound = LoopBound(completion, loop)
    let now = WallTime.current
    let isAccepted = store.submit(on: loop) { store -> AuthenticationOutcome in
      do throws(StoreError) {
        guard case .accepted(let account, let usedAt) = try store.authenticate(hash) else { return .refused }
        if usedAt.map({ now - $0 >= TokenUse.granularitySeconds }) ?? true { try store.noteUse(of: hash, at: now) }
        return .accepted(account, hash)
      } catch {
        return .busy
      }
    } _: { outcome in
      bound.value(outcome)
    }
    if !isAccepted { completion(.busy) }
  }

  var isFull: Bool { sessions.count >= Self.sessionLimit }

  func startSession(on lane: Lane, _ account: Account, _ token: TokenHash) {
    let id = Secrets.random(byteCount: SessionSecret.idByteCount)
    guard let secret = SessionSecret(id: id, key: SecretKey(randomByteCount: SessionSecret.keyByteCount)) else { return lane.close() }
    let session = RelaySession(account.id, token, secret, self)
    sessions[id] = session
    metrics.sessions.set(sessions.count)
    session.start(on: lane)
    log.info("session started", ["session": .string(session.shortID), "account": .string(account.email)])
  }

  func sessionToResume(
    _ id: [UInt8], generation: UInt32, account: Account, relayNonce: [UInt8], clientNonce: [UInt8], proof: [UInt8]
  ) -> RelaySession? {
    guard let session = sessions[id] else {
      // The same work as for a session that exists.
      let decoy = SessionSecret(
        id: [UInt8](repeating: 0, count: SessionSecret.idByteCount), key: SecretKey(randomByteCount: SessionSecret.keyByteCount))
      _ = decoy?.accepts(proof: proof, relayNonce: relayNonce, clientNonce: clientNonce, generation: generation)
      return nil
    }
    let isProven = session.secret.accepts(proof: proof, relayNonce: relayNonce, clientNonce: clientNonce, generation: generation)
    return isProven && session.accepts(generation: generation) && session.account == account.id ? session : nil
  }

  func sessionEnded(_ session: RelaySession) {
    endedTotals += session.driver.session.statistics
    sessions[session.secret.id] = nil
    metrics.sessions.set(sessions.count)
  }

  func endAll(_ reason: String) {
    for session in Array(sessions.values) { session.end(reason) }
  }

  var loginCount: Int { logins.count }

  /// No new lanes from now on; sessions go on.
  func beginDraining() { isDraining = true }

  /// Ends every session and tells its client why, so that it comes back by itself; `completion` when all have been told.
  func dismissAll(_ completion: @escaping () -> Void) {
    let farewell = ControlError(.relayStopping, "the relay is stopping", retryAfter: Self.drainRetrySeconds)
    var untold = sessions.count + 1
    let told = {
      untold -= 1
      if untold == 0 { completion() }
    }
    for session in Array(sessions.values) { session.end("the relay is stopping", telling: farewell, told) }
    told()
  }

  // MARK: What an administrator did

  func apply(_ effects: [AdminEffect]) {
    let refusal = ControlError(.unauthorized, "the relay's owner has withdrawn this access")
    for effect in effects {
      switch effect {
      case .endSessions(let account):
        for login in Array(logins.values) where login.account == account { login.refuse(refusal) }
        for session in Array(sessions.values) where session.account == account {
          session.end("its account was disabled or removed", telling: refusal)
        }
      case .tokenRevoked(let token):
        for login in Array(logins.values) where login.token == token { login.refuse(refusal) }
        for session in Array(sessions.values) where session.token == token { session.end("its token was revoked", telling: refusal) }
      case .nameReleased(let name):
        holder(of: name.text)?.lose(name.text)
        routes.forget(name.text)
      }
    }
  }
}
