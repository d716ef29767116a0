/// Why bytes are not the MessagePack that was asked for.
public enum MessagePackError: UInt8, Error, Equatable, Sendable, CaseIterable {
  /// The span ends inside a value: more bytes might help.
  case truncated
  /// Another type than the one asked for.
  case typeMismatch
  /// 0xC1, which nothing may use.
  case reservedByte
  /// An integer that does not fit the type asked for.
  case outOfRange
  case invalidUTF8
  case tooDeep
  /// A string, array or map above the caller's limit.
  case tooLarge
  /// A map key that is not a string, in `MessagePackValue`.
  case keyNotString
  /// Bytes behind the value, in `MessagePackValue`.
  case trailingBytes
}

/// Reads MessagePack from a span with a moving offset. Typed accessors move the offset only when they succeed. Numbers may come
/// in any form that holds them; strings are strict UTF-8.
public struct MessagePackReader: Sendable {
  public static let depthLimit = 32

  public var offset: Int

  public init(offset: Int = 0) { self.offset = offset }

  public func isAtEnd(_ bytes: Span<UInt8>) -> Bool { offset >= bytes.count }

  /// The kind of the next value, for callers that switch.
  public enum Kind: UInt8, Sendable {
    case null, bool, unsigned, signed, float, double, string, binary, array, map, ext
  }

  public func nextKind(_ bytes: Span<UInt8>) throws(MessagePackError) -> Kind {
    switch try first(bytes) {
    case 0x00...0x7F, 0xCC...0xCF: .unsigned
    case 0x80...0x8F, 0xDE, 0xDF: .map
    case 0x90...0x9F, 0xDC, 0xDD: .array
    case 0xA0...0xBF, 0xD9...0xDB: .string
    case 0xC0: .null
    case 0xC2, 0xC3: .bool
    case 0xC4...0xC6: .binary
    case 0xC7...0xC9, 0xD4...0xD8: .ext
    case 0xCA: .float
    case 0xCB: .double
    case 0xD0...0xD3, 0xE0...0xFF: .signed
    default: throw .reservedByte
    }
  }

  public mutating func readNil(_ bytes: Span<UInt8>) throws(MessagePackError) {
    guard try first(bytes) == 0xC0 else { throw try mismatch(bytes) }
    offset += 1
  }

  /// True and moves on when the next value is nil.
  public mutating func skipNil(_ bytes: Span<UInt8>) throws(MessagePackError) -> Bool {
    guard try first(bytes) == 0xC0 else { return false }
    offset += 1
    return true
  }

  public mutating func readBool(_ bytes: Span<UInt8>) throws(MessagePackError) -> Bool {
    let byte = try first(bytes)
    guard byte == 0xC2 || byte == 0xC3 else { throw try mismatch(bytes) }
    offset += 1
    return byte == 0xC3
  }

  public mutating func readUInt(_ bytes: Span<UInt8>) throws(MessagePackError) -> UInt64 {
    let (bits, isNegative, end) = try integer(bytes)
    guard !isNegative else { throw .outOfRange }
    offset = end
    return bits
  }

  public mutating func readInt(_ bytes: Span<UInt8>) throws(MessagePackError) -> Int64 {
    let (bits, isNegative, end) = try integer(bytes)
    guard isNegative || bits <= UInt64(Int64.max) else { throw .outOfRange }
    offset = end
    return Int64(bitPattern: bits)
  }

  public mutating func readFloat(_ bytes: Span<UInt8>) throws(MessagePackError) -> Float {
    guard try first(bytes) == 0xCA else { throw try mismatch(bytes) }
    let bits: UInt32 = try field(bytes, offset + 1)
    offset += 5
    return Float(bitPattern: bits)
  }

