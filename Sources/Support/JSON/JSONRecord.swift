package import CausewayBase

/// A value with a JSON object for its form, both directions in one list of fields: what is written can be read again, and a field can't be
/// forgotten on one side.
///
///     struct Point: JSONRecord {
///       var x = 0
///       mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) { try json.field("x", &x) }
///     }
package protocol JSONRecord {
  init()
  mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError)
}

/// Why an object isn't the record it should be. Never holds a value: that may be a secret.
package struct JSONRecordError: Error, Equatable, Sendable, CustomStringConvertible {
  package var field: String
  package var reason: String
  package init(_ field: String, _ reason: String) {
    self.field = field
    self.reason = reason
  }
  package var description: String { "field '\(field)': \(reason)" }
}

/// One pass over the fields of a record: writes them or fills them. Reading ignores unknown fields and leaves a field that is missing as
/// `init()` made it, so that a newer writer and an older reader agree.
package struct JSONExchange {
  private var writer: JSONWriter?
  private var object: JSONValue

  fileprivate init(writing writer: JSONWriter) {
    self.writer = writer
    object = .null
  }

  fileprivate init(reading object: JSONValue) { self.object = object }

  package var isReading: Bool { writer == nil }

  // MARK: Scalars

  package mutating func field(_ name: String, _ value: inout String) throws(JSONRecordError) {
    if writer != nil {
      writer?.member(name, value)
    } else if let found = present(name) {
      guard let text = found.string else { throw JSONRecordError(name, "expected a text") }
      value = text
    }
  }

  package mutating func field(_ name: String, _ value: inout Bool) throws(JSONRecordError) {
    if writer != nil {
      writer?.member(name, value)
    } else if let found = present(name) {
      guard let flag = found.boolean else { throw JSONRecordError(name, "expected true or false") }
      value = flag
    }
  }

  package mutating func field(_ name: String, _ value: inout Double) throws(JSONRecordError) {
    if writer != nil {
      writer?.member(name, value)
    } else if let found = present(name) {
      guard let number = found.double else { throw JSONRecordError(name, "expected a number") }
      value = number
    }
  }

  package mutating func field<T: FixedWidthInteger>(_ name: String, _ value: inout T) throws(JSONRecordError) {
    if writer != nil {
      writer?.member(name, value)
    } else if let found = present(name) {
      guard let number = found.integer.flatMap({ T(exactly: $0) }) else { throw JSONRecordError(name, "expected a whole number in range") }
      value = number
    }
  }

  package mutating func field<T: RawRepresentable>(_ name: String, _ value: inout T) throws(JSONRecordError) where T.RawValue == String {
    var text = value.rawValue
    try field(name, &text)
    guard let found = T(rawValue: text) else { throw JSONRecordError(name, "unknown word") }
    value = found
  }

  // MARK: Optionals: absent when nil

  package mutating func field(_ name: String, _ value: inout String?) throws(JSONRecordError) {
    if isReading ? present(name) == nil : value == nil { return }
    var some = value ?? ""
    try field(name, &some)
    value = some
  }

  package mutating func field(_ name: String, _ value: inout Double?) throws(JSONRecordError) {
    if isReading ? present(name) == nil : value == nil { return }
    var some = value ?? 0
    try field(name, &some)
    value = some
  }

  package mutating func field<T: FixedWidthInteger>(_ name: String, _ value: inout T?) throws(JSONRecordError) {
    if isReading ? present(name) == nil : value == nil { return }
    var some = value ?? 0
    try field(name, &some)
    value = some
  }

  // MARK: Structure

  package mutating func field(_ name: String, _ values: inout [String]) throws(JSONRecordError) {
    if writer != nil {
      writer?.key(name)
      writer?.array { for value in values { $0.value(value) } }
    } else if let found = present(name) {
      guard let items = found.array else { throw JSONRecordError(name, "expected a list") }
      values = []
      for item in items {
        guard let text = item.string else { throw JSONRecordError(name, "expected texts") }
        values.append(text)
      }
    }
  }

  package mutating func field<Record: JSONRecord>(_ name: String, _ value: inout Record) throws(JSONRecordError) {
    if writer != nil {
      writer?.key(name)
      try writeObject(&value)
    } else if let found = present(name) {
      value = try Self.read(found, name)
    }
  }

  package mutating func field<Record: JSONRecord>(_ name: String, _ values: inout [Record]) throws(JSONRecordError) {
    if writer != nil {
      writer?.key(name)
      writer?.beginArray()
      for index in values.indices { try writeObject(&values[index]) }
      writer?.endArray()
    } else if let found = present(name) {
      guard let items = found.array else { throw JSONRecordError(name, "expected a list") }
      values = []
      for item in items { values.append(try Self.read(item, name)) }
    }
  }

  private func present(_ name: String) -> JSONValue? { object[name].flatMap { $0 == .null ? nil : $0 } }

  private mutating func writeObject(_ value: inout some JSONRecord) throws(JSONRecordError) {
    guard let writer else { return }
    var inner = JSONExchange(writing: writer)
    inner.writer?.beginObject()
    try value.exchange(&inner)
    inner.writer?.endObject()
    self.writer = inner.writer
  }

  fileprivate static func read<Record: JSONRecord>(_ value: JSONValue, _ name: String) throws(JSONRecordError) -> Record {
    guard case .object = value else { throw JSONRecordError(name, "expected an object") }
    var record = Record()
    var exchange = JSONExchange(reading: value)
    do throws(JSONRecordError) { try record.exchange(&exchange) } catch {
      throw JSONRecordError(name.isEmpty ? error.field : name + "." + error.field, error.reason)
    }
    return record
  }
}

extension JSONRecord {
  package init(json value: JSONValue) throws(JSONRecordError) { self = try JSONExchange.read(value, "") }

  /// As the next value of `writer`.
  package func write(to writer: inout JSONWriter) {
    var copy = self
    var exchange = JSONExchange(writing: writer)
    exchange.begin()
    // Writing throws nothing but an unknown word, and a value's own word is known.
    do throws(JSONRecordError) { try copy.exchange(&exchange) } catch { preconditionFailure("a record that cannot be written: \(error)") }
    writer = exchange.end()
  }

  /// The object as text, without a line's end.
  package var jsonText: String {
    let buffer = ByteBuffer()
    var writer = JSONWriter(buffer)
    write(to: &writer)
    // SAFETY: the span lives for the closure.
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

extension JSONExchange {
  fileprivate mutating func begin() { writer?.beginObject() }
  fileprivate mutating func end() -> JSONWriter {
    guard var writer else { preconditionFailure("the end of a record that is being read") }
    writer.endObject()
    return writer
  }
}
