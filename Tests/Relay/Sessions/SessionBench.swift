import CausewayBase
import CausewayCrypto
import CausewayLanes
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayRelayCore
import CausewayTelemetry
import CausewayTunnel
import CausewayTunnelCore
import CausewayWire

@testable import CausewayRelay

/// The sessions' side of a relay: a store in a folder of its own, a registry, and a listener that only knows the two upgrades.
final class RelayBench {
  let loop: EventLoop
  let folder: TemporaryFolder
  let store: StoreThread
  let routes: RouteTable
  let registry: SessionRegistry
  private(set) var upgrades: [String] = []
  /// What `causeway/3` is answered with instead of a 101; empty closes the connection.
  var rawAnswer: String?
  private var listener: Listener?
  private var gates: [Gate] = []
  let address: SocketAddress

  init(_ loop: EventLoop, _ folder: TemporaryFolder = TemporaryFolder(), limits: SessionLimits = RelayBench.limits) throws {
    self.loop = loop
    self.folder = folder
    store = try StoreThread(try SQLiteStore(path: folder.path + "/relay.db"))
    routes = RouteTable(loop: loop, knownNames: [])
    var accept: ((consuming FileDescriptor) -> Void)?
    let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accept?(descriptor) }
    address = listener.address
    registry = SessionRegistry(
      loop: loop, pool: ChunkPool(), routes: routes, store: store, policy: ReservationPolicy(),
      urls: PublicURLs(scheme: "http", port: 8080, domain: "localhost", tcpBase: .loopback4(port: 0)), metrics: RelayMetrics(),
      log: .disabled,
      limits: limits)
    self.listener = listener
    accept = { [unowned self] descriptor in
      if let stream = try? TCPStream(adopting: descriptor, on: self.loop) { self.gates.append(Gate(stream, self)) }
    }
  }

  /// Times short enough for a test.
  static var limits: SessionLimits {
    var limits = SessionLimits()
    limits.pingAfterSilence = .milliseconds(100)
    limits.deadAfterSilence = .milliseconds(600)
    limits.resumeLimit = .seconds(2)
    return limits
  }

  static func makeAccount(_ folder: TemporaryFolder, _ address: String = "a@example.org") throws -> (Account, Token) {
    try SQLiteStore(path: folder.path + "/relay.db").makeAccount(address)
  }

  private final class Gate: TCPStreamOwner {
    private let stream: TCPStream
    private unowned let bench: RelayBench
    private let input = ByteBuffer()

    init(_ stream: TCPStream, _ bench: RelayBench) {
      self.stream = stream
      self.bench = bench
      stream.owner = self
      stream.continueSoon()
    }

    func streamIsReady(_ stream: TCPStream) {
      guard stream.isReadable else { return }
      if case .bytes = stream.read(into: input) {} else { return stream.close() }
      let text = String(decoding: input.array, as: UTF8.self)
      guard text.hasSuffix("\r\n\r\n") else { return }
      let nothing: [UInt8] = []
      if text.contains("Upgrade: causeway/3") {
        bench.upgrades.append("raw")
        if let answer = bench.rawAnswer {
          let bytes = Array(answer.utf8)
          _ = stream.write(bytes.span)
          return stream.close()
        }
        bench.registry.acceptLane(stream, from: "test", upgrade: .raw, received: nothing.span)
      } else {
        bench.upgrades.append("webSocket")
        let key = text.split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Key: ") }!.dropFirst(19)
        bench.registry.acceptLane(stream, from: "test", upgrade: .webSocket(key: Array(key.utf8)), received: nothing.span)
      }
    }
  }

  func close() {
    listener?.close()
    listener = nil
    registry.endAll("the test is over")
    gates = []
  }
}

/// A proxy between client and relay that can be cut and frozen.
final class CuttableProxy {
  private var links: [(PlainPeer, PlainPeer)] = []
  private var listener: Listener?
  let address: SocketAddress
  var target: SocketAddress
  var isOpen = true
  private(set) var connections = 0

