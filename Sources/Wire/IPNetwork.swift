/// A network in CIDR notation (RFC 4632): `10.0.0.0/8`, `fd00::/8`, or a single address.
public struct IPNetwork: Hashable, Sendable {
  public let address: IPAddress
  /// 0...32 or 0...128.
  public let prefixLength: Int

  /// - Returns: nil when the prefix does not fit the family or bits behind it are set.
  public init?(_ address: IPAddress, prefixLength: Int) {
    guard prefixLength >= 0, prefixLength <= address.bitCount else { return nil }
    let masked = Self.mask(address, prefixLength)
    guard masked == address else { return nil }
    self.address = address
    self.prefixLength = prefixLength
  }

  /// The network of an address: bits behind the prefix are cleared. `prefixLength` is cut to what the family has.
  public init(masking address: IPAddress, prefixLength: Int) {
    self.prefixLength = min(max(prefixLength, 0), address.bitCount)
    self.address = Self.mask(address, self.prefixLength)
  }

  public init(parsing text: String) throws(AddressError) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = parts.first.flatMap({ IPAddress($0) }) else { throw .invalidNetwork(text) }
    guard parts.count == 2 else {
      self.address = address
      prefixLength = address.bitCount
      return
    }
    let digits = parts[1].utf8
    guard (1...3).contains(digits.count), digits.allSatisfy(ASCII.isDigit), digits.count == 1 || digits.first != 0x30,
      let length = Int(parts[1]), length <= address.bitCount
    else { throw .invalidNetwork(text) }
    guard let network = IPNetwork(address, prefixLength: length) else {
      throw .hostBitsSet(text, suggestion: "\(Self.mask(address, length))/\(length)")
    }
    self = network
  }

  /// A mapped IPv4 address (`::ffff:1.2.3.4`) is looked up as IPv4 when the network is one.
  public func contains(_ candidate: IPAddress) -> Bool {
    let address = self.address.family == .v4 ? candidate.unmapped : candidate
    guard address.family == self.address.family else { return false }
    return Self.mask(address, prefixLength) == self.address
  }

  private static func mask(_ address: IPAddress, _ length: Int) -> IPAddress {
    func ones(_ count: Int) -> UInt64 { count <= 0 ? 0 : count >= 64 ? .max : ~(UInt64.max >> UInt64(count)) }
    switch address.family {
    case .v4: return IPAddress(ipv4: UInt32(truncatingIfNeeded: address.low & (ones(length + 32) & 0xFFFF_FFFF)))
    case .v6: return IPAddress(ipv6High: address.high & ones(length), low: address.low & ones(length - 64))
    }
  }
}

extension IPNetwork: CustomStringConvertible {
  public var description: String { "\(address)/\(prefixLength)" }
}
