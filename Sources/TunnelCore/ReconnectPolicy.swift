public import CausewayBase

/// A step of connecting; each has its own limit, so that none can hang for ever.
public enum ConnectStep: Equatable, Sendable, CaseIterable {
  /// Name look-up, TCP (happy eyeballs), and a proxy's CONNECT.
  case connect
  case tls
  /// From the HTTP request to its 101.
  case upgrade
  /// From the token to the session's start or resume.
  case login
  /// Until every tunnel is confirmed.
  case tunnels

  public var limit: Duration {
    switch self {
    case .connect: .seconds(10)
    case .tls: .seconds(10)
    case .upgrade: .seconds(10)
    case .login: .seconds(10)
    case .tunnels: .seconds(20)
    }
  }
}

/// When a client tries to reach its relay, and what it tries: pure policy, fed with outcomes and `now`.
///
/// At every moment outside `ended` there is a deadline that leads onward: to the next attempt, or to the end of the present step. While
/// online, the session's own heartbeat is that deadline. Retries: at once, then 0.25 to 0.75 s (jittered) for the first 60 s of an outage,
/// then growing to 15 s; at once after a network change; a relay's Retry-After wins.
public struct ReconnectPolicy: Sendable {
  public static let quickPhase = Duration.seconds(60)
  public static let quickDelay = 0.25...0.75
  public static let longestDelay = 15.0
  /// A Retry-After beyond this is cut to it.
  public static let longestRetryAfter = Duration.seconds(300)
  /// A connection lost again so soon after the last loss is no reason to hurry: a relay that drops every lane would be hammered.
  public static let flapLimit = Duration.seconds(1)
  /// What a step of connecting has left after a network change.
  public static let doubtLimit = Duration.seconds(3)
  /// How long a server that refused `causeway/3` is asked for a WebSocket first.
  public static let fallbackMemory = Duration.seconds(600)

  public enum State: Equatable, Sendable {
    case waiting(until: Instant)
    case connecting(ConnectStep, deadline: Instant)
    case online
    case ended
  }

  /// What to do now.
  public enum Step: Equatable, Sendable {
    /// Begin an attempt, with or without the WebSocket fallback.
    case attempt(useWebSocket: Bool)
    /// The present step took too long: tear the attempt down, then call `attemptFailed`.
    case abandon(ConnectStep)
  }

  public private(set) var state: State
  private var outageStart: Instant
  private var fallbackUntil = Instant.zero
  private var lastLoss: Instant?
  private var usesWebSocket = false
  /// The relay itself said how long to wait.
  private var isToldToWait = false
  /// The present step's limit was cut because the network changed under it.
  public private(set) var isDoubted = false
  private var random: SeededRandom

  /// The first attempt is due at once.
  public init(seed: UInt64, at now: Instant) {
    state = .waiting(until: now)
    outageStart = now
    random = SeededRandom(seed: seed)
  }

  /// When `advance` is due; nil while online or ended.
  public var nextDeadline: Instant? {
    switch state {
    case .waiting(let until): until
    case .connecting(_, let deadline): deadline
    case .online, .ended: nil
    }
  }

  public mutating func advance(to now: Instant) -> Step? {
    switch state {
    case .waiting(let until) where now >= until:
      usesWebSocket = now < fallbackUntil
      isDoubted = false
      state = .connecting(.connect, deadline: now + ConnectStep.connect.limit)
      return .attempt(useWebSocket: usesWebSocket)
    case .connecting(let step, let deadline) where now >= deadline:
      return .abandon(step)
    default:
      return nil
    }
  }

  /// The attempt reached its next step.
  public mutating func began(_ step: ConnectStep, at now: Instant) {
    guard case .connecting = state else { return }
    isDoubted = false
    state = .connecting(step, deadline: now + step.limit)
  }

  /// Something between answered `causeway/3` with anything but 101: ask for a WebSocket, on a new connection, at once.
  public mutating func rawUpgradeRefused(at now: Instant) {
    fallbackUntil = now + Self.fallbackMemory
    if state != .ended { waitUntil(now) }
  }

  /// The attempt ran into its step's limit and is torn down. Silence about the upgrade is a refusal too: something between may swallow
  /// what it does not know.
  public mutating func abandoned(_ step: ConnectStep, at now: Instant) {
    guard state != .ended else { return }
    if isDoubted { return waitUntil(now) }
    if step == .upgrade && !usesWebSocket { return rawUpgradeRefused(at: now) }
    if usesWebSocket { forgetFallback() }
    attemptFailed(at: now)
  }

  /// The WebSocket did not work either: the refusal was not the middle's doing.
  public mutating func forgetFallback() { fallbackUntil = .zero }

  public mutating func succeeded() {
    guard state != .ended else { return }
    state = .online
  }

  /// - Parameter retryAfter: the relay's own wish.
  public mutating func attemptFailed(retryAfter: Duration? = nil, at now: Instant) {
    guard state != .ended else { return }
    guard let retryAfter else { return waitUntil(now + delay(at: now)) }
    waitUntil(now + min(max(retryAfter, .zero), Self.longestRetryAfter))
    isToldToWait = true
  }

  /// The lane is lost: an outage begins, and the first attempt is due at once, unless another one was lost within `flapLimit`.
  public mutating func lost(at now: Instant) {
    guard state != .ended else { return }
    let isFlapping = lastLoss.map { now < $0 + Self.flapLimit } ?? false
    lastLoss = now
    outageStart = now
    waitUntil(isFlapping ? now + delay(at: now) : now)
  }

  /// An interface or route changed: whoever waits tries now, unless the relay itself asked to wait. An attempt under way may hang on an
  /// address that is gone: it must come on within `doubtLimit`
  /// (with a session on it, its heartbeat decides: registering may take the relay a while).
  public mutating func networkChanged(at now: Instant) {
    switch state {
    case .waiting(let until) where until > now && !isToldToWait: waitUntil(now)
    case .connecting(let step, let deadline) where step != .tunnels && deadline > now + Self.doubtLimit:
      isDoubted = true
      state = .connecting(step, deadline: now + Self.doubtLimit)
    default: break
    }
  }

  private mutating func waitUntil(_ instant: Instant) {
    isToldToWait = false
    state = .waiting(until: instant)
  }

  public mutating func end() { state = .ended }

  private mutating func delay(at now: Instant) -> Duration {
    let outage = now - outageStart
    let quick = Double.random(in: Self.quickDelay, using: &random)
    if outage <= Self.quickPhase { return .nanoseconds(Int64(quick * 1e9)) }
    // Beyond a minute: the wait grows with the outage, a quarter of what it lasted beyond, jittered by half.
    let beyond = (outage - Self.quickPhase).inSeconds
    let wait = min(Self.longestDelay, 1 + beyond / 4)
    return .nanoseconds(Int64(wait * Double.random(in: 0.75...1, using: &random) * 1e9))
  }
}
