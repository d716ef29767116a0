internal import CausewayLinuxIO
internal import CausewaySupport
internal import CausewayTelemetry
internal import CausewayTunnel
internal import Glibc

/// `http`, `tcp` and `start`: one client until a signal or a refusal ends it.
@Sendable func runTunnels(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  let signals: [Signal] = [.interrupt, .terminate, .hangUp, .windowChanged]
  let secrets = ClientSettings.Secrets.take()
  try prepareService(signals: signals)
  let settings = try ClientSettings(arguments, .process, secrets, folders: XDGFolders())
  let session = try TunnelRun(arguments, settings)
  return try session.run(signals)
}

/// A client with what surrounds it: loop, signals, network watcher, probes and report.
private final class TunnelRun {
  private let loop: EventLoop
  private let reporter: ClientReporter
  private let client: TunnelClient
  private let probe: LocalProbe
  private let logs: Logs
  private var verdict = ExitCode.ok
  private var reason = ""

  init(_ arguments: ParsedArguments, _ settings: ClientSettings) throws(CommandFailure) {
    do throws(SystemError) { loop = try EventLoop() } catch { throw CommandFailure(.failure, error.description) }
    let isJSON = arguments.flag("json")
    let isQuiet = arguments.flag("quiet")
    let panel = isJSON || isQuiet ? nil : LivePanel()
    let live = panel.flatMap { $0.isLive ? $0 : nil }
    logs = try Logs(
      "tunnel", level: settings.logLevel?.value, format: arguments.value("log-format")?.value, file: arguments.value("log-file")?.value,
      standard: isJSON || isQuiet ? .warning : .info, panel: live)
    for warning in settings.warnings { logs.logger.warning(warning) }
    let form: ClientReporter.Form = if isJSON { .json(JSONLinesOutput()) } else if let live { .panel(live) } else { .lines }
    let ending = Ending()
    reporter = ClientReporter(settings, form, log: logs.logger, on: loop) { ending.run?($0) }
    client = TunnelClient(settings.configuration, on: loop, observer: reporter)
    probe = LocalProbe(settings.configuration.tunnels, reporter, on: loop)
    ending.run = { [unowned self] code in
      verdict = code
      loop.stop()
    }
  }

  /// Set once there is something to end.
  private final class Ending {
    var run: ((ExitCode) -> Void)?
  }

  func run(_ signals: [Signal]) throws(CommandFailure) -> ExitCode {
    do throws(SystemError) {
      let listener = try Signals(signals, on: loop) { [unowned self] in received($0) }
      // Without it only the heartbeat notices a change of network.
      let watcher = try? NetworkWatcher(on: loop) { [unowned self] in client.networkChanged() }
      reporter.start(client)
      probe.start()
      client.start()
      loop.run()
      probe.stop()
      watcher?.close()
      listener.close()
    } catch { throw CommandFailure(.failure, error.description) }
    reporter.close(reporter.failure?.message ?? reason, verdict)
    return verdict
  }

  private func received(_ signal: Signal) {
    switch signal {
    case .windowChanged: return reporter.redraw()
    case .hangUp where logs.hasFile: return logs.reopen()
    default: break
    }
    // The terminal is gone, or somebody asked; who asks twice doesn't want to wait for the goodbye.
    if !reason.isEmpty {
      reporter.close(reason, .ok)
      exit(ExitCode.ok.rawValue)
    }
    reason = signal == .interrupt ? "SIGINT" : signal == .terminate ? "SIGTERM" : "SIGHUP"
    client.stop { [unowned self] in loop.stop() }
  }
}
