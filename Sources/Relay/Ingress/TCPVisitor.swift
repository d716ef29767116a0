internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore

/// A connection at a public TCP port: raw both ways, each direction with its own end, a reset on one side a reset on the other.
final class TCPVisitor: RawPipeOwner, IngressMember, RouteWaiter {
  let visitor: Visitor
  var slot = -1
  private let ingress: Ingress
  private let stream: TCPStream
  private let port: UInt16
  private let name: String
  private var driver: SessionDriver?
  private(set) var pipe: RawPipe?
  /// Runs while the session is away: `IngressLimits.routeWait`.
  private var patience: LoopTimer?

  init(_ stream: TCPStream, _ visitor: Visitor, port: UInt16, route: Route, _ ingress: Ingress) {
    self.stream = stream
    self.visitor = visitor
    self.port = port
    self.ingress = ingress
    name = route.name
  }

  /// Opens a stream of the route's session, or waits for that session to come back. Nothing is read meanwhile.
  func begin(_ route: Route) {
    if route.driver.isAttached { return open(route) }
    guard ingress.routes.wait(self, for: name) else { return shutDown() }
    let timer = LoopTimer(ingress.loop) { [unowned self] _ in
      ingress.counters.timeouts &+= 1
      shutDown()
    }
    timer.set(after: ingress.limits.routeWait)
    patience = timer
  }

  func routeMayHaveChanged() {
    guard patience != nil else { return }
    switch ingress.routes.lookUp(name) {
    case .ready(let route): open(route)
    case .waiting: if !ingress.routes.wait(self, for: name) { shutDown() }
    case .offline, .unknown: shutDown()
    }
  }

  private func open(_ route: Route) {
    stopWaiting()
    let record = ingress.record
    record.removeAll()
    let address = String(decoding: visitor.address, as: UTF8.self)
    HeadRecordWriter.appendTCP(
      tunnel: route.tunnel, visitor: address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)", to: record)
    guard let id = route.driver.open(record.bytes, Nobody.shared) else { return shutDown() }
    driver = route.driver
    stream.setKeepAlive(idle: .seconds(75))
    ingress.counters.tcpConnections &+= 1
    ingress.metrics?.streams.add()
    pipe = RawPipe(route.driver, id, stream, pool: ingress.pool, owner: self, brokenCode: .cancelled)
  }

  private func stopWaiting() {
    guard let timer = patience else { return }
    timer.cancel()
    patience = nil
    ingress.routes.stopWaiting(self, for: name)
  }

  func pipeEnded(_ pipe: RawPipe) {
    ingress.counters.bytesToVisitors &+= pipe.bytesToSocket
    ingress.counters.bytesFromVisitors &+= pipe.bytesFromSocket
    self.pipe = nil
    ingress.remove(self)
  }

  func shutDown() {
    stopWaiting()
    if let pipe { driver?.reset(pipe.id, .cancelled) }
    stream.abort()
    pipe = nil
    ingress.remove(self)
  }

  var isBusy: Bool { true }

  func drain() {}
}

/// Stands behind a stream for the moment between its opening and its pipe.
private final class Nobody: StreamHandler, Sendable {
  static let shared = Nobody()
  func streamReceived(_ bytes: Span<UInt8>) {}
  func streamEnded() {}
  func streamReset(_ code: ResetCode) {}
  func streamWritable() {}
}
