internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore
internal import CausewayWire

/// Who wants to know what passes through: the panel, JSON lines. Strings are made only when somebody is there.
public protocol OriginObserver: AnyObject {
  /// An answer is complete or broken off.
  func requestFinished(tunnel: LocalTunnel, method: String, target: String, status: Int, duration: Duration)
  /// So many requests were not told, to keep to the limit.
  func requestsSkipped(_ count: Int)
}

extension OriginContext {
  /// Whether this request is told: at most `requestsPerSecond` begun in one second are. Under load a line for each would cost more than
  /// the request, and nobody could read them.
  func tellsRequest() -> Bool {
    guard let observer else { return false }
    if loop.now >= tellingUntil {
      if skippedRequests > 0 { observer.requestsSkipped(skippedRequests) }
      (toldRequests, skippedRequests, tellingUntil) = (0, 0, loop.now + .seconds(1))
    }
    if toldRequests < requestsPerSecond {
      toldRequests += 1
      return true
    }
    skippedRequests += 1
    return false
  }
}

/// Who wants to know whether a local service is there. Costs nothing while nothing changes.
public protocol OriginAvailabilityObserver: AnyObject {
  /// The local service can't be reached (`up` false) or can again.
  func originChanged(tunnel: LocalTunnel, isUp: Bool, reason: String)
}

/// What all origin streams of a client share on its loop: scratch buffers, parsers, spent stream objects, limits.
final class OriginContext {
  /// How long a service may take for its head after the whole request was sent: long polling must work.
  static let answerLimit = Duration.seconds(300)
  /// How long a connection to the service may take.
  static let connectLimit = Duration.seconds(5)
  /// A service that answered less than this ago is restarting rather than down: connecting is retried for so long.
  static let restartPatience = Duration.seconds(2)
  /// Spent stream objects kept for reuse.
  static let spareLimit = 256
  private static let sweepInterval = Duration.seconds(1)

  let loop: EventLoop
  let driver: SessionDriver
  let pool: ChunkPool
  weak var observer: (any OriginObserver)?
  weak var availability: (any OriginAvailabilityObserver)?

  // Scratch: used within one call, empty between calls.
  let request = ByteBuffer()
  let answer = ByteBuffer()
  let records = ByteBuffer()
  let head = ResponseHead()

  private var spare: [OriginHTTPStream] = []
  private var active: [ObjectIdentifier: OriginHTTPStream] = [:]
  private var sweep: LoopTimer?

  private var tunnelsByNumber: [UInt16: LocalTunnel] = [:]
  private var verifyingTLS: TLSContext?
  private var trustingTLS: TLSContext?

  fileprivate let requestsPerSecond: Int
  fileprivate var toldRequests = 0
  fileprivate var skippedRequests = 0
  fileprivate var tellingUntil = Instant.zero

  /// - Parameter requestsPerSecond: how many requests `observer` hears of in a second.
  init(driver: SessionDriver, pool: ChunkPool, observer: (any OriginObserver)?, requestsPerSecond: Int = .max) {
    self.requestsPerSecond = requestsPerSecond
    self.driver = driver
    self.pool = pool
    self.observer = observer
    loop = driver.loop
    sweep = LoopTimer(loop) { [unowned self] now in self.sweepTimedOut(now) }
  }

  // MARK: Tunnels

  func tunnels(_ number: UInt16) -> LocalTunnel? { tunnelsByNumber[number] }

  /// The relay's numbers for our tunnels; set anew with each session.
  func setTunnels(_ tunnels: [UInt16: LocalTunnel]) { tunnelsByNumber = tunnels }

  func tlsContext(verifying: Bool) throws(TLSError) -> TLSContext {
    if let made = verifying ? verifyingTLS : trustingTLS { return made }
    let made = try TLSContext(clientTrusting: verifying ? .systemStore : .insecure)
    if verifying { verifyingTLS = made } else { trustingTLS = made }
    return made
  }

  func originIsUp(_ tunnel: LocalTunnel) {
    tunnel.lastSuccess = loop.now
    guard tunnel.isDown else { return }
    tunnel.isDown = false
    availability?.originChanged(tunnel: tunnel, isUp: true, reason: "")
  }

  func originIsDown(_ tunnel: LocalTunnel, _ reason: String) {
    guard !tunnel.isDown else { return }
    tunnel.isDown = true
    availability?.originChanged(tunnel: tunnel, isUp: false, reason: reason)
  }

  // MARK: Streams

  /// What handles a stream that the relay opened: its first record tells which kind it is.
  func handler(for id: StreamID) -> any StreamHandler { takeStream(id) }

  private func takeStream(_ id: StreamID) -> OriginHTTPStream {
    let stream = spare.popLast() ?? OriginHTTPStream(self)
    stream.begin(id)
    return stream
  }

  func give(_ stream: OriginHTTPStream) {
    if spare.count < Self.spareLimit { spare.append(stream) }
  }

  /// The session is over: nothing is kept for reuse.
  func end() {
    spare.removeAll()
    active.removeAll()
    sweep?.cancel()
  }

  /// Watches a stream that waits for its answer's head.
  func watch(_ stream: OriginHTTPStream) {
    active[ObjectIdentifier(stream)] = stream
    if sweep?.deadline == nil { sweep?.set(after: Self.sweepInterval) }
  }

  func unwatch(_ stream: OriginHTTPStream) { active[ObjectIdentifier(stream)] = nil }

  private func sweepTimedOut(_ now: Instant) {
    for stream in Array(active.values) { stream.checkDeadline(now) }
    if !active.isEmpty { sweep?.set(after: Self.sweepInterval) }
  }
}
