internal import CausewaySupport
internal import CausewayTelemetry
internal import Glibc

/// The log that a command was asked for.
struct Logs {
  let logger: Logger
  private let file: FileSink?

  /// - Parameters:
  ///   - standard: The level without `--log-level`.
  ///   - panel: Lines for stderr go above it.
  init(
    _ scope: String, level: String?, format: String?, file path: String?, standard: LogLevel = .info, panel: LivePanel? = nil
  ) throws(CommandFailure) {
    let level = level.flatMap { LogLevel(name: $0) } ?? standard
    let isJSON = format == "json"
    if let path {
      do throws(FileSink.OpenError) {
        let sink = try FileSink(isJSON ? .json : .text, path: path)
        file = sink
        logger = Logger(level: level, scope: scope, sink: ErrorTee(file: sink, stderr: DescriptorSink(isJSON ? .json : .text)))
      } catch { throw CommandFailure(.failure, error.description) }
      return
    }
    file = nil
    let terminal = Terminal.of(2)
    let format: LogFormat = isJSON ? .json : isatty(2) == 1 ? .terminal(colour: terminal.hasColour) : .text
    if let panel {
      // `note` takes a line without its end and escapes controls: colours would be escaped too.
      let plain: LogFormat = isJSON ? .json : .terminal(colour: false)
      logger = Logger(level: level, scope: scope, sink: LineSink(plain) { line in panel.note(String(line.dropLast())) })
    } else {
      logger = Logger(level: level, scope: scope, sink: DescriptorSink(format))
    }
  }

  var hasFile: Bool { file != nil }

  /// For SIGHUP, after a rotation.
  func reopen() {
    guard let file else { return }
    do throws(FileSink.OpenError) { try file.reopen() } catch { StandardStreams.complain(error.description) }
  }
}

/// Errors go to stderr too: who starts a command that can't go on sees why.
private struct ErrorTee: LogSink {
  let file: FileSink
  let stderr: DescriptorSink

  func write(_ record: LogRecord) {
    file.write(record)
    if record.level >= .error { stderr.write(record) }
  }
}
