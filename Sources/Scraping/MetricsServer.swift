// The room holds this one thing, which parts share and none may own: a scraped page on an address of its own.
package import CausewayBase
package import CausewayLinuxIO
internal import CausewayWire

/// `GET /metrics` in Prometheus' text format, on an address of its own, and nothing else. One short request a connection.
package final class MetricsServer {
  /// Scrapes at once; more are closed at once.
  package static let connectionLimit = 16
  /// From accept to the last byte.
  package static let timeLimit = Duration.seconds(10)
  /// Bytes of a request that are read.
  static let requestLimit = 16 * 1024
  /// Of Prometheus' text format.
  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// Gives the page to `deliver`, on the loop's thread: at once, or when those who know the figures have answered. A page that comes after
  /// the connection's time is thrown away.
  package typealias Render = (_ deliver: @escaping (ByteBuffer) -> Void) -> Void

  private let loop: EventLoop
  private let render: Render
  private let timeLimit: Duration
  private var listener: Listener?
  private var connections: [ObjectIdentifier: MetricsConnection] = [:]

  package var address: SocketAddress? { listener?.address }
  package var connectionCount: Int { connections.count }

  package init(
    _ address: SocketAddress, on loop: EventLoop, timeLimit: Duration = MetricsServer.timeLimit, render: @escaping Render
  ) throws(SystemError) {
    self.loop = loop
    self.render = render
    self.timeLimit = timeLimit
    listener = try Listener(address, on: loop) { [unowned self] descriptor, _ in accept(descriptor) }
  }

  private func accept(_ descriptor: consuming FileDescriptor) {
    guard connections.count < Self.connectionLimit, let stream = try? TCPStream(adopting: descriptor, on: loop) else { return }
    let connection = MetricsConnection(stream, self, timeLimit)
    connections[ObjectIdentifier(connection)] = connection
  }

  fileprivate func page(for connection: MetricsConnection, isHead: Bool) {
    render { [weak connection] page in connection?.answer(page, isHead: isHead) }
  }

  fileprivate func ended(_ connection: MetricsConnection) { connections[ObjectIdentifier(connection)] = nil }

  package func close() {
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
  private var state = State.reading

  private enum State { case reading, rendering, answering, ended }

  init(_ stream: TCPStream, _ server: MetricsServer, _ timeLimit: Duration) {
    self.stream = stream
    self.server = server
    stream.owner = self
    let timer = LoopTimer(stream.loop) { [unowned self] _ in end() }
    timer.set(after: timeLimit)
    self.timer = timer
    stream.continueSoon()
  }

  func streamIsReady(_ stream: TCPStream) {
    while stream.isReadable {
      switch stream.read(into: input, atMost: 4096) {
      case .wouldBlock: break
      case .bytes: if state != .reading { input.removeAll() }
      case .end, .failed: return end()
      }
    }
    if state == .reading { request() }
    flush()
  }

  private func request() {
    let head = RequestHead()
    let input = self.input
    do throws(HTTPHeadError) {
      guard try head.parse(input.bytes) != nil else {
        if input.count > MetricsServer.requestLimit { refuse("431 Request Header Fields Too Large") }
        return
      }
    } catch {
      return refuse("400 Bad Request")
    }
    let isHead = head.method == .head
    guard input.bytes.matches(head.path, lowercased: "/metrics"), isHead || head.method == .get else {
      let page = ByteBuffer()
      page.append("GET /metrics is all there is here\n")
      return respond("404 Not Found", "text/plain", page, isHead: isHead)
    }
    state = .rendering
    server.page(for: self, isHead: isHead)
  }

  func answer(_ page: ByteBuffer, isHead: Bool) {
    guard state == .rendering else { return }
    respond("200 OK", MetricsServer.contentType, page, isHead: isHead)
    flush()
  }

  private func refuse(_ status: String) { respond(status, "text/plain", ByteBuffer(), isHead: false) }

  private func respond(_ status: String, _ contentType: String, _ page: ByteBuffer, isHead: Bool) {
    state = .answering
    output.append("HTTP/1.1 \(status)\r\nContent-Type: \(contentType)\r\n")
    output.append("Cache-Control: no-store\r\nConnection: close\r\nContent-Length: \(page.count)\r\n\r\n")
    if !isHead { output.append(page) }
  }

  private func flush() {
    let output = self.output
    while !output.isEmpty && stream.isWritable {
      guard case .bytes(let count) = stream.write(output.bytes) else { return end() }
      output.consume(count)
    }
    // The peer closes when it has read all; the timer ends a peer that does not.
    if state == .answering && output.isEmpty { stream.finishWriting() }
  }

  func close() {
    state = .ended
    timer?.cancel()
    stream.close()
  }

  private func end() {
    close()
    server.ended(self)
  }
}
