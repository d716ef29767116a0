internal import CausewayBase
internal import CausewayCrypto
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore
internal import CausewayWire

/// Why there is no lane.
struct DialFailure: Error {
  enum Kind {
    /// May pass: nobody there, time-out, 5xx.
    case passing
    /// At the first connect it is the user's mistake: no such host, certificate refused, not a relay.
    case lasting
    /// `causeway/3` was answered with something else: ask for a WebSocket.
    case rawRefused
  }

  var kind: Kind
  var message: String
  var retryAfter: Duration?
}

/// One attempt to reach the relay: connect (through a proxy where one is set), TLS, upgrade. The caller watches the time of each step.
final class LaneDialer: TCPStreamOwner {
  private static let path = "/api/v1/ws/tunnel"
  private enum Stage { case connecting, proxy, tls, upgrade, over }

  private let configuration: TunnelClientConfiguration
  private let loop: EventLoop
  private let tls: TLSContext?
  private let useWebSocket: Bool
  private let began: (ConnectStep) -> Void
  private let completion: (Result<Lane, DialFailure>) -> Void
  private var stage = Stage.connecting
  private var pending: PendingConnection?
  private var stream: TCPStream?
  private let input = ByteBuffer()
  private let key = Base64.encode(SecureRandom.bytes(InlineArray<16, UInt8>.self).span)

  /// - Parameter tls: for https servers.
  init(
    _ configuration: TunnelClientConfiguration, tls: TLSContext?, useWebSocket: Bool, on loop: EventLoop,
    began: @escaping (ConnectStep) -> Void,
    _ completion: @escaping (Result<Lane, DialFailure>) -> Void
  ) {
    self.configuration = configuration
    self.tls = tls
    self.useWebSocket = useWebSocket
    self.loop = loop
    self.began = began
    self.completion = completion
  }

  private var server: HostPort { configuration.server.address }

  func start() {
    let target = configuration.proxy?.address ?? server
    let connector = Connector(on: loop)
    // The steps' own limits are the caller's; this one only keeps the connector from waiting for ever.
    pending = connector.connect(to: target.host, port: target.port, deadline: loop.now + ConnectStep.connect.limit * 2) {
      [weak self] outcome in
      switch consume outcome {
      case .success(let descriptor): self?.connected(descriptor)
      case .failure(let error):
        let about = self?.configuration.proxy == nil ? "" : " (the proxy)"
        self?.fail(DialFailure(kind: error.isNoSuchHost ? .lasting : .passing, message: "\(error)\(about)"))
      }
    }
  }

  func cancel() {
    stage = .over
    pending?.cancel()
    pending = nil
    stream?.close()
    stream = nil
  }

  private func connected(_ descriptor: consuming FileDescriptor) {
    pending = nil
    do throws(SystemError) {
      let stream = try TCPStream(adopting: descriptor, on: loop)
      stream.owner = self
      stream.setNoDelay()
      self.stream = stream
    } catch {
      return fail(DialFailure(kind: .passing, message: error.description))
    }
    if configuration.proxy == nil { return connectedToServer() }
    stage = .proxy
    let request = ByteBuffer()
    request.append("CONNECT \(server) HTTP/1.1\r\nHost: \(server)\r\n")
    if let credentials = configuration.proxy?.credentials { request.append("Proxy-Authorization: Basic \(credentials)\r\n") }
    request.append("\r\n")
    write(request)
  }

  private func connectedToServer() {
    guard let stream, let tls else { return upgrade() }
    stage = .tls
    began(.tls)
    do throws(TLSError) {
      try stream.startTLS(tls, serverName: server.host, alpn: ["http/1.1"])
    } catch {
      return fail(DialFailure(kind: .lasting, message: error.message))
    }
  }

  private func upgrade() {
    stage = .upgrade
    began(.upgrade)
    let request = ByteBuffer()
    request.append("GET \(Self.path) HTTP/1.1\r\nHost: \(configuration.server.authority)\r\nConnection: Upgrade\r\n")
    if useWebSocket {
      request.append("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(key)\r\n\r\n")
    } else {
      request.append("Upgrade: causeway/3\r\n\r\n")
    }
    write(request)
  }

  private func write(_ request: ByteBuffer) {
    // A fresh connection takes these few bytes whole.
    guard let stream, case .bytes(request.count) = stream.write(request.bytes) else {
      return fail(DialFailure(kind: .passing, message: "the connection to \(server) broke"))
    }
  }

