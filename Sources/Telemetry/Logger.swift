/// The log of one part of the program: a value, handed down and copied freely. A disabled level costs one comparison: neither message nor
/// fields are made.
///
///     log.info("session resumed", ["session": .string(id), "gap": .duration(gap)])
public struct Logger: Sendable {
  /// Lines below it vanish.
  public let level: LogLevel
  public let scope: String
  @usableFromInline let sink: any LogSink
  @usableFromInline let fields: LogFields
  /// False only for `disabled`.
  @usableFromInline let isOn: Bool

  public init(level: LogLevel = .info, scope: String, sink: any LogSink, fields: LogFields = [:]) {
    self.level = level
    self.scope = scope
    self.sink = sink
    self.fields = fields
    isOn = true
  }

  private init() {
    level = .error
    scope = ""
    sink = NoSink()
    fields = [:]
    isOn = false
  }

  /// Says nothing: for tests and for `-q`.
  public static let disabled = Logger()

  /// The same log for a part: scope `relay` and "ingress" give `relay.ingress`.
  public func part(_ name: String, _ more: LogFields = [:]) -> Logger {
    isOn ? Logger(level: level, scope: scope.isEmpty ? name : scope + "." + name, sink: sink, fields: fields + more) : self
  }

  /// The same log with fields on every line.
  public func with(_ more: LogFields) -> Logger { isOn ? Logger(level: level, scope: scope, sink: sink, fields: fields + more) : self }

  @inlinable public func isEnabled(_ level: LogLevel) -> Bool { level >= self.level && isOn }

  @inlinable public func log(_ level: LogLevel, _ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(level) { emit(level, message(), fields()) }
  }
  @inlinable public func trace(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.trace) { emit(.trace, message(), fields()) }
  }
  @inlinable public func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.debug) { emit(.debug, message(), fields()) }
  }
  @inlinable public func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.info) { emit(.info, message(), fields()) }
  }
  @inlinable public func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.warning) { emit(.warning, message(), fields()) }
  }
  @inlinable public func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.error) { emit(.error, message(), fields()) }
  }

  @usableFromInline func emit(_ level: LogLevel, _ message: String, _ more: LogFields) {
    sink.write(LogRecord(time: WallClock.now(), level: level, scope: scope, message: message, fields: fields + more))
  }
}

/// Where records go. Called from any thread.
public protocol LogSink: Sendable {
  func write(_ record: LogRecord)
}

private struct NoSink: LogSink {
  func write(_ record: LogRecord) {}
}
