internal import CausewayBase
public import CausewayWire

/// Which addresses belong to which peer (cryptokey routing, §2): the longest prefix decides, for the destination of what we send and for
/// the source of what we receive. A prefix has one peer; giving it to another moves it.
public struct AllowedIPs {
  private var v4 = PrefixTrie<PeerID>()
  private var v6 = PrefixTrie<PeerID>()

  public init() {}

  /// Bits behind the prefix are cleared.
  /// - Parameter prefixLength: 0...32 or 0...128.
  /// - Returns: The peer that had exactly this prefix.
  @discardableResult public mutating func insert(_ address: IPAddress, prefixLength: Int, for peer: PeerID) -> PeerID? {
    switch address.family {
    case .v4: v4.insert(peer, for: address.low << 32, 0, length: prefixLength)
    case .v6: v6.insert(peer, for: address.high, address.low, length: prefixLength)
    }
  }

  @discardableResult public mutating func insert(_ network: IPNetwork, for peer: PeerID) -> PeerID? {
    insert(network.address, prefixLength: network.prefixLength, for: peer)
  }

  public mutating func removeAll(of peer: PeerID) {
    v4.removeAll { $0 == peer }
    v6.removeAll { $0 == peer }
  }

  /// In order of addresses, shorter prefixes first, IPv4 before IPv6.
  public func networks(of peer: PeerID) -> [IPNetwork] {
    let short = v4.entries.filter { $0.value == peer }.compactMap {
      IPNetwork(IPAddress(ipv4: UInt32(truncatingIfNeeded: $0.high >> 32)), prefixLength: $0.length)
    }
    let long = v6.entries.filter { $0.value == peer }.compactMap {
      IPNetwork(IPAddress(ipv6High: $0.high, low: $0.low), prefixLength: $0.length)
    }
    return short + long
  }

  public func peer(for address: IPAddress) -> PeerID? {
    switch address.family {
    case .v4: v4.longestMatch(address.low << 32, 0)
    case .v6: v6.longestMatch(address.high, address.low)
    }
  }

  /// Whom a packet is for; nil for nobody, or when it is no IP packet.
  public func peer(forDestinationOf packet: Span<UInt8>) -> PeerID? { look(packet, v4Offset: 16, v6Offset: 24) }

  /// Who may have sent a packet; nil for nobody, or when it is no IP packet.
  public func peer(forSourceOf packet: Span<UInt8>) -> PeerID? { look(packet, v4Offset: 12, v6Offset: 8) }

  @inline(__always) private func look(_ packet: Span<UInt8>, v4Offset: Int, v6Offset: Int) -> PeerID? {
    guard !packet.isEmpty else { return nil }
    switch packet[0] &>> 4 {
    case 4:
      guard packet.count >= 20 else { return nil }
      return v4.longestMatch(UInt64(packet.bigEndian(at: v4Offset, as: UInt32.self)) &<< 32, 0)
    case 6:
      guard packet.count >= 40 else { return nil }
      return v6.longestMatch(packet.bigEndian(at: v6Offset), packet.bigEndian(at: v6Offset + 8))
    default: return nil
    }
  }
}
