// A relay's ingress on a loop thread, one tunnel `demo` whose client end is a fake, and blocking sockets that play visitors.
import CausewayBase
import CausewayLanes
import CausewayLinuxIO
import CausewayRelayCore
import CausewayTunnelCore
import Glibc
import Testing

@testable import CausewayRelay

// @unchecked Sendable: everything but `port` is touched on the loop's thread only, by way of `sync`.
final class IngressFixture: @unchecked Sendable {
  let thread: EventLoopThread
  private(set) var port: UInt16 = 0
  private(set) var tcpPort: UInt16 = 0
  private var parts: Parts?

  final class Parts {
    let routes: RouteTable
    let ingress: Ingress
    let relay: SessionDriver
    let client: SessionDriver
    let origin: FakeClient
    let route: Route
    var listeners: [IngressListener] = []
    let owner = RelayOwner()
    let control = FakeControlPath()

    init(_ loop: EventLoop, _ limits: IngressLimits, basicAuth: BasicAuthVerifier?) throws {
      let pool = ChunkPool()
      routes = RouteTable(loop: loop, knownNames: ["demo", "offline"])
      ingress = Ingress(
        loop: loop, routes: routes, policy: IngressPolicy(domain: "tunnels.test", publicHost: nil, pseudonym: "relay-1"), limits: limits,
        pool: pool)
      relay = SessionDriver(role: .relay, pool: pool, loop: loop)
      client = SessionDriver(role: .client, pool: pool, loop: loop)
      origin = FakeClient(client)
      relay.owner = owner
      client.owner = origin
      route = Route(name: "demo", tunnel: 7, driver: relay, basicAuth: basicAuth)
      routes.install(route)
      ingress.controlPath = control
    }

    func attach(_ loop: EventLoop, resumed: Bool) throws {
      let (a, b) = unixPair()
      relay.attach(Lane(try TCPStream(adopting: FileDescriptor(adopting: a), on: loop), received: Span(), framing: nil), resumed: resumed)
      client.attach(Lane(try TCPStream(adopting: FileDescriptor(adopting: b), on: loop), received: Span(), framing: nil), resumed: resumed)
    }
  }

  init(limits: IngressLimits = IngressLimits(), basicAuth: BasicAuthVerifier? = nil, attached: Bool = true) throws {
    thread = try EventLoopThread(name: "ingress test")
    let loop = thread.loop
    let auth = UncheckedBox(basicAuth)
    let error: String? = thread.sync {
      do {
        let parts = try Parts(loop, limits, basicAuth: auth.value)
        if attached { try parts.attach(loop, resumed: false) }
        let http = try IngressListener(.loopback4(port: 0), .http, parts.ingress)
        let route = parts.route
        let tcp = try IngressListener(.loopback4(port: 0), .tcp(route: { route }), parts.ingress)
        parts.listeners = [http, tcp]
        self.port = http.address.port
        self.tcpPort = tcp.address.port
        self.parts = parts
        return nil
      } catch { return "\(error)" }
    }
    if let error { throw FixtureError(text: error) }
  }

  deinit {
    let box = UncheckedBox(parts)
    parts = nil  // what belongs to the loop dies there
    thread.loop.post {
      box.value?.ingress.closeAll()
      for listener in box.value?.listeners ?? [] { listener.close() }
      box.value?.relay.detach()
      box.value?.client.detach()
      box.value = nil
    }
    thread.stop()
  }

  func on<R: Sendable>(_ body: @escaping @Sendable (Parts) -> R) -> R {
    let box = UncheckedBox(parts!)
    return thread.sync { body(box.value) }
  }

  /// Asks until it holds, at most 10 s.
  func eventually(_ condition: @escaping @Sendable (Parts) -> Bool) -> Bool {
    for _ in 0..<2000 {
      if on(condition) { return true }
      usleep(5000)
    }
    return false
  }

  func connect(tcp: Bool = false) -> VisitorClient { VisitorClient(port: tcp ? tcpPort : port) }

  /// One request on a connection of its own, everything that comes back.
  func exchange(_ request: String) -> String {
    let visitor = connect()
    visitor.send(request)
    return visitor.receiveAll().text
  }
}

struct FixtureError: Error { var text: String }

final class UncheckedBox<T>: @unchecked Sendable {
  var value: T
  init(_ value: T) { self.value = value }
}

final class RelayOwner: SessionDriverOwner {
  func sessionOpened(_ stream: StreamID) -> any StreamHandler { fatalError("a relay's streams are its own") }
  func sessionReceivedControl(_ message: Span<UInt8>) {}
  func sessionLostLane(_ reason: String) {}
  func sessionSynchronized() {}
}

final class FakeControlPath: ControlPath {
  var lanes: [(isRaw: Bool, received: String, stream: TCPStream)] = []
  func acceptLane(_ stream: TCPStream, from peer: String, upgrade: LaneUpgrade, received: Span<UInt8>) {
    let isRaw = if case .raw = upgrade { true } else { false }
    var text: [UInt8] = []
    for index in received.indices { text.append(received[index]) }
    lanes.append((isRaw, String(decoding: text, as: UTF8.self), stream))
  }
}

func unixPair() -> (CInt, CInt) {
  var pair: [CInt] = [0, 0]
  let result = unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
  precondition(result == 0)
  return (pair[0], pair[1])
}

/// A blocking TCP client; every call gives up after 10 s.
final class VisitorClient {
  private let socket: CInt

  init(port: UInt16) {
    socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    unsafe setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    precondition(result == 0, "cannot connect")
  }

  deinit { _ = Glibc.close(socket) }

  /// - Returns: whether all of it was taken.
  @discardableResult func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  @discardableResult func send(_ bytes: [UInt8]) -> Bool {
    var offset = 0
    while offset < bytes.count {
      let result = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(socket, $0.baseAddress! + offset, bytes.count - offset, CInt(MSG_NOSIGNAL))
      }
      if result <= 0 { return false }
      offset += result
    }
    return true
  }

  func finish() { _ = shutdown(socket, CInt(SHUT_WR)) }

  enum End { case finished, reset, timeout }

  /// Up to `count` bytes in one read; empty at the end.
  func receiveSome(_ count: Int = 65536) -> [UInt8] {
    var space = [UInt8](repeating: 0, count: count)
    let result = unsafe recv(socket, &space, count, 0)
    return Array(space.prefix(max(0, result)))
  }

  func receiveAll() -> (text: String, end: End) {
    let (bytes, end) = receiveAllBytes()
    return (String(decoding: bytes, as: UTF8.self).withoutDate, end)
  }

  func receiveAllBytes() -> (bytes: [UInt8], end: End) {
    var all: [UInt8] = []
    var space = [UInt8](repeating: 0, count: 65536)
    while true {
      let result = unsafe recv(socket, &space, space.count, 0)
      if result > 0 {
        all += space.prefix(result)
      } else {
        return (all, result == 0 ? .finished : errno == ECONNRESET ? .reset : .timeout)
      }
    }
  }

  /// Reads until `mark` has come (and maybe more). Without Date fields, as `receiveAll`.
  func receive(until mark: String) -> String {
    var all: [UInt8] = []
    let end = Array(mark.utf8)
    while true {
      if all.count >= end.count, all.suffix(end.count).elementsEqual(end) || String(decoding: all, as: UTF8.self).contains(mark) { break }
      let some = receiveSome()
      if some.isEmpty { break }
      all += some
    }
    return String(decoding: all, as: UTF8.self).withoutDate
  }
}

extension String {
  /// Without what the relay adds to heads that lack it, and that no test can know.
  var withoutDate: String { replacing(/Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n/, with: "") }
}
