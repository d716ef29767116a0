public import CausewayBase

/// The timers of one peer (§6): when to send a keepalive, when to ask for new keys, when to forget old ones. Fed with what happened,
/// asked for what is due. Repetition of initiations is the `Handshaker`'s.
public struct SessionTimers {
  /// What is due; each may be done in any order.
  public struct Due: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// An empty transport message. Without usable keys: a handshake instead.
    public static let sendKeepalive = Due(rawValue: 1)
    public static let initiateHandshake = Due(rawValue: 2)
    /// Nothing came back: the source address that we stick to may be gone.
    public static let forgetSourceAddress = Due(rawValue: 4)
    /// Let go of all sessions and attempts.
    public static let eraseKeys = Due(rawValue: 8)
  }

  /// Found since the last `take`.
  public private(set) var due: Due = []
  /// nil: none.
  public var persistentKeepalive: Duration? {
    didSet { persistentNanoseconds = Self.nanoseconds(persistentKeepalive) }
  }

  private var newHandshakeAt = Instant.distantFuture
  private var keepaliveAt = Instant.distantFuture
  private var needsAnotherKeepalive = false
  private var persistentAt = Instant.distantFuture
  /// 0: none. Packets add nanoseconds: a `Duration` costs a division.
  private var persistentNanoseconds: UInt64
  private var eraseAt = Instant.distantFuture
  /// Of the current session, `distantFuture` for a responder.
  private var rekeySendingAt = Instant.distantFuture
  private var rekeyReceivingAt = Instant.distantFuture
  private var random: SeededRandom
  private static let keepaliveNanoseconds: UInt64 = 10_000_000_000
  private static let newHandshakeNanoseconds = UInt64(WireGuardLimits.newHandshakeTimeout.wholeNanoseconds)

  /// - Parameter seed: For jitter.
  public init(persistentKeepalive: Duration? = nil, seed: UInt64) {
    self.persistentKeepalive = persistentKeepalive
    persistentNanoseconds = Self.nanoseconds(persistentKeepalive)
    random = SeededRandom(seed: seed)
  }

  /// Begins the persistent keepalive, if there is one: the first is due at once.
  public mutating func start(at now: Instant) {
    if persistentKeepalive != nil { persistentAt = now }
  }

  // MARK: What happened

  /// A handshake has given keys.
  public mutating func established(as role: HandshakeRole, at now: Instant) {
    eraseAt = now + WireGuardLimits.eraseKeysTime
    switch role {
    case .initiator:
      rekeySendingAt = now + WireGuardLimits.rekeyAfterTime
      rekeyReceivingAt = now + WireGuardLimits.rekeyAfterTimeReceiving
    case .responder:
      // Asking for the next keys is the initiator's part.
      rekeySendingAt = .distantFuture
      rekeyReceivingAt = .distantFuture
    }
    traversed(at: now)
  }

  /// The handshaker gave up: wait for data, and forget the keys in time.
  public mutating func gaveUp(at now: Instant) {
    keepaliveAt = .distantFuture
    needsAnotherKeepalive = false
    if eraseAt == .distantFuture { eraseAt = now + WireGuardLimits.eraseKeysTime }
  }

  /// A handshake message was sent: authenticated traffic too.
  public mutating func sentHandshake(at now: Instant) {
    keepaliveAt = .distantFuture
    traversed(at: now)
  }

  /// An authentic handshake message was received.
  public mutating func receivedHandshake(at now: Instant) {
    newHandshakeAt = .distantFuture
    traversed(at: now)
  }

  /// A transport message was sent.
  /// - Parameter data: False for a keepalive.
  @inline(__always) public mutating func sent(data: Bool, at now: Instant) {
    keepaliveAt = .distantFuture
    needsAnotherKeepalive = false
    if data, newHandshakeAt == .distantFuture { newHandshakeAt = now.later(Self.newHandshakeNanoseconds &+ jitterNanoseconds()) }
    if now >= rekeySendingAt {
      due.insert(.initiateHandshake)
      // The next packets ask again if this was refused or lost.
      rekeySendingAt = now + WireGuardLimits.rekeyTimeout
    }
    traversed(at: now)
  }

  /// An authentic transport message was received.
  /// - Parameter data: False for a keepalive.
  @inline(__always) public mutating func receivedAuthenticated(data: Bool, at now: Instant) {
    newHandshakeAt = .distantFuture
    if data {
      if keepaliveAt == .distantFuture {
        keepaliveAt = now.later(Self.keepaliveNanoseconds)
      } else {
        needsAnotherKeepalive = true
      }
    }
    if now >= rekeyReceivingAt {
      due.insert(.initiateHandshake)
      rekeyReceivingAt = .distantFuture  // once for each session
    }
    traversed(at: now)
  }

  // MARK: What is due

  /// When `advance` is due, or nil.
  public var nextDeadline: Instant? {
    let first = min(min(newHandshakeAt, keepaliveAt), min(persistentAt, eraseAt))
    return first == .distantFuture ? nil : first
  }

  public mutating func advance(to now: Instant) {
    if newHandshakeAt <= now {
      newHandshakeAt = .distantFuture
      due.formUnion([.initiateHandshake, .forgetSourceAddress])
    }
    if keepaliveAt <= now {
      due.insert(.sendKeepalive)
      keepaliveAt = needsAnotherKeepalive ? now + WireGuardLimits.keepaliveTimeout : .distantFuture
      needsAnotherKeepalive = false
    }
    if persistentAt <= now {
      if persistentNanoseconds != 0 { due.insert(.sendKeepalive) }
      persistentAt = persistentNanoseconds != 0 ? now.later(persistentNanoseconds) : .distantFuture
    }
    if eraseAt <= now {
      eraseAt = .distantFuture
      rekeySendingAt = .distantFuture
      rekeyReceivingAt = .distantFuture
      due.insert(.eraseKeys)
    }
  }

  /// Whether `take` has something to give: sending and receiving find it too, not only `advance`.
  @inline(__always) public var hasDue: Bool { !due.isEmpty }

  /// What was found due, once.
  public mutating func take() -> Due {
    defer { due = [] }
    return due
  }

  @inline(__always) private mutating func traversed(at now: Instant) {
    if persistentNanoseconds != 0 { persistentAt = now.later(persistentNanoseconds) }
  }

  private mutating func jitterNanoseconds() -> UInt64 { random.next() % WireGuardLimits.rekeyJitterMilliseconds &* 1_000_000 }

  private static func nanoseconds(_ duration: Duration?) -> UInt64 { duration.map { UInt64(clamping: $0.wholeNanoseconds) } ?? 0 }
}

extension Instant {
  /// For spans of less than centuries.
  @inline(__always) fileprivate func later(_ nanoseconds: UInt64) -> Instant { Instant(nanoseconds: self.nanoseconds &+ nanoseconds) }
}
