internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewaySupport
internal import CausewayTelemetry
internal import CausewayTunnel
internal import Glibc

/// Tells the user what happens to a client: the URL on stdout, the story on stderr as a panel or as lines, or JSON lines for a machine.
final class ClientReporter: TunnelClientObserver {
  enum Form {
    case lines
    case panel(LivePanel)
    case json(JSONLinesOutput)
  }

  /// Between two frames of the panel.
  static let frameInterval = Duration.milliseconds(50)

  private let loop: EventLoop
  private let settings: ClientSettings
  private let form: Form
  private let log: Logger
  /// The client came to its end by itself.
  private let ended: (ExitCode) -> Void

  private var panel: PanelModel
  private var frame: LoopTimer?
  private var ticker: LoopTimer?
  private var serial: UInt64 = 0
  private var last: (at: Instant, statistics: TunnelStatistics)?
  private var isReady = false
  /// By tunnel: known to be down, as the user was last told.
  private var down: [String: String] = [:]
  /// With lines only: requests since the last line of one.
  private var untoldRequests = 0
  private weak var client: TunnelClient?
  private(set) var failure: TunnelEvent.Failure?

  init(_ settings: ClientSettings, _ form: Form, log: Logger, on loop: EventLoop, ended: @escaping (ExitCode) -> Void) {
    self.loop = loop
    self.settings = settings
    self.form = form
    self.log = log
    self.ended = ended
    panel = PanelModel()
    panel.server = settings.serverText
    panel.tunnels = settings.configuration.tunnels.map {
      PanelModel.Tunnel(name: $0.name, url: "-", service: $0.target.description)
    }
  }

  var wantsRequests: Bool {
    switch form {
    case .lines: log.isEnabled(.info)
    case .panel, .json: true
    }
  }

  /// Lines and a panel are for people; JSON lines are for machines, which get each one.
  static let requestLinesPerSecond = 100

  var requestsPerSecond: Int {
    switch form {
    case .lines, .panel: Self.requestLinesPerSecond
    case .json: .max
    }
  }

  func start(_ client: TunnelClient) {
    self.client = client
    if case .lines = form { return }
    frame = LoopTimer(loop) { [unowned self] _ in draw() }
    ticker = LoopTimer(loop) { [unowned self] now in tick(now) }
    ticker?.set(after: .seconds(1))
    changed()
  }

  func client(_ client: TunnelClient, event: TunnelEvent) {
    switch event {
    case .ready(let endpoints): ready(endpoints)
    case .reconnecting(let reason, let delay):
      (panel.state, panel.detail) = (isReady ? .reconnecting : .connecting, reason)
      if isReady { json(.reconnecting(reason: reason, delay: delay)) }
      story(.warning, reason + (delay > .zero ? "; trying again in \(Quantity.duration(delay))" : "; trying again"))
    case .resumed(let outage): resumed(outage, isNewSession: false)
    case .restarted(let outage): resumed(outage, isNewSession: true)
    case .urlChanged(let endpoint):
      if let index = panel.tunnels.firstIndex(where: { $0.name == endpoint.name }) { panel.tunnels[index].url = endpoint.url }
      json(.urlChanged(name: endpoint.name, url: endpoint.url))
      story(.warning, "the URL has changed: \(endpoint.url)")
      print(endpoint)
    case .tunnelLost(let endpoint, let reason):
      if let index = panel.tunnels.firstIndex(where: { $0.name == endpoint.name }) { panel.tunnels[index].url = "(lost)" }
      json(.tunnelLost(name: endpoint.name, url: endpoint.url, reason: reason))
      story(.warning, "\(endpoint.url) is gone: \(reason)")
    case .request(let tunnel, let method, let target, let status, let duration): request(tunnel, method, target, status, duration)
    case .requestsSkipped(let count): if case .lines = form { log.info("\(count) more requests, too many to tell each of them") }
    case .localDown(let tunnel, let target, let reason): localDown(tunnel, target, reason)
    case .localUp(let tunnel, let target): localUp(tunnel, target)
    case .warning(let text): story(.warning, text)
    case .failed(let failure):
      self.failure = failure
      (panel.state, panel.detail) = (.closed, failure.message)
      ended(failure.exitCode)
    }
    changed()
  }

  // MARK: Events

  private func ready(_ endpoints: [TunnelEvent.Endpoint]) {
    isReady = true
    (panel.state, panel.detail) = (.online, "")
    for endpoint in endpoints {
      if let index = panel.tunnels.firstIndex(where: { $0.name == endpoint.name }) { panel.tunnels[index].url = endpoint.url }
      story(.info, "\(endpoint.url) leads to \(local(endpoint.name))")
      print(endpoint)
    }
    json(.ready(endpoints.map { .init(name: $0.name, url: $0.url, local: local($0.name)) }))
    for (name, reason) in down.sorted(by: { $0.key < $1.key }) { tellDown(name, local(name), reason) }
  }

  private func resumed(_ outage: Duration, isNewSession: Bool) {
    (panel.state, panel.detail) = (.online, "")
    json(.resumed(outage: outage, isNewSession: isNewSession))
    let what = isNewSession ? "connected again with a new session; what was open is cut" : "connected again, everything goes on"
    story(.info, "\(what) (after \(Quantity.duration(outage)))")
  }

  private func request(_ tunnel: String, _ method: String, _ target: String, _ status: Int, _ duration: Duration) {
    let status = status == 0 ? nil : status
    switch form {
    case .panel:
      serial += 1
      panel.totalConnections += 1
      panel.add(
        .init(
          serial: serial, time: String(WallClock.local(WallClock.now()).prefix(8)), method: method, target: target, status: status,
          duration: duration))
    case .json(let output):
      output.offerRequest { dropped in
        EventLines.line(
          .request(tunnel: tunnel, method: method, target: target, status: status, duration: duration, dropped: dropped), time: time)
      }
    case .lines: tellRequest(tunnel, method, target, status, duration)
    }
  }

