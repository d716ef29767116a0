internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayTunnelCore

/// Why a local service can't be reached.
struct OriginFailure: Error {
  let code: ResetCode
  /// For the owner's log: address and errno in words.
  let reason: String
}

/// One connection to a local service: addresses in order, TLS where asked, patience with a service that is restarting.
final class OriginDialer: TCPStreamOwner {
  private static let retryInterval = Duration.milliseconds(100)

  private let tunnel: LocalTunnel
  private let context: OriginContext
  private var completion: ((Result<TCPStream, OriginFailure>) -> Void)?
  private var attempt: PendingConnection?
  private var stream: TCPStream?
  private var timer: LoopTimer?
  private let deadline: Instant
  private var patienceEnds: Instant

  init(tunnel: LocalTunnel, context: OriginContext, _ completion: @escaping (Result<TCPStream, OriginFailure>) -> Void) {
    self.tunnel = tunnel
    self.context = context
    self.completion = completion
    let now = context.loop.now
    deadline = now + OriginContext.connectLimit
    let wasUpLately = !tunnel.isDown && tunnel.lastSuccess > .zero && now < tunnel.lastSuccess + OriginContext.restartPatience * 5
    patienceEnds = wasUpLately ? now + OriginContext.restartPatience : now
  }

  func start() {
    let connector = Connector(on: context.loop)
    // The connector keeps this object, through the closure, until it answers or is cancelled.
    let connected: Connector.Completion = { outcome in
      switch consume outcome {
      case .success(let descriptor): self.connected(descriptor)
      case .failure(let error): self.failed(error)
      }
    }
    switch tunnel.target.address {
    case .loopbackPort(let port):
      let (v4, v6) = (SocketAddress.loopback4(port: port), SocketAddress.loopback6(port: port))
      attempt = connector.connect(to: tunnel.prefersIPv6 ? [v6, v4] : [v4, v6], deadline: deadline, connected)
    case .hostPort(let host, let port):
      attempt = connector.connect(to: host, port: port, deadline: deadline, connected)
    case .unixSocket(let path):
      guard let address = SocketAddress.unix(path) else {
        return finish(.failure(OriginFailure(code: .originUnreachable, reason: "the socket path is too long")))
      }
      attempt = connector.connect(to: address, deadline: deadline, connected)
    }
  }

  func cancel() {
    completion = nil
    attempt?.cancel()
    attempt = nil
    timer?.cancel()
    timer = nil
    stream?.close()
    stream = nil
  }

  private func connected(_ descriptor: consuming FileDescriptor) {
    attempt = nil
    let stream: TCPStream
    do throws(SystemError) {
      stream = try TCPStream(adopting: descriptor, on: context.loop)
    } catch {
      return finish(.failure(OriginFailure(code: .originUnreachable, reason: error.description)))
    }
    if case .loopbackPort = tunnel.target.address { tunnel.prefersIPv6 = SocketAddress.peer(of: stream.fileDescriptor)?.family == .ipv6 }
    guard tunnel.target.usesTLS else { return finish(.success(stream)) }
    stream.owner = self
    self.stream = stream
    do throws(TLSError) {
      // Never plain text because TLS could not be set up.
      let tls = try context.tlsContext(verifying: tunnel.target.verifiesCertificate)
      try stream.startTLS(tls, serverName: tunnel.target.serverName, alpn: ["http/1.1"])
    } catch {
      return finish(.failure(OriginFailure(code: .originTLS, reason: error.message)))
    }
    armTimer(at: deadline)
    streamIsReady(stream)
  }

  func streamIsReady(_ stream: TCPStream) {
    guard self.stream === stream else { return }
    switch stream.tlsState {
    case .handshaking: break
    case .established:
      self.stream = nil
      finish(.success(stream))
    case .failed(let error): finish(.failure(OriginFailure(code: .originTLS, reason: error.message)))
    case .none: break
    }
  }

  private func failed(_ error: ConnectError) {
    attempt = nil
    let now = context.loop.now
    if error.isRefused && now + Self.retryInterval < patienceEnds { return armTimer(at: now + Self.retryInterval) }
    let code: ResetCode =
      switch error.stage {
      case .deadline: .originTimeout
      case .connect where error.isRefused: .originRefused
      default: .originUnreachable
      }
    finish(.failure(OriginFailure(code: code, reason: error.description)))
  }

  private func armTimer(at deadline: Instant) {
    if timer == nil { timer = LoopTimer(context.loop) { [weak self] _ in self?.timerFired() } }
    timer?.set(at: deadline)
  }

  private func timerFired() {
    if stream != nil { return finish(.failure(OriginFailure(code: .originTimeout, reason: "the TLS handshake took too long"))) }
    start()
  }

  private func finish(_ result: Result<TCPStream, OriginFailure>) {
    let completion = self.completion
    self.completion = nil
    timer?.cancel()
    timer = nil
    switch result {
    case .success: context.originIsUp(tunnel)
    case .failure(let failure):
      stream?.close()
      context.originIsDown(tunnel, failure.reason)
    }
    stream = nil
    completion?(result)
  }
}
