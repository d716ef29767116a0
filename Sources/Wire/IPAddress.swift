public import CausewayBase

/// An IPv4 or IPv6 address as a value of 128 bits. Zones belong to sockets, not here.
public struct IPAddress: Hashable, Sendable {
  public enum Family: UInt8, Sendable { case v4, v6 }

  public let family: Family
  /// IPv6: bits 127...64; IPv4: zero.
  public let high: UInt64
  /// IPv6: bits 63...0; IPv4: the address in the low 32 bits.
  public let low: UInt64

  public init(ipv4 value: UInt32) {
    family = .v4
    high = 0
    low = UInt64(value)
  }

  public init(ipv6High high: UInt64, low: UInt64) {
    family = .v6
    self.high = high
    self.low = low
  }

  /// 4 or 16 bytes in network order; nil for any other count.
  public init?(bytes: Span<UInt8>) {
    switch bytes.count {
    case 4: self.init(ipv4: bytes.bigEndian(at: 0))
    case 16: self.init(ipv6High: bytes.bigEndian(at: 0), low: bytes.bigEndian(at: 8))
    default: return nil
    }
  }

  /// 4 or 16 bytes in network order.
  public func append(to buffer: ByteBuffer) {
    switch family {
    case .v4: buffer.appendBigEndian(UInt32(truncatingIfNeeded: low))
    case .v6:
      buffer.appendBigEndian(high)
      buffer.appendBigEndian(low)
    }
  }

  public var bitCount: Int { family == .v4 ? 32 : 128 }

  /// `::ffff:1.2.3.4` as `1.2.3.4` (RFC 4291 §2.5.5.2): what a dual-stack socket says of an IPv4 peer. Others as they are.
  public var unmapped: IPAddress {
    family == .v6 && high == 0 && low >> 32 == 0xFFFF ? IPAddress(ipv4: UInt32(truncatingIfNeeded: low)) : self
  }

  /// 127.0.0.0/8 or ::1, mapped ones too.
  public var isLoopback: Bool {
    let address = unmapped
    return address.family == .v4 ? address.low >> 24 == 127 : address.high == 0 && address.low == 1
  }

  /// 0.0.0.0 or ::.
  public var isUnspecified: Bool { high == 0 && low == 0 }
}