  init(_ loop: EventLoop, to target: SocketAddress) throws {
    self.target = target
    var accept: ((TCPStream) -> Void)?
    let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in
      if let stream = try? TCPStream(adopting: descriptor, on: loop) { accept?(stream) }
    }
    address = listener.address
    self.listener = listener
    accept = { [unowned self] near in
      guard self.isOpen else { return near.abort() }
      self.connections += 1
      Connector(on: loop).connect(to: self.target, deadline: loop.now + .seconds(5)) { outcome in
        switch consume outcome {
        case .success(let descriptor):
          guard let far = try? TCPStream(adopting: descriptor, on: loop) else { return near.close() }
          self.join(PlainPeer(near), PlainPeer(far))
        case .failure: near.abort()
        }
      }
    }
  }

  private func join(_ near: PlainPeer, _ far: PlainPeer) {
    near.onData = { [unowned far] in
      far.send($0.received)
      $0.clear()
    }
    far.onData = { [unowned near] in
      near.send($0.received)
      $0.clear()
    }
    near.onEnd = { [unowned far] in far.stream.close() }
    far.onEnd = { [unowned near] in near.stream.close() }
    near.onData?(near)
    far.onData?(far)
    links.append((near, far))
  }

  /// RST on both sides of every connection.
  func cut() {
    for (near, far) in links {
      near.stream.abort()
      far.stream.abort()
    }
    links = []
  }

  /// Nothing passes, nothing is closed.
  func freeze() {
    for (near, far) in links {
      near.reads = false
      far.reads = false
    }
  }

  func close() {
    cut()
    listener?.close()
    listener = nil
  }
}

/// A client with one HTTP tunnel, and what it told.
final class ClientBench: TunnelClientObserver {
  private(set) var client: TunnelClient!
  var events: [String] = []
  var ready: String?
  var failure: TunnelEvent.Failure?
  let wantsRequests = false
  let requestsPerSecond = 0

  init(
    _ loop: EventLoop, server: SocketAddress, token: String, subdomain: String? = "shop", origin: UInt16 = 1,
    limits: SessionLimits = RelayBench.limits
  ) throws {
    var tunnel = TunnelSpecification(name: "t", isHTTP: true, target: OriginTarget(address: .hostPort("127.0.0.1", origin)))
    tunnel.subdomain = subdomain
    let text = Array(token.utf8)
    var configuration = TunnelClientConfiguration(
      server: try ServerURL(parsing: "http://127.0.0.1:\(server.port)"), token: SecretKey(copying: text.span), tunnels: [tunnel], seed: 1)
    configuration.limits = limits
    client = TunnelClient(configuration, on: loop, observer: self)
    client.start()
  }

  func client(_ client: TunnelClient, event: TunnelEvent) {
    switch event {
    case .ready(let endpoints):
      ready = endpoints[0].url
      events.append("ready")
    case .reconnecting: events.append("reconnecting")
    case .resumed: events.append("resumed")
    case .restarted: events.append("restarted")
    case .urlChanged: events.append("url changed")
    case .failed(let failure):
      self.failure = failure
      events.append("failed")
    default: break
    }
  }

  func stop() { client.stop {} }
}

/// A visitor's side of a stream: the answer's body.
final class Download: StreamHandler {
  private unowned let driver: SessionDriver
  private var parser = RecordParser()
  private(set) var body: [UInt8] = []
  private(set) var ended = false
  private(set) var reset: ResetCode?
  private var id: StreamID = 0

  init?(_ driver: SessionDriver, tunnel: UInt16) {
    self.driver = driver
    let record = ByteBuffer()
    let (method, target, host) = (Array("GET".utf8), Array("/".utf8), Array("h".utf8))
    HeadRecordWriter(request: .http, tunnel: tunnel, method: method.span, target: target.span, host: host.span, body: .none, to: record)
      .finish()
    HeadRecordWriter(trailersTo: record).finish()
    guard let id = driver.open(record.bytes, self) else { return nil }
    self.id = id
    driver.finish(id)
  }

  func streamReceived(_ bytes: Span<UInt8>) {
    var offset = 0
    while let event = try? parser.next(bytes, &offset) {
      if case .data(let range) = event { body += bytes.array(in: range) }
    }
    driver.drained(id, upTo: driver.session.receivedByteCount(id), acknowledged: driver.session.receivedByteCount(id), pathRoundTrip: 0)
  }
  func streamEnded() { ended = true }
  func streamReset(_ code: ResetCode) { reset = code }
  func streamWritable() {}
}
