// CausewayTelemetry: what a running program tells its owner. A leveled log with structured fields, and metrics in Prometheus' text form.
// It opens no port (the relay serves the text) and has no global state: a Logger and a MetricsRegistry are handed to whoever needs them.
// Start with Logger, then MetricsRegistry.

/// How much a line matters.
public enum LogLevel: UInt8, Comparable, CaseIterable, Sendable {
  /// Every frame and state change; for finding a bug.
  case trace
  case debug
  /// What an owner wants to know in a quiet week.
  case info
  /// It goes on, but someone should look.
  case warning
  case error

  @inlinable public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

  package var name: String {
    switch self {
    case .trace: "trace"
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }

  package init?(name: String) {
    guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = level
  }
}
