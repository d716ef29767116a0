/// A value beside a message. Never a secret.
public enum LogValue: Equatable, Sendable {
  case string(String)
  case integer(Int64)
  case number(Double)
  case boolean(Bool)
  /// Text: `12.5ms`; JSON: seconds as a number.
  case duration(Duration)

  public static func integer(_ value: some BinaryInteger) -> LogValue { .integer(Int64(clamping: value)) }
  /// What an error, an address or an enum says of itself.
  public static func description(of value: some CustomStringConvertible) -> LogValue { .string(value.description) }
}

extension LogValue: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral {
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
}

/// Fields in the order they were written: `["peer": .string(address), "bytes": .integer(count)]`.
public struct LogFields: Equatable, Sendable, ExpressibleByDictionaryLiteral {
  public struct Field: Equatable, Sendable {
    public var name: String
    public var value: LogValue
  }

  public var fields: [Field]

  public init(dictionaryLiteral elements: (String, LogValue)...) { fields = elements.map { Field(name: $0, value: $1) } }

  public static func + (a: LogFields, b: LogFields) -> LogFields {
    var result = a
    result.fields += b.fields
    return result
  }
}

/// One line before it has a form.
public struct LogRecord: Equatable, Sendable {
  /// Nanoseconds since 1970, UTC.
  public var time: UInt64
  public var level: LogLevel
  /// The part of the program that speaks: `relay`, `tunnel.session`.
  public var scope: String
  public var message: String
  public var fields: LogFields

  public init(time: UInt64, level: LogLevel, scope: String, message: String, fields: LogFields = [:]) {
    self.time = time
    self.level = level
    self.scope = scope
    self.message = message
    self.fields = fields
  }
}
