public import CausewayBase
internal import Glibc

/// An address with the length of its network's prefix: an interface's address, or a route's destination.
public struct AddressPrefix: Hashable, Sendable, CustomStringConvertible {
  /// Port 0.
  public let address: DatagramAddress
  /// 0...32 or 0...128.
  public let length: Int

  /// nil when the length does not fit the family. Bits behind it are kept.
  public init?(_ address: DatagramAddress, length: Int) {
    guard (0...(address.family == .ipv4 ? 32 : 128)).contains(length) else { return nil }
    var address = address
    address.port = 0
    self.address = address
    self.length = length
  }

  /// "10.0.0.1/24", "fd00::1/64"; without a length that of one address.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = parts.first.flatMap({ SocketAddress(literal: String($0), port: 0)?.datagram }) else { return nil }
    guard parts.count == 2 else {
      self.init(address, length: address.family == .ipv4 ? 32 : 128)
      return
    }
    guard let length = Int(parts[1]) else { return nil }
    self.init(address, length: length)
  }

  /// With the bits behind the prefix cleared, as routes need them.
  public var network: AddressPrefix {
    func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
    var masked = address
    let bits = address.family == .ipv4 ? length + 96 : length
    if address.family == .ipv6 { masked.high &= ones(bits) }
    masked.low = address.family == .ipv4 ? (address.low & ones(bits - 64) | 0xFFFF_0000_0000) : address.low & ones(bits - 64)
    return AddressPrefix(masked, length: length) ?? self
  }

  public var description: String { "\(SocketAddress(address).host)/\(length)" }

  var family: UInt8 { UInt8(address.family == .ipv4 ? AF_INET : AF_INET6) }
}

extension DatagramAddress {
  /// 4 or 16 bytes in network order, as netlink takes them.
  var kernelBytes: [UInt8] {
    let all = networkBytes
    return (family == .ipv4 ? 12..<16 : 0..<16).map { all[$0] }
  }
}

/// An interface as the kernel tells of it.
public struct NetworkLink: Equatable, Sendable {
  public var index: UInt32
  public var name: String
  public var maximumTransmissionUnit: Int
  public var transmitQueueLength: Int
  /// Switched on (IFF_UP).
  public var isUp: Bool
  /// Has a carrier (IFF_RUNNING).
  public var isRunning: Bool
  /// "tun", "veth", ...; nil for plain hardware.
  public var kind: String?
}

public struct InterfaceAddress: Hashable, Sendable {
  public var prefix: AddressPrefix
  public var interface: UInt32

  public init(_ prefix: AddressPrefix, interface: UInt32) {
    self.prefix = prefix
    self.interface = interface
  }
}

/// A unicast route.
public struct NetworkRoute: Hashable, Sendable, CustomStringConvertible {
  /// The main table.
  public static let mainTable: UInt32 = 254

  /// Its network; bits behind the prefix are cleared on the way to the kernel.
  public var destination: AddressPrefix
  /// 0: by gateway alone.
  public var interface: UInt32
  public var gateway: DatagramAddress?
  /// The address that local programs get by default.
  public var preferredSource: DatagramAddress?
  public var table: UInt32
  /// Smaller wins; nil: the kernel's default (IPv4 0, IPv6 1024).
  public var metric: UInt32?
  /// Bytes; nil: the interface's.
  public var maximumTransmissionUnit: UInt32?

  public init(
    _ destination: AddressPrefix, interface: UInt32, gateway: DatagramAddress? = nil, preferredSource: DatagramAddress? = nil,
    table: UInt32 = mainTable, metric: UInt32? = nil, maximumTransmissionUnit: UInt32? = nil
  ) {
    self.destination = destination
    self.interface = interface
    self.gateway = gateway
    self.preferredSource = preferredSource
    self.table = table
    self.metric = metric
    self.maximumTransmissionUnit = maximumTransmissionUnit
  }

  public var description: String {
    var text = "\(destination)"
    if let gateway { text += " via \(SocketAddress(gateway).host)" }
    if interface != 0 { text += " interface \(interface)" }
    if table != Self.mainTable { text += " table \(table)" }
    return text
  }
}

/// A rule that chooses a routing table (ip-rule(8)).
public struct RoutingRule: Hashable, Sendable, CustomStringConvertible {
  public enum Family: UInt8, Hashable, Sendable { case ipv4, ipv6 }

  public var family: Family
  /// Smaller comes first; nil: before all but the local one, as the kernel chooses.
  public var priority: UInt32?
  /// Matches packets with this mark; nil: all.
  public var mark: UInt32?
  /// Turns the match around ("not").
  public var isInverted: Bool
  public var table: UInt32
  /// Ignores what the table finds with a prefix this short or shorter; 0: only its default route.
  public var suppressedPrefixLength: UInt32?

  public init(
    _ family: Family, table: UInt32, priority: UInt32? = nil, mark: UInt32? = nil, isInverted: Bool = false,
    suppressedPrefixLength: UInt32? = nil
  ) {
    self.family = family
    self.priority = priority
    self.mark = mark
    self.isInverted = isInverted
    self.table = table
    self.suppressedPrefixLength = suppressedPrefixLength
  }

  public var description: String {
    var text = family == .ipv4 ? "IPv4" : "IPv6"
    if isInverted { text += " not" }
    if let mark { text += " mark \(mark)" }
    text += " table \(table)"
    if let suppressedPrefixLength { text += " suppress_prefixlength \(suppressedPrefixLength)" }
    if let priority { text += " priority \(priority)" }
    return text
  }
}
