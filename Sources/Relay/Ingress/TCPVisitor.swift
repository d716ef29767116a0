internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTelemetry
internal import CausewayTunnelCore

/// A connection at a public TCP port: raw both ways, each direction with its own end, a reset on one side a reset on the other.
final class TCPVisitor: RawPipeOwner, IngressMember {
  let visitor: Visitor
  var slot = -1
  private let ingress: Ingress
  private let stream: TCPStream
  private let driver: SessionDriver
  private var pipe: RawPipe?

  /// Nil when the session takes no more streams; the stream is then still open.
  init?(_ stream: TCPStream, _ visitor: Visitor, port: UInt16, route: Route, _ ingress: Ingress) {
    self.stream = stream
    self.visitor = visitor
    self.ingress = ingress
    driver = route.driver
    let record = ingress.record
    record.removeAll()
    let address = String(decoding: visitor.address, as: UTF8.self)
    HeadRecordWriter.appendTCP(
      tunnel: route.tunnel, visitor: address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)", to: record)
    guard let id = driver.open(record.bytes, Nobody.shared) else { return nil }
    stream.setKeepAlive(idle: .seconds(75))
    ingress.counters.tcpConnections &+= 1
    ingress.metrics?.streams.add()
    pipe = RawPipe(driver, id, stream, pool: ingress.pool, owner: self, brokenCode: .cancelled)
  }

  func pipeEnded(_ pipe: RawPipe) {
    ingress.counters.bytesToVisitors &+= pipe.bytesToSocket
    ingress.counters.bytesFromVisitors &+= pipe.bytesFromSocket
    self.pipe = nil
    ingress.remove(self)
  }

  func shutDown() {
    guard let pipe else { return }
    driver.reset(pipe.id, .cancelled)
    stream.abort()
    self.pipe = nil
    ingress.remove(self)
  }

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
