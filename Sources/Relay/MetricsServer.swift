internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayTelemetry
internal import CausewayWire

/// `GET /metrics` in Prometheus' text format, on an address of its own, and nothing else. One short request a connection.
final class MetricsServer {
  /// Scrapes at once.
  static let connectionLimit = 16
  /// From accept to the last byte.
  static let timeLimit = Duration.seconds(10)

  private let loop: EventLoop
  private let registry: MetricsRegistry
  private let refresh: () -> Void
  private var listener: Listener?
  private var connections: [ObjectIdentifier: MetricsConnection] = [:]

  var address: SocketAddress? { listener?.address }

  /// - Parameter refresh: called before each rendering, for figures that nobody keeps up to date.
  init(_ address: SocketAddress, _ registry: MetricsRegistry, on loop: EventLoop, refresh: @escaping () -> Void) throws(SystemError) {
    self.loop = loop
    self.registry = registry
    self.refresh = refresh
    listener = try Listener(address, on: loop) { [unowned self] descriptor, _ in accept(descriptor) }
  }

  private func accept(_ descriptor: consuming FileDescriptor) {
    guard connections.count < Self.connectionLimit, let stream = try? TCPStream(adopting: descriptor, on: loop) else { return }
    let connection = MetricsConnection(stream, self)
    connections[ObjectIdentifier(connection)] = connection
  }

  fileprivate func render(into buffer: ByteBuffer) {
    refresh()
    registry.render(into: buffer)
  }

  fileprivate func ended(_ connection: MetricsConnection) { connections[ObjectIdentifier(connection)] = nil }

  func close() {
    listener?.close()
    for connection in connections.values { connection.close() }
    connections = [:]
  }
}

private final class MetricsConnection: TCPStreamOwner {
  private let stream: TCPStream
  private unowned let server: MetricsServer
  private let input = ByteBuffer()
  private let output = ByteBuffer()
  private var timer: LoopTimer?
  private var isAnswering = false

  init(_ stream: TCPStream, _ server: MetricsServer) {
    self.stream = stream
    self.server = server
    stream.owner = self
    let timer = LoopTimer(stream.loop) { [unowned self] _ in end() }
    timer.set(after: MetricsServer.timeLimit)
    self.timer = timer
    stream.continueSoon()
  }

  func streamIsReady(_ stream: TCPStream) {
    while stream.isReadable {
      switch stream.read(into: input, atMost: 4096) {
      case .wouldBlock: break
      case .bytes: if isAnswering { input.removeAll() }
      case .end, .failed: return end()
      }
    }
    if !isAnswering { answer() }
    flush()
  }

  private func answer() {
    let head = RequestHead()
    let input = self.input
    let output = self.output
    do throws(HTTPHeadError) {
      guard try head.parse(input.bytes) != nil else { return }
    } catch {
      output.append("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
      isAnswering = true
      return
    }
    isAnswering = true
    let isKnown = input.bytes.matches(head.path, lowercased: "/metrics") && (head.method == .get || head.method == .head)
    let body = ByteBuffer()
    if isKnown { server.render(into: body) } else { body.append("GET /metrics is all there is here\n") }
    output.append(
      isKnown
        ? "HTTP/1.1 200 OK\r\nContent-Type: \(MetricsRegistry.contentType)\r\n" : "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n")
    output.append("Cache-Control: no-store\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n")
    if head.method != .head { output.append(body) }
  }

  private func flush() {
    let output = self.output
    while !output.isEmpty && stream.isWritable {
      guard case .bytes(let count) = stream.write(output.bytes) else { return end() }
      output.consume(count)
    }
    // The peer closes when it has read all; the timer ends a peer that does not.
    if isAnswering && output.isEmpty { stream.finishWriting() }
  }

  func close() {
    timer?.cancel()
    stream.close()
  }

  private func end() {
    close()
    server.ended(self)
  }
}
