public import CausewayBase
internal import CausewayLanes
public import CausewayLinuxIO
public import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayWire

/// The time-outs and bounds of the relay's public side, by name.
public struct IngressLimits: Sendable {
  /// From accept (and through a TLS handshake) to the first byte of a request.
  public var firstByte = Duration.seconds(30)
  /// From the first byte of a head to its end.
  public var head = Duration.seconds(10)
  /// Between requests.
  public var keepAliveIdle = Duration.seconds(75)
  /// A visitor that takes nothing of what waits for it.
  public var sendProgress = Duration.seconds(60)
  /// A request waits so long for a detached session.
  public var routeWait = Duration.seconds(5)
  /// A visitor that ended its direction gets an answer if something of it comes within so long; else it is taken for gone.
  public var finishedVisitor = Duration.seconds(3)
  /// Lingering close (RFC 9112 §9.6): in all, and without a byte.
  public var lingerTotal = Duration.seconds(30)
  public var lingerIdle = Duration.seconds(5)
  public var lingerByteCount = 64 * 1024 * 1024
  /// The rest of an unwanted body that is read to keep a connection.
  public var discardableBody: UInt64 = 64 * 1024
  /// Visitors' connections of one loop.
  public var connections = 16384
  /// The same from one address; loopback and trusted proxies are exempt.
  public var connectionsPerAddress = 512
  /// Bytes not yet sent that a visitor's socket may hold (TCP_NOTSENT_LOWAT).
  public var notSentLowWater = 256 * 1024

  public init() {}
}

/// Totals of one loop since its start. Read them on the loop.
public struct IngressCounters: Equatable, Sendable {
  public var connectionsAccepted: UInt64 = 0
  public var requests: UInt64 = 0
  public var webSockets: UInt64 = 0
  public var tcpConnections: UInt64 = 0
  /// Answers of our own, by whose fault they were.
  public var refusedRequests: UInt64 = 0
  public var bytesToVisitors: UInt64 = 0
  public var bytesFromVisitors: UInt64 = 0
  public var truncatedAnswers: UInt64 = 0
  public var timeouts: UInt64 = 0
  public var refusedConnections: UInt64 = 0
  public var lanes: UInt64 = 0
}

/// Something with a visitor's socket, owned by `Ingress`.
protocol IngressMember: AnyObject {
  var slot: Int { get set }
  var visitor: Visitor { get }
  /// Raw bytes both ways; not in `IngressCounters` before its end.
  var pipe: RawPipe? { get }
  /// Something of it has not reached the kernel yet, or its client.
  var isBusy: Bool { get }
  /// Closes at once.
  func shutDown()
  /// Closes as soon as no request is under way.
  func drain()
}

/// What all visitors' connections of one loop share: routes, rules, limits, counters, and scratch memory, so that an idle connection holds none.
///
/// Owns the connections. Everything here runs on the loop's thread.
public final class Ingress {
  public let loop: EventLoop
  public let routes: RouteTable
  public let policy: IngressPolicy
  public let limits: IngressLimits
  public let pool: ChunkPool
  /// Takes the lanes that clients ask for; without one they get 404.
  public weak var controlPath: (any ControlPath)?
  public internal(set) var counters = IngressCounters()
  /// Connections are closed after the present answer.
  public private(set) var isDraining = false

  /// What is shown to the world; the loop's own totals are `counters`.
  var metrics: RelayMetrics?

  // Scratch memory, empty between uses. Nothing that is called while one is in use reaches another connection.
  let input = ByteBuffer()
  let record = ByteBuffer()
  let output = ByteBuffer()
  let text = ByteBuffer()
  let head = RequestHead()

  private var members: [(any IngressMember)?] = []
  private var freeSlots: [Int] = []
  var gate: ConnectionGate
  var guesses = GuessLimiter()

  public init(loop: EventLoop, routes: RouteTable, policy: IngressPolicy, limits: IngressLimits = IngressLimits(), pool: ChunkPool) {
    self.loop = loop
    self.routes = routes
    self.policy = policy
    self.limits = limits
    self.pool = pool
    gate = ConnectionGate(limit: limits.connections, limitPerAddress: limits.connectionsPerAddress)
  }

  public var connectionCount: Int { gate.count }

  /// Takes over a visitor's connection that speaks HTTP; TLS, if any, has been started.
  public func accept(_ stream: TCPStream, _ visitor: Visitor) {
    guard admit(stream, visitor, speaksHTTP: true) else { return }
    add(VisitorConnection(stream, visitor, self))
  }

  /// Takes over a connection at a public TCP port.
  public func acceptTCP(_ stream: TCPStream, _ visitor: Visitor, port: UInt16, route: Route) {
    guard admit(stream, visitor, speaksHTTP: false) else { return }
    let connection = TCPVisitor(stream, visitor, port: port, route: route, self)
    add(connection)
    connection.begin(route)
  }

  /// No new requests on open connections: idle ones close now, others after their answer. WebSockets and TCP go on.
  public func beginDraining() {
    isDraining = true
    for member in members { member?.drain() }
  }

  /// `counters` with what open pipes have carried so far. Walks over all connections: for a scrape.
  public var countersNow: IngressCounters {
    var now = counters
    for member in members {
      guard let pipe = member?.pipe else { continue }
      now.bytesToVisitors &+= pipe.bytesToSocket
      now.bytesFromVisitors &+= pipe.bytesFromSocket
    }
    return now
  }

  /// Whether any connection has something under way. Walks over all.
  public var isBusy: Bool { members.contains { $0?.isBusy == true } }

  /// Closes every connection.
  public func closeAll() {
    isDraining = true
    for member in members { member?.shutDown() }
  }

  private func admit(_ stream: TCPStream, _ visitor: Visitor, speaksHTTP: Bool) -> Bool {
    // TCP_NODELAY comes from the listener.
    stream.setNotSentLowWater(limits.notSentLowWater)
    // Of what waits in user space we know how long; for what the kernel holds (a small window's worth) it must watch itself.
    if speaksHTTP { stream.setUserTimeout(limits.sendProgress) }
    counters.connectionsAccepted &+= 1
    let isExempt = visitor.isTrustedProxy || visitor.ip.map(Self.isLoopback) ?? true
    let admission = gate.enter(visitor.ip, isExempt: isExempt)
    if admission == .admitted { return true }
    counters.refusedConnections &+= 1
    if speaksHTTP && stream.tls == nil {
      output.removeAll()
      RefusalPage.append(
        admission == .tooManyInAll ? .overloaded : .tooManyFromAddress, .plain, to: RequestFacts(), keepsAlive: false,
        at: WallTime.current.seconds, scratch: text, into: output)
      let output = self.output
      _ = stream.write(output.bytes)
      output.removeAll()
    }
    stream.close()
    return false
  }

  static func isLoopback(_ address: IPAddress) -> Bool {
    let address = address.unmapped
    return address.family == .v4 ? address.low >> 24 == 127 : address.high == 0 && address.low == 1
  }

  private func add(_ member: any IngressMember) {
    metrics?.visitors.add()
    if let slot = freeSlots.popLast() {
      member.slot = slot
      members[slot] = member
    } else {
      member.slot = members.count
      members.append(member)
    }
  }

  /// The member is over. Again does nothing.
  func remove(_ member: any IngressMember) {
    guard member.slot >= 0 else { return }
    gate.leave(member.visitor.ip)
    metrics?.visitors.subtract()
    let slot = member.slot
    member.slot = -1
    freeSlots.append(slot)
    let last = members[slot]
    members[slot] = nil
    // Its deinit must not run inside the write to `members`.
    withExtendedLifetime(last) {}
  }
}
