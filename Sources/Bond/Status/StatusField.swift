internal import CausewaySupport

/// One figure of a status, described once: its name in JSON, how parts of several packet threads become one, and its metric.
struct StatusField<Record>: Sendable {
  enum Value: Sendable {
    /// Parts add up.
    case count(any WritableKeyPath<Record, UInt64> & Sendable)
    /// The greatest part counts.
    case reading(any WritableKeyPath<Record, Double> & Sendable)
    /// nil: not measured.
    case optional(any WritableKeyPath<Record, Double?> & Sendable)
    case size(any WritableKeyPath<Record, Int> & Sendable)
  }

  let name: String
  let value: Value
  let metric: StatusMetric

  init(_ name: String, _ value: Value, _ metric: StatusMetric) {
    self.name = name
    self.value = value
    self.metric = metric
  }

  func exchange(_ record: inout Record, _ json: inout JSONExchange) throws(JSONRecordError) {
    switch value {
    case .count(let path): try json.field(name, &record[keyPath: path])
    case .reading(let path): try json.field(name, &record[keyPath: path])
    case .optional(let path): try json.field(name, &record[keyPath: path])
    case .size(let path): try json.field(name, &record[keyPath: path])
    }
  }

  func add(_ part: Record, to sum: inout Record) {
    switch value {
    case .count(let path): sum[keyPath: path] &+= part[keyPath: path]
    case .reading(let path): sum[keyPath: path] = max(sum[keyPath: path], part[keyPath: path])
    case .optional(let path):
      if let value = part[keyPath: path] { sum[keyPath: path] = max(sum[keyPath: path] ?? value, value) }
    case .size(let path): sum[keyPath: path] = max(sum[keyPath: path], part[keyPath: path])
    }
  }

  /// In the metric's unit; nil: not measured.
  func sample(_ record: Record) -> Double? {
    let number: Double? =
      switch value {
      case .count(let path): Double(record[keyPath: path])
      case .reading(let path): record[keyPath: path]
      case .optional(let path): record[keyPath: path]
      case .size(let path): Double(record[keyPath: path])
      }
    return number.map { $0 * metric.factor }
  }
}

/// What Prometheus sees of a figure.
struct StatusMetric: Sendable {
  enum Kind: String, Sendable { case counter, gauge }
  /// Behind what all figures of a record begin with.
  let name: String
  let kind: Kind
  let help: String
  /// From the status' unit to the metric's.
  let factor: Double

  static func counter(_ name: String, _ help: String) -> StatusMetric { StatusMetric(name: name, kind: .counter, help: help, factor: 1) }
  static func gauge(_ name: String, _ help: String) -> StatusMetric { StatusMetric(name: name, kind: .gauge, help: help, factor: 1) }
  /// Milliseconds in the status, seconds in the metric.
  static func time(_ name: String, _ help: String) -> StatusMetric { StatusMetric(name: name, kind: .gauge, help: help, factor: 1e-3) }
}

/// A record whose figures are described by a list.
protocol StatusRecord: JSONRecord {
  static var fields: [StatusField<Self>] { get }
}

extension StatusRecord {
  mutating func exchangeFields(_ json: inout JSONExchange) throws(JSONRecordError) {
    for field in Self.fields { try field.exchange(&self, &json) }
  }

  /// Folds in what another packet thread tells.
  mutating func add(_ part: Self) { for field in Self.fields { field.add(part, to: &self) } }
}
