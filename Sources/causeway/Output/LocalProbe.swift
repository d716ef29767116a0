internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayTunnel

/// Looks at the start whether the local services are there, and goes on looking at those that are not, so that the user hears of both. A
/// closed port is a warning, never an end.
final class LocalProbe {
  static let limit = Duration.seconds(3)
  static let interval = Duration.seconds(2)

  private let loop: EventLoop
  private let tunnels: [TunnelSpecification]
  private let reporter: ClientReporter
  private var timer: LoopTimer?
  private var pending: [PendingConnection] = []

  init(_ tunnels: [TunnelSpecification], _ reporter: ClientReporter, on loop: EventLoop) {
    self.loop = loop
    self.tunnels = tunnels
    self.reporter = reporter
    timer = LoopTimer(loop) { [unowned self] _ in look(onlyDown: true) }
  }

  func start() { look(onlyDown: false) }

  func stop() {
    timer = nil
    for attempt in pending { attempt.cancel() }
    pending = []
  }

  private func look(onlyDown: Bool) {
    timer?.set(after: Self.interval)
    pending = []
    let connector = Connector(on: loop)
    let deadline = loop.now + Self.limit
    for tunnel in tunnels where !onlyDown || reporter.isDown(tunnel.name) {
      let answered: Connector.Completion = { [weak self] outcome in
        switch consume outcome {
        case .success(let descriptor):
          _ = consume descriptor
          self?.reporter.localUp(tunnel.name, tunnel.target.description)
        case .failure(let error): self?.reporter.localDown(tunnel.name, tunnel.target.description, error.description)
        }
      }
      switch tunnel.target.address {
      case .loopbackPort(let port):
        pending.append(connector.connect(to: [.loopback4(port: port), .loopback6(port: port)], deadline: deadline, answered))
      case .hostPort(let host, let port): pending.append(connector.connect(to: host, port: port, deadline: deadline, answered))
      case .unixSocket(let path):
        if let address = SocketAddress.unix(path) { pending.append(connector.connect(to: address, deadline: deadline, answered)) }
      }
    }
  }
}
