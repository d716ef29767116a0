internal import CLinux
internal import CausewayBase
internal import Glibc

/// One non-blocking connect(2) to one address.
final class ConnectAttempt: EventHandler {
  enum Start {
    case connected
    case waiting
    case failed(CInt)
  }

  /// How long a unix listener with a full backlog gets before it is asked again: connect(2) says EAGAIN and tells of no change.
  static let retryDelay = Duration.milliseconds(10)

  let address: SocketAddress
  private unowned let pending: PendingConnection
  private var loop: EventLoop?
  private var descriptor: CInt = -1
  private var registration: EventLoop.Registration?
  private var retry: LoopTimer?

  init(_ address: SocketAddress, _ pending: PendingConnection) {
    self.address = address
    self.pending = pending
  }

  deinit { close() }

  func start(on loop: EventLoop) -> Start {
    self.loop = loop
    descriptor = shim_socket(address.domain, CInt(SOCK_STREAM.rawValue), 0)
    if descriptor < 0 { return .failed(-descriptor) }
    if address.family != .unix { _ = shim_set_int_option(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, 1) }
    return connect()
  }

  private func connect() -> Start {
    var result = address.connect(descriptor)
    // On loopback the handshake ran inside the first call, which does not say so; the second one does, and saves a turn.
    if result == -EINPROGRESS && address.isLoopback { result = address.connect(descriptor) }
    switch -result {
    case 0: return verdict()
    case EINPROGRESS, EALREADY, EINTR:
      do throws(SystemError) { registration = try loop?.register(descriptor, self) } catch { return .failed(error.code) }
      return .waiting
    case EAGAIN where address.family == .unix:
      if retry == nil, let loop { retry = LoopTimer(loop) { [unowned self] _ in report(connect()) } }
      retry?.set(after: Self.retryDelay)
      return .waiting
    default: return .failed(-result)
    }
  }

  func handle(_ readiness: Readiness) {
    guard descriptor >= 0, !readiness.isEmpty else { return }
    let error = shim_int_option(descriptor, SOL_SOCKET, SO_ERROR)
    if error != 0 { return report(.failed(abs(error))) }
    if !readiness.isDisjoint(with: [.writable, .hungUp]) { report(verdict()) }
  }

  private func report(_ result: Start) {
    switch result {
    case .connected: pending.attemptConnected(self)
    case .failed(let code): pending.attemptFailed(self, code)
    case .waiting: break
    }
  }

  /// A connection to a free port of our own machine can meet itself when the kernel picks that very port for it: nobody listens there.
  private func verdict() -> Start {
    guard address.isLoopback, address.family != .unix, let local = SocketAddress.local(of: descriptor) else { return .connected }
    return local == address.unmapped ? .failed(ECONNREFUSED) : .connected
  }

  /// Gives the connected descriptor away, no longer watched.
  func take() -> CInt {
    if let registration { loop?.deregister(registration) }
    registration = nil
    defer { descriptor = -1 }
    return descriptor
  }

  func close() {
    retry = nil
    guard descriptor >= 0 else { return }
    _ = Glibc.close(take())
  }
}
