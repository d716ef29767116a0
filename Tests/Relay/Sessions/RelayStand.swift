// A relay's sessions behind a real listener and store, on a test's loop, and clients that speak the wire by hand.
import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayRelayCore
import CausewayTelemetry
import CausewayTunnelCore
import CausewayWire
import Synchronization
import Testing

@testable import CausewayRelay

final class RelayStand {
  let loop: EventLoop
  let registry: SessionRegistry
  let ingress: Ingress
  let routes: RouteTable
  let metrics = RelayMetrics()
  let log = RecordedLog()
  let token: Token
  private let store: StoreThread
  private let listener: IngressListener
  private let folder = TemporaryFolder()

  init(on loop: EventLoop, ports: ClosedRange<UInt16> = 24000...24999, limits: IngressLimits = IngressLimits()) throws {
    self.loop = loop
    let data = folder.data
    try data.prepare()
    let lock = try data.lock()
    let database = try data.openStore(lock)
    (_, token) = try database.makeAccount("someone@example.org")
    store = try StoreThread(database)
    let pool = ChunkPool()
    routes = RouteTable(loop: loop, knownNames: [])
    var policy = ReservationPolicy()
    policy.ports = ports
    ingress = Ingress(
      loop: loop, routes: routes, policy: IngressPolicy(domain: "tunnels.test", publicHost: nil, pseudonym: "relay-1"), limits: limits,
      pool: pool)
    ingress.metrics = metrics
    listener = try IngressListener(.loopback4(port: 0), .http, ingress)
    registry = SessionRegistry(
      loop: loop, pool: pool, routes: routes, store: store, policy: policy,
      urls: PublicURLs(scheme: "http", port: listener.address.port, domain: "tunnels.test", tcpBase: listener.address), metrics: metrics,
      log: Logger(level: .debug, scope: "relay", sink: log))
    ingress.controlPath = registry
    registry.acceptTCP = { [unowned ingress] descriptor, address, route in ingress.acceptTCP(descriptor, address, route) }
  }

  var address: SocketAddress { listener.address }

  func connect() async throws -> PlainPeer {
    PlainPeer(try TCPStream(adopting: try await Connector(on: loop).connect(to: [address], timeout: .seconds(10)), on: loop))
  }

  /// A client whose session stands on a raw lane.
  func client() async throws -> SpokenClient {
    let client = SpokenClient(try await connect(), loop)
    try await client.open()
    try await client.logIn(token.text)
    _ = try await client.ask(.start)
    return client
  }

  func close() {
    registry.endAll("the test is over")
    listener.close()
    ingress.closeAll()
    store.stop()
  }
}

struct StandError: Error { var text: String }

final class RecordedLog: LogSink {
  private let records = Mutex<[LogRecord]>([])
  func write(_ record: LogRecord) { records.withLock { $0.append(record) } }
  func all(_ level: LogLevel) -> [LogRecord] { records.withLock { $0.filter { $0.level == level } } }
}

/// Control messages over a raw lane; other frames are skipped.
final class SpokenClient {
  let peer: PlainPeer
  private let loop: EventLoop
  private(set) var nonce: [UInt8] = []
  private(set) var head = ""
  private var used = 0

  init(_ peer: PlainPeer, _ loop: EventLoop) {
    self.peer = peer
    self.loop = loop
  }

  /// Up to the end of the relay's head.
  func open() async throws {
    peer.send("GET /api/v1/ws/tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: causeway/3\r\n\r\n")
    var end: Int?
    _ = await loop.until {
      end = peer.text.firstRange(of: "\r\n\r\n").map { peer.text.utf8.distance(from: peer.text.startIndex, to: $0.upperBound) }
      return end != nil
    }
    guard let end else { throw StandError(text: "no head: \(peer.text)") }
    head = String(peer.text.utf8.prefix(end)) ?? ""
    used = end
  }

  func say(_ message: ControlMessage) {
    let map = ByteBuffer()
    message.encode(to: map)
    let frame = ByteBuffer()
    FrameHeader.appendControl(map.bytes, to: frame)
    peer.send(frame.array)
  }

  func logIn(_ token: String) async throws {
    guard case .accepted(_, let nonce)? = try await ask(.authenticate(token: token, version: 3)) else { throw StandError(text: "no login") }
    self.nonce = nonce
  }

  func ask(_ message: ControlMessage) async throws -> ControlMessage? {
    say(message)
    return try await hear()
  }

  /// The next control message; nil at the connection's end.
  func hear() async throws -> ControlMessage? {
    while true {
      if let frame = next() {
        if frame.kind == FrameHeader.Kind.control.rawValue { return try ControlMessage(frame.payload.span) }
        continue
      }
      if peer.sawEnd || peer.sawReset { return nil }
      let count = peer.received.count
      guard await loop.until(.seconds(10), { peer.received.count > count || peer.sawEnd || peer.sawReset }) else {
        throw StandError(text: "silence")
      }
    }
  }

  private func next() -> (kind: UInt8, payload: [UInt8])? {
    let bytes = peer.received
    guard bytes.count - used >= FrameHeader.byteCount else { return nil }
    let end = used + FrameHeader.byteCount + Int(bytes[used + 2]) << 8 + Int(bytes[used + 3])
    guard bytes.count >= end else { return nil }
    defer { used = end }
    return (bytes[used], Array(bytes[(used + FrameHeader.byteCount)..<end]))
  }

  func create(_ request: Int, _ name: String? = nil, isHTTP: Bool = true) async throws -> ControlMessage? {
    try await ask(.create(TunnelRequest(request: request, isHTTP: isHTTP, subdomain: name)))
  }
}