  /// A reader of stderr that has stopped loses requests, not the tunnel.
  private func tellRequest(_ tunnel: String, _ method: String, _ target: String, _ status: Int?, _ duration: Duration) {
    guard log.isEnabled(.info) else { return }
    guard canWrite(to: STDERR_FILENO) else {
      untoldRequests += 1
      return
    }
    if untoldRequests > 0 { log.info("\(untoldRequests) requests before are not told: nobody was reading") }
    untoldRequests = 0
    let target =
      target.utf8.count > EventLines.maximumTargetByteCount ? String(target.prefix(EventLines.maximumTargetByteCount)) + "…" : target
    let name = settings.namesTunnels ? tunnel + ": " : ""
    log.info("\(name)\(method) \(target): \(status.map(String.init) ?? "cut"), \(Quantity.duration(duration))")
  }

  /// Told once until it is up again, whoever noticed first: a visitor's request or the probe. Before the URL stands nobody asks for the
  /// service, and a refusal by the relay stays the one line it is.
  func localDown(_ tunnel: String, _ target: String, _ reason: String) {
    guard down.updateValue(reason, forKey: tunnel) == nil else { return }
    if let index = panel.tunnels.firstIndex(where: { $0.name == tunnel }) { panel.tunnels[index].isServiceDown = true }
    if isReady { tellDown(tunnel, target, reason) }
    changed()
  }

  func localUp(_ tunnel: String, _ target: String) {
    guard down.removeValue(forKey: tunnel) != nil else { return }
    if let index = panel.tunnels.firstIndex(where: { $0.name == tunnel }) { panel.tunnels[index].isServiceDown = false }
    if isReady {
      json(.localUp(tunnel: tunnel, local: target))
      story(.info, "\(target) answers")
    }
    changed()
  }

  private func tellDown(_ tunnel: String, _ target: String, _ reason: String) {
    json(.localDown(tunnel: tunnel, local: target, reason: reason))
    story(.warning, "the service at \(target) is down: visitors get an error page until it is back (\(reason))")
  }

  func isDown(_ tunnel: String) -> Bool { down[tunnel] != nil }

  /// The last words. `reason`: `SIGINT`, or what failed.
  func close(_ reason: String, _ code: ExitCode) {
    ticker = nil
    frame = nil
    (panel.bytesPerSecondIn, panel.bytesPerSecondOut) = (0, 0)
    if let failure {
      json(.error(message: failure.message, exitCode: code.rawValue))
    } else {
      (panel.state, panel.detail) = (.closed, "")
    }
    json(.closed(reason: reason, exitCode: code.rawValue))
    if case .panel(let live) = form {
      if canWrite(to: 2) { live.show(panel) }
      live.close()
    }
    if let failure { StandardStreams.complain(failure.message) }
  }

  // MARK: Forms

  private var time: String { WallClock.rfc3339(WallClock.now()) }

  private func local(_ name: String) -> String {
    settings.configuration.tunnels.first { $0.name == name }?.target.description ?? name
  }

  /// The URL, and nothing else, on stdout.
  private func print(_ endpoint: TunnelEvent.Endpoint) {
    let line = settings.namesTunnels ? "\(endpoint.name)=\(endpoint.url)" : endpoint.url
    switch form {
    case .json: break
    case .lines: StandardStreams.answer(line + "\n")
    // On one terminal the panel would be torn: it prints the line above itself.
    case .panel(let live): if isatty(STDOUT_FILENO) == 1 { live.note(line) } else { StandardStreams.answer(line + "\n") }
    }
  }

  private func json(_ event: EventLines.Event) {
    if case .json(let output) = form { output.send(EventLines.line(event, time: time)) }
  }

  private func story(_ level: LogLevel, _ text: String) {
    // The panel says all of it in place.
    if case .panel = form, level < .warning { return }
    log.log(level, text)
  }

  private func changed() {
    guard case .panel = form, let frame, !frame.isArmed else { return }
    frame.set(after: Self.frameInterval)
  }

  func redraw() { changed() }

  private func draw() {
    guard case .panel(let live) = form else { return }
    // A terminal stopped by Ctrl-S must not stop the tunnel.
    if canWrite(to: 2) { live.show(panel) }
  }

  private func tick(_ now: Instant) {
    ticker?.set(after: .seconds(1))
    if case .json(let output) = form { return output.flush() }
    guard let client else { return }
    let statistics = client.statistics
    if statistics.roundTripNanoseconds > 0 { panel.latency = .nanoseconds(Int64(clamping: statistics.roundTripNanoseconds)) }
    panel.openConnections = statistics.openStreams
    if let last {
      let seconds = max(0.001, (now - last.at).inSeconds)
      // A new session counts from zero.
      let isSame = statistics.bytesSent >= last.statistics.bytesSent && statistics.bytesReceived >= last.statistics.bytesReceived
      let sent = isSame ? statistics.bytesSent - last.statistics.bytesSent : statistics.bytesSent
      let received = isSame ? statistics.bytesReceived - last.statistics.bytesReceived : statistics.bytesReceived
      panel.bytesPerSecondOut = UInt64(Double(sent) / seconds)
      panel.bytesPerSecondIn = UInt64(Double(received) / seconds)
      panel.totalBytesOut += sent
      panel.totalBytesIn += received
    }
    last = (now, statistics)
    changed()
  }
}
