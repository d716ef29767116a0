internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayRelay
internal import CausewaySupport
internal import CausewayTelemetry

/// Runs a relay until a signal ends it.
@Sendable func runRelay(_ arguments: ParsedArguments) throws(CommandFailure) -> ExitCode {
  try prepareService(signals: [.interrupt, .terminate, .hangUp])
  let settings = try RelaySettings(arguments, .process)
  let logs = try Logs("relay", level: settings.log.level, format: settings.log.format, file: settings.log.file)
  for warning in settings.warnings { logs.logger.warning(warning) }
  let isJSON = settings.configuration.json
  let code = Relay.run(
    settings.configuration, log: logs.logger,
    ready: { url in
      let buffer = ByteBuffer()
      var json = JSONWriter(buffer)
      json.object { json in
        json.member("event", "ready")
        json.member("url", url)
      }
      json.finishLine()
      StandardStreams.answer(isJSON ? String(copying: buffer) : url + "\n")
    }, hangUp: { logs.reopen() })
  return ExitCode(rawValue: code) ?? .failure
}

/// What every long-running command does before its first thread.
func prepareService(signals: [Signal]) throws(CommandFailure) {
  do throws(SystemError) {
    try Signals.block(signals)
    Signals.ignoreBrokenPipe()
    try ProcessLimits.disableCoreDumps()
    try ProcessLimits.raiseDescriptorLimit()
    ProcessLimits.requestShortSlices()
  } catch { throw CommandFailure(.failure, error.description) }
}
