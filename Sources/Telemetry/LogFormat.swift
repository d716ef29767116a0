internal import CausewayBase

/// The form of a line.
package enum LogFormat: Equatable, Sendable {
  /// For a person who watches: local time without the date; levels in colour if wanted.
  case terminal(colour: Bool)
  /// For a file or a pipe: date, UTC.
  case text
  case json

  /// One line with its end. Control characters of message and fields are escaped: no record can forge a second line.
  package func line(_ record: LogRecord) -> String {
    switch self {
    case .terminal(let colour):
      Self.text(record, WallClock.local(record.time), colour ? record.level.colour : nil)
    case .text: Self.text(record, WallClock.rfc3339(record.time), nil)
    case .json: Self.json(record)
    }
  }

  private static func text(_ record: LogRecord, _ time: String, _ colour: String?) -> String {
    var level = record.level.name
    level += String(repeating: " ", count: 7 - level.count)
    if let colour { level = "\u{1B}[\(colour)m\(level)\u{1B}[0m" }
    var line = "\(time) \(level) "
    if !record.scope.isEmpty { line += record.scope.printable + ": " }
    line += record.message.printable
    for field in record.fields.fields { line += " \(field.name.printable)=\(field.value.text)" }
    return line + "\n"
  }

  private static let ownNames: Set = ["time", "level", "scope", "message"]

  private static func json(_ record: LogRecord) -> String {
    let buffer = ByteBuffer(capacity: 256)
    var json = JSONWriter(buffer)
    json.object { json in
      json.member("time", WallClock.rfc3339(record.time))
      json.member("level", record.level.name)
      if !record.scope.isEmpty { json.member("scope", record.scope) }
      json.member("message", record.message)
      for field in record.fields.fields {
        // A field can't pass for the line's own members.
        json.key(ownNames.contains(field.name) ? field.name + "_" : field.name)
        switch field.value {
        case .string(let text): json.value(text)
        case .integer(let number): json.value(number)
        case .number(let number): json.value(number)
        case .boolean(let flag): json.value(flag)
        case .duration(let duration): json.value(duration.inSeconds)
        }
      }
    }
    json.finishLine()
    // SAFETY: the bytes live for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

extension LogLevel {
  fileprivate var colour: String {
    switch self {
    case .trace, .debug: "2"
    case .info: "32"
    case .warning: "33"
    case .error: "31"
    }
  }
}

extension LogValue {
  /// As it stands behind `name=`: quoted when a space, a quote or an equals sign would blur its end.
  fileprivate var text: String {
    switch self {
    case .string(let text):
      let printable = text.printable
      if !printable.isEmpty && !printable.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) { return printable }
      return "\"" + printable.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"") + "\""
    case .integer(let number): return String(number)
    case .number(let number): return number.description
    case .boolean(let flag): return flag ? "true" : "false"
    case .duration(let duration):
      let microseconds = duration.wholeNanoseconds / 1000
      if microseconds.magnitude < 1000 { return "\(microseconds)us" }
      return microseconds.magnitude < 1_000_000 ? "\(Double(microseconds) / 1000)ms" : "\(Double(microseconds / 1000) / 1000)s"
    }
  }
}