  func streamIsReady(_ stream: TCPStream) {
    guard stream === self.stream else { return }
    switch stage {
    case .connecting, .over: return
    case .tls:
      switch stream.tlsState {
      case .handshaking, .none: return
      case .established: upgrade()
      case .failed(let error):
        let hint = error.code == .unknownAuthority || error.code == .certificateSelfSigned ? " (--ca FILE)" : ""
        let isLasting = error.isCertificateRefused || error.code == .notTLS
        fail(DialFailure(kind: isLasting ? .lasting : .passing, message: "TLS to \(server): \(error.message)\(hint)"))
      }
    case .proxy, .upgrade: readAnswer(stream)
    }
  }

  private func readAnswer(_ stream: TCPStream) {
    while stream.isReadable && stage != .over {
      switch stream.read(into: input, atMost: 16 * 1024) {
      case .wouldBlock: return
      case .end, .failed: return closedEarly()
      case .bytes: break
      }
      let input = self.input
      let head = ResponseHead()
      do throws(HTTPHeadError) {
        guard let count = try head.parse(input.bytes, to: stage == .proxy ? .connect : .get) else { continue }
        stage == .proxy ? proxyAnswered(head, count) : relayAnswered(head, count, stream)
        if stage != .upgrade { return }
      } catch {
        let kind: DialFailure.Kind = stage == .upgrade && !useWebSocket ? .rawRefused : .lasting
        return fail(DialFailure(kind: kind, message: "\(server) does not answer in HTTP: is it a relay?"))
      }
    }
  }

  private func closedEarly() {
    if stage == .proxy { return fail(DialFailure(kind: .passing, message: "the proxy closed the connection")) }
    if !useWebSocket { return fail(DialFailure(kind: .rawRefused, message: "the connection was closed instead of an upgrade")) }
    fail(DialFailure(kind: .passing, message: "\(server) closed the connection without an answer"))
  }

  private func proxyAnswered(_ head: ResponseHead, _ count: Int) {
    guard head.status == 200 else {
      return fail(
        DialFailure(
          kind: .passing,
          message: "the proxy \(configuration.proxy?.address.description ?? "") refuses CONNECT \(server) with status \(head.status)"))
    }
    input.consume(count)
    connectedToServer()
  }

  private func relayAnswered(_ head: ResponseHead, _ count: Int, _ stream: TCPStream) {
    let input = self.input
    if head.status == 101 && (useWebSocket ? acceptsKey(head) : input.bytes.matches(head.upgradeToken, lowercased: "causeway/3")) {
      stage = .over
      self.stream = nil
      stream.owner = nil
      let lane = Lane(
        stream, received: input.bytes.extracting(count..<input.count), framing: useWebSocket ? WebSocketFraming(isClient: true) : nil)
      began(.login)
      return completion(.success(lane))
    }
    let retryAfter = retryAfter(head)
    if !useWebSocket && !(head.isRefusalForNow && retryAfter != nil) {
      return fail(
        DialFailure(kind: .rawRefused, message: "\(server) answered the upgrade with status \(head.status)", retryAfter: retryAfter))
    }
    if head.isRefusalForNow {
      return fail(DialFailure(kind: .passing, message: "\(server) answered with status \(head.status)", retryAfter: retryAfter))
    }
    fail(DialFailure(kind: .lasting, message: "\(server) answered with status \(head.status): it isn't a causeway relay, check --server"))
  }

  private func acceptsKey(_ head: ResponseHead) -> Bool {
    guard let field = head.first(.secWebSocketAccept) else { return false }
    let digest = SHA1.hash(WebSocketHandshake.acceptInput(Array(key.utf8).span).span)
    let input = self.input
    return input.bytes.string(in: field.value) == Base64.encode(digest.span)
  }

  private func retryAfter(_ head: ResponseHead) -> Duration? {
    let input = self.input
    return head.first(.retryAfter).flatMap { Int(input.bytes.string(in: $0.value)) }.map { .seconds($0) }
  }

  private func fail(_ failure: DialFailure) {
    guard stage != .over else { return }
    cancel()
    completion(.failure(failure))
  }
}

extension ResponseHead {
  /// It may pass. With a Retry-After it comes from somebody who knows what was asked, so that asking otherwise is of no use.
  fileprivate var isRefusalForNow: Bool { status >= 500 || status == 429 }
}