  /// Takes a single-precision float too.
  public mutating func readDouble(_ bytes: Span<UInt8>) throws(MessagePackError) -> Double {
    if try first(bytes) == 0xCA { return Double(try readFloat(bytes)) }
    guard try first(bytes) == 0xCB else { throw try mismatch(bytes) }
    let bits: UInt64 = try field(bytes, offset + 1)
    offset += 9
    return Double(bitPattern: bits)
  }

  /// The bytes of a string, checked as UTF-8.
  public mutating func readString(_ bytes: Span<UInt8>, limit: Int = .max) throws(MessagePackError) -> Range<Int> {
    let (start, length) =
      switch try first(bytes) {
      case let byte where byte & 0xE0 == 0xA0: (offset + 1, UInt64(byte & 31))
      case 0xD9: (offset + 2, UInt64(try field(bytes, offset + 1) as UInt8))
      case 0xDA: (offset + 3, UInt64(try field(bytes, offset + 1) as UInt16))
      case 0xDB: (offset + 5, UInt64(try field(bytes, offset + 1) as UInt32))
      default: throw try mismatch(bytes)
      }
    let range = try payload(bytes, start, length, limit)
    guard UTF8Validator.isValid(bytes.extracting(range)) else { throw .invalidUTF8 }
    offset = range.upperBound
    return range
  }

  public mutating func readBinary(_ bytes: Span<UInt8>, limit: Int = .max) throws(MessagePackError) -> Range<Int> {
    let (start, length) =
      switch try first(bytes) {
      case 0xC4: (offset + 2, UInt64(try field(bytes, offset + 1) as UInt8))
      case 0xC5: (offset + 3, UInt64(try field(bytes, offset + 1) as UInt16))
      case 0xC6: (offset + 5, UInt64(try field(bytes, offset + 1) as UInt32))
      default: throw try mismatch(bytes)
      }
    let range = try payload(bytes, start, length, limit)
    offset = range.upperBound
    return range
  }

  /// How many values follow. A count that the remaining bytes cannot hold is `truncated`, so it can size an allocation.
  public mutating func readArrayHeader(_ bytes: Span<UInt8>, limit: Int = .max) throws(MessagePackError) -> Int {
    try container(bytes, fixed: 0x90, short: 0xDC, bytesEach: 1, limit)
  }

  /// How many pairs of key and value follow; bounded like an array's count.
  public mutating func readMapHeader(_ bytes: Span<UInt8>, limit: Int = .max) throws(MessagePackError) -> Int {
    try container(bytes, fixed: 0x80, short: 0xDE, bytesEach: 2, limit)
  }

  public mutating func readExtension(_ bytes: Span<UInt8>, limit: Int = .max) throws(MessagePackError) -> (type: Int8, payload: Range<Int>)
  {
    let (typeAt, length) =
      switch try first(bytes) {
      case let byte where (0xD4...0xD8).contains(byte): (offset + 1, UInt64(1) << UInt64(byte - 0xD4))
      case 0xC7: (offset + 2, UInt64(try field(bytes, offset + 1) as UInt8))
      case 0xC8: (offset + 3, UInt64(try field(bytes, offset + 1) as UInt16))
      case 0xC9: (offset + 5, UInt64(try field(bytes, offset + 1) as UInt32))
      default: throw try mismatch(bytes)
      }
    let type: UInt8 = try field(bytes, typeAt)
    let range = try payload(bytes, typeAt + 1, length, limit)
    offset = range.upperBound
    return (Int8(bitPattern: type), range)
  }

  /// Moves over one value of any type and everything inside it, at most `depth` containers deep.
  public mutating func skip(_ bytes: Span<UInt8>, depth: Int = depthLimit) throws(MessagePackError) {
    let start = offset
    do throws(MessagePackError) {
      try skipInside(bytes, depth)
    } catch {
      offset = start
      throw error
    }
  }

