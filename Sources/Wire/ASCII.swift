/// Classes of ASCII bytes as the RFCs name them.
public enum ASCII {
  public static let tab: UInt8 = 0x09
  public static let lineFeed: UInt8 = 0x0A
  public static let carriageReturn: UInt8 = 0x0D
  public static let space: UInt8 = 0x20
  public static let colon: UInt8 = 0x3A
  public static let comma: UInt8 = 0x2C

  @inlinable public static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

  @inlinable public static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  /// SP or HTAB: the characters of OWS (RFC 9110 §5.6.3).
  @inlinable public static func isBlank(_ byte: UInt8) -> Bool { byte == space || byte == tab }

  /// `tchar` (RFC 9110 §5.6.2).
  @inlinable public static func isToken(_ byte: UInt8) -> Bool { isMember(byte, 0x3ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe) }

  /// `unreserved` (RFC 3986 §2.3): what we take in a host name.
  @inlinable public static func isUnreserved(_ byte: UInt8) -> Bool { isMember(byte, 0x3ff_6000_0000_0000, 0x47ff_fffe_87ff_fffe) }

  /// A byte of a field value (RFC 9110 §5.5): SP, HTAB, 0x21-0x7E, 0x80-0xFF.
  @inlinable public static func isFieldValue(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == tab }

  /// The value of a hexadecimal digit, or nil.
  @inlinable public static func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    if isDigit(byte) { return byte &- 0x30 }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : nil
  }

  /// Two 64-bit sets cover 0...127; nothing above is a member.
  @inlinable @inline(__always) static func isMember(_ byte: UInt8, _ low: UInt64, _ high: UInt64) -> Bool {
    let set = byte < 64 ? low : high
    return byte < 128 && (set &>> UInt64(byte & 63)) & 1 == 1
  }
}
