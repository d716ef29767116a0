/// Where a datagram comes from or goes to: an IPv4 or IPv6 address with a port, as 24 plain bytes, for packet loops and tables. What
/// users read and write is a socket address's or an IP address's business.
public struct DatagramAddress: Hashable, Sendable, BitwiseCopyable {
  public enum Family: UInt8, Sendable, BitwiseCopyable { case ipv4, ipv6 }

  /// The 16 address bytes as two big-endian numbers; IPv4 in its mapped form ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
  public var high: UInt64
  public var low: UInt64
  /// The interface of a link-local IPv6 address, else 0.
  public var scope: UInt32
  /// In host order; 0 where only the address matters.
  public var port: UInt16
  public var family: Family

  @inlinable public init(family: Family, high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
    self.high = high
    self.low = low
    self.scope = scope
    self.port = port
    self.family = family
  }

  /// `address` read as a big-endian number: 0x7F00_0001 is 127.0.0.1.
  @inlinable public static func ipv4(_ address: UInt32, port: UInt16) -> DatagramAddress {
    DatagramAddress(family: .ipv4, high: 0, low: 0xFFFF_0000_0000 | UInt64(address), port: port)
  }

  @inlinable public static func ipv6(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) -> DatagramAddress {
    DatagramAddress(family: .ipv6, high: high, low: low, port: port, scope: scope)
  }

  /// 0.0.0.0 port 0, for tables that need a value where there is none.
  @inlinable public static var unspecified: DatagramAddress { .ipv4(0, port: 0) }

  /// 0.0.0.0 or ::, whatever the port.
  @inlinable public var isUnspecified: Bool { high == 0 && (low == 0 || low == 0xFFFF_0000_0000) }

  /// The 16 address bytes (IPv4 mapped) and the port, in network order: 18 bytes, for a cookie (WireGuard's `ip || port`).
  public var networkBytes: InlineArray<18, UInt8> {
    InlineArray { index in
      switch index {
      case 0..<8: UInt8(truncatingIfNeeded: high &>> UInt64(56 - index * 8))
      case 8..<16: UInt8(truncatingIfNeeded: low &>> UInt64(56 - (index - 8) * 8))
      case 16: UInt8(truncatingIfNeeded: port &>> 8)
      default: UInt8(truncatingIfNeeded: port)
      }
    }
  }
}