  private mutating func skipInside(_ bytes: Span<UInt8>, _ depth: Int) throws(MessagePackError) {
    switch try nextKind(bytes) {
    case .null, .bool: offset += 1
    case .unsigned, .signed: offset = try integer(bytes).end
    case .float: _ = try readFloat(bytes)
    case .double: _ = try readDouble(bytes)
    case .string: _ = try readString(bytes)
    case .binary: _ = try readBinary(bytes)
    case .ext: _ = try readExtension(bytes)
    case .array:
      guard depth > 0 else { throw .tooDeep }
      for _ in 0..<(try readArrayHeader(bytes)) { try skipInside(bytes, depth - 1) }
    case .map:
      guard depth > 0 else { throw .tooDeep }
      for _ in 0..<2 * (try readMapHeader(bytes)) { try skipInside(bytes, depth - 1) }
    }
  }

  private func first(_ bytes: Span<UInt8>) throws(MessagePackError) -> UInt8 {
    guard offset < bytes.count else { throw .truncated }
    return bytes[offset]
  }

  private func field<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ bytes: Span<UInt8>, _ start: Int) throws(MessagePackError)
    -> T
  {
    guard bytes.count - start >= MemoryLayout<T>.size else { throw .truncated }
    return bytes.bigEndian(at: start)
  }

  private func payload(_ bytes: Span<UInt8>, _ start: Int, _ length: UInt64, _ limit: Int) throws(MessagePackError) -> Range<Int> {
    guard length <= UInt64(limit) else { throw .tooLarge }
    guard length <= UInt64(max(0, bytes.count - start)) else { throw .truncated }
    return start..<start + Int(length)
  }

  private func mismatch(_ bytes: Span<UInt8>) throws(MessagePackError) -> MessagePackError {
    bytes[offset] == 0xC1 ? .reservedByte : .typeMismatch
  }

  /// The two's complement bits, whether the value is negative, and the offset behind it.
  private func integer(_ bytes: Span<UInt8>) throws(MessagePackError) -> (bits: UInt64, isNegative: Bool, end: Int) {
    func signed(_ value: Int64, _ byteCount: Int) -> (UInt64, Bool, Int) { (UInt64(bitPattern: value), value < 0, offset + byteCount) }
    switch try first(bytes) {
    case let byte where byte < 0x80: return (UInt64(byte), false, offset + 1)
    case let byte where byte >= 0xE0: return signed(Int64(Int8(bitPattern: byte)), 1)
    case 0xCC: return (UInt64(try field(bytes, offset + 1) as UInt8), false, offset + 2)
    case 0xCD: return (UInt64(try field(bytes, offset + 1) as UInt16), false, offset + 3)
    case 0xCE: return (UInt64(try field(bytes, offset + 1) as UInt32), false, offset + 5)
    case 0xCF: return (try field(bytes, offset + 1), false, offset + 9)
    case 0xD0: return signed(Int64(Int8(bitPattern: try field(bytes, offset + 1))), 2)
    case 0xD1: return signed(Int64(Int16(bitPattern: try field(bytes, offset + 1))), 3)
    case 0xD2: return signed(Int64(Int32(bitPattern: try field(bytes, offset + 1))), 5)
    case 0xD3: return signed(Int64(bitPattern: try field(bytes, offset + 1)), 9)
    default: throw try mismatch(bytes)
    }
  }

  private mutating func container(
    _ bytes: Span<UInt8>, fixed: UInt8, short: UInt8, bytesEach: Int, _ limit: Int
  ) throws(MessagePackError) -> Int {
    let (start, count) =
      switch try first(bytes) {
      case let byte where byte & 0xF0 == fixed: (offset + 1, Int(byte & 15))
      case short: (offset + 3, Int(try field(bytes, offset + 1) as UInt16))
      case short + 1: (offset + 5, Int(try field(bytes, offset + 1) as UInt32))
      default: throw try mismatch(bytes)
      }
    guard count <= limit else { throw .tooLarge }
    guard count * bytesEach <= bytes.count - start else { throw .truncated }
    offset = start
    return count
  }
}
