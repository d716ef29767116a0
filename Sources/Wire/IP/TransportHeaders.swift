/// A TCP header inside a packet (RFC 9293 §3.1), checked to lie inside it.
///
///      0  source port | destination port
///      4  sequence number
///      8  acknowledgement number
///     12  data offset | flags | window
///     16  checksum | urgent pointer
///     20  options
public struct TCPHeader: BitwiseCopyable, Sendable, Equatable {
  public static let minimumByteCount = 20
  public static let checksumOffset = 16

  public struct Flags: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let fin = Flags(rawValue: 0x01)
    public static let syn = Flags(rawValue: 0x02)
    public static let reset = Flags(rawValue: 0x04)
    public static let push = Flags(rawValue: 0x08)
    public static let ack = Flags(rawValue: 0x10)
    public static let urgent = Flags(rawValue: 0x20)
    public static let ece = Flags(rawValue: 0x40)
    public static let cwr = Flags(rawValue: 0x80)
  }

  /// 20...60, options included.
  public let byteCount: Int
  public let sequence: UInt32
  public let flags: Flags

  /// nil when the header does not fit between `offset` and `end` (<= the span's count).
  @inline(__always) public init?(_ bytes: Span<UInt8>, at offset: Int, end: Int) {
    guard end <= bytes.count, offset >= 0, end &- offset >= Self.minimumByteCount else { return nil }
    byteCount = Int(bytes[offset &+ 12] &>> 4) &* 4
    guard byteCount >= Self.minimumByteCount, byteCount <= end &- offset else { return nil }
    sequence = bytes.bigEndian(at: offset &+ 4)
    flags = Flags(rawValue: bytes[offset &+ 13])
  }
}

/// UDP (RFC 768): source port, destination port, length, checksum; 16 bits each.
public enum UDPHeader {
  public static let byteCount = 8
  public static let lengthOffset = 4
  public static let checksumOffset = 6
}
