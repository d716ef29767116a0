public import CausewayBase

/// One MessagePack value as a tree: for control messages, never for data. Maps keep their order and have string keys.
public enum MessagePackValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  /// Only above `Int64.max`; smaller ones decode as `int`.
  case uint(UInt64)
  case float(Float)
  case double(Double)
  case string(String)
  case binary([UInt8])
  case array([MessagePackValue])
  case map([Entry])
  case ext(type: Int8, [UInt8])

  public struct Entry: Equatable, Sendable {
    public var key: String
    public var value: MessagePackValue

    public init(_ key: String, _ value: MessagePackValue) {
      self.key = key
      self.value = value
    }
  }

  public struct Limits: Sendable {
    /// Containers inside containers.
    public var depth: Int
    /// Values in the whole tree.
    public var valueCount: Int

    public init(depth: Int = MessagePackReader.depthLimit, valueCount: Int = 4096) {
      self.depth = depth
      self.valueCount = valueCount
    }
  }

  /// Decodes all of `bytes` as one value.
  public init(decoding bytes: Span<UInt8>, limits: Limits = Limits()) throws(MessagePackError) {
    var reader = MessagePackReader()
    self = try reader.readValue(bytes, limits: limits)
    guard reader.isAtEnd(bytes) else { throw .trailingBytes }
  }

  /// Appends the shortest encoding.
  public func encode(to buffer: ByteBuffer) {
    let writer = MessagePackWriter(buffer)
    switch self {
    case .null: writer.writeNil()
    case .bool(let value): writer.write(value)
    case .int(let value): writer.write(value)
    case .uint(let value): writer.write(value)
    case .float(let value): writer.write(value)
    case .double(let value): writer.write(value)
    case .string(let text): writer.write(text)
    case .binary(let bytes): writer.write(binary: bytes.span)
    case .ext(let type, let bytes): writer.write(extensionType: type, bytes.span)
    case .array(let values):
      writer.writeArrayHeader(values.count)
      for value in values { value.encode(to: buffer) }
    case .map(let entries):
      writer.writeMapHeader(entries.count)
      for entry in entries {
        writer.write(entry.key)
        entry.value.encode(to: buffer)
      }
    }
  }

  /// The value of the first entry with that key; nil for other keys and other kinds of values.
  public subscript(key: String) -> MessagePackValue? {
    guard case .map(let entries) = self else { return nil }
    return entries.first { $0.key == key }?.value
  }

  public var string: String? { if case .string(let text) = self { text } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var binary: [UInt8]? { if case .binary(let bytes) = self { bytes } else { nil } }
  public var array: [MessagePackValue]? { if case .array(let values) = self { values } else { nil } }
  public var entries: [Entry]? { if case .map(let entries) = self { entries } else { nil } }

  public var int: Int64? { if case .int(let value) = self { value } else { nil } }

  public var uint: UInt64? {
    switch self {
    case .int(let value): UInt64(exactly: value)
    case .uint(let value): value
    default: nil
    }
  }

  /// Any number.
  public var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .uint(let value): Double(value)
    case .float(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }
}

extension MessagePackReader {
  /// Reads one value as a tree. The offset moves only on success.
  public mutating func readValue(
    _ bytes: Span<UInt8>, limits: MessagePackValue.Limits = .init()
  ) throws(MessagePackError) -> MessagePackValue {
    var copy = self
    var budget = limits.valueCount
    let value = try copy.readTree(bytes, limits.depth, &budget)
    self = copy
    return value
  }

  private mutating func readTree(_ bytes: Span<UInt8>, _ depth: Int, _ budget: inout Int) throws(MessagePackError) -> MessagePackValue {
    guard budget > 0 else { throw .tooLarge }
    budget -= 1
    switch try nextKind(bytes) {
    case .null:
      try readNil(bytes)
      return .null
    case .bool: return .bool(try readBool(bytes))
    case .unsigned:
      let value = try readUInt(bytes)
      return value <= UInt64(Int64.max) ? .int(Int64(value)) : .uint(value)
    case .signed: return .int(try readInt(bytes))
    case .float: return .float(try readFloat(bytes))
    case .double: return .double(try readDouble(bytes))
    case .string: return .string(bytes.string(in: try readString(bytes)))
    case .binary: return .binary(bytes.array(in: try readBinary(bytes)))
    case .ext:
      let (type, payload) = try readExtension(bytes)
      return .ext(type: type, bytes.array(in: payload))
    case .array:
      guard depth > 0 else { throw .tooDeep }
      let count = try readArrayHeader(bytes, limit: budget)
      var values: [MessagePackValue] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try readTree(bytes, depth - 1, &budget)) }
      return .array(values)
    case .map:
      guard depth > 0 else { throw .tooDeep }
      let count = try readMapHeader(bytes, limit: budget)
      var entries: [MessagePackValue.Entry] = []
      entries.reserveCapacity(count)
      for _ in 0..<count {
        guard try nextKind(bytes) == .string else { throw .keyNotString }
        let key = bytes.string(in: try readString(bytes))
        entries.append(.init(key, try readTree(bytes, depth - 1, &budget)))
      }
      return .map(entries)
    }
  }
}
