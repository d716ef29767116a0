public import CausewayBase

/// Appends MessagePack to a `ByteBuffer`, each value in its shortest form.
public struct MessagePackWriter {
  public let buffer: ByteBuffer

  public init(_ buffer: ByteBuffer) { self.buffer = buffer }

  public func writeNil() { buffer.append(0xC0) }

  public func write(_ value: Bool) { buffer.append(value ? 0xC3 : 0xC2) }

  public func write(_ value: UInt64) {
    switch value {
    case 0...0x7F: buffer.append(UInt8(value))
    case 0...0xFF: tag(0xCC, UInt8(value))
    case 0...0xFFFF: tag(0xCD, UInt16(value))
    case 0...0xFFFF_FFFF: tag(0xCE, UInt32(value))
    default: tag(0xCF, value)
    }
  }

  public func write(_ value: Int64) {
    guard value < 0 else { return write(UInt64(value)) }
    switch value {
    case -32..<0: buffer.append(UInt8(bitPattern: Int8(value)))
    case -0x80..<0: tag(0xD0, UInt8(bitPattern: Int8(value)))
    case -0x8000..<0: tag(0xD1, UInt16(bitPattern: Int16(value)))
    case -0x8000_0000..<0: tag(0xD2, UInt32(bitPattern: Int32(value)))
    default: tag(0xD3, UInt64(bitPattern: value))
    }
  }

  public func write(_ value: Float) { tag(0xCA, value.bitPattern) }

  public func write(_ value: Double) { tag(0xCB, value.bitPattern) }

  public func write(_ text: String) {
    writeStringHeader(byteCount: text.utf8.count)
    buffer.append(text)
  }

  public func write(_ text: StaticString) {
    writeStringHeader(byteCount: text.utf8CodeUnitCount)
    buffer.append(text)
  }

  /// A string whose `bytes` are UTF-8 already.
  public func write(utf8 bytes: Span<UInt8>) {
    writeStringHeader(byteCount: bytes.count)
    buffer.append(bytes)
  }

  public func write(binary bytes: Span<UInt8>) {
    writeBinaryHeader(byteCount: bytes.count)
    buffer.append(bytes)
  }

  /// The caller appends `byteCount` bytes itself.
  public func writeBinaryHeader(byteCount: Int) {
    switch byteCount {
    case 0...0xFF: tag(0xC4, UInt8(byteCount))
    case 0...0xFFFF: tag(0xC5, UInt16(byteCount))
    default: tag(0xC6, Self.count(byteCount))
    }
  }

  public func writeArrayHeader(_ count: Int) {
    switch count {
    case 0...15: buffer.append(0x90 | UInt8(count))
    case 0...0xFFFF: tag(0xDC, UInt16(count))
    default: tag(0xDD, Self.count(count))
    }
  }

  /// `count` pairs of key and value follow.
  public func writeMapHeader(_ count: Int) {
    switch count {
    case 0...15: buffer.append(0x80 | UInt8(count))
    case 0...0xFFFF: tag(0xDE, UInt16(count))
    default: tag(0xDF, Self.count(count))
    }
  }

  public func write(extensionType type: Int8, _ bytes: Span<UInt8>) {
    switch bytes.count {
    case 1, 2, 4, 8, 16: buffer.append(0xD4 + UInt8(bytes.count.trailingZeroBitCount))
    case 0...0xFF: tag(0xC7, UInt8(bytes.count))
    case 0...0xFFFF: tag(0xC8, UInt16(bytes.count))
    default: tag(0xC9, Self.count(bytes.count))
    }
    buffer.append(UInt8(bitPattern: type))
    buffer.append(bytes)
  }

  private func writeStringHeader(byteCount: Int) {
    switch byteCount {
    case 0...31: buffer.append(0xA0 | UInt8(byteCount))
    case 0...0xFF: tag(0xD9, UInt8(byteCount))
    case 0...0xFFFF: tag(0xDA, UInt16(byteCount))
    default: tag(0xDB, Self.count(byteCount))
    }
  }

  private func tag<T: FixedWidthInteger & UnsignedInteger>(_ tag: UInt8, _ value: T) {
    buffer.append(tag)
    buffer.appendBigEndian(value)
  }

  private static func count(_ count: Int) -> UInt32 {
    precondition(count >= 0 && count <= Int(UInt32.max), "MessagePack counts end at 2^32 - 1")
    return UInt32(count)
  }
}
