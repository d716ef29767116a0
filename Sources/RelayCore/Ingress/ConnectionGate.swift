public import CausewayWire

/// Counts visitors' connections, in all and for each address (an IPv6 network of 64 bits counts as one).
public struct ConnectionGate: Sendable {
  public enum Admission: Equatable, Sendable { case admitted, tooManyInAll, tooManyFromAddress }

  private let limit: Int
  private let limitPerAddress: Int
  private var counts: [IPAddress: Int] = [:]
  public private(set) var count = 0

  public init(limit: Int, limitPerAddress: Int) {
    self.limit = limit
    self.limitPerAddress = limitPerAddress
  }

  /// Admits a connection, which must `leave` once. Without an address, and from an exempt one, only the total counts.
  public mutating func enter(_ address: IPAddress?, isExempt: Bool) -> Admission {
    guard count < limit else { return .tooManyInAll }
    if let address {
      let key = address.countedNetwork
      let present = counts[key] ?? 0
      guard isExempt || present < limitPerAddress else { return .tooManyFromAddress }
      counts[key] = present + 1
    }
    count += 1
    return .admitted
  }

  public mutating func leave(_ address: IPAddress?) {
    count -= 1
    guard let address else { return }
    let key = address.countedNetwork
    guard let present = counts[key] else { return }
    counts[key] = present > 1 ? present - 1 : nil
  }
}

extension IPAddress {
  /// What counts as one visitor: an IPv4 address, or an IPv6 network of 64 bits.
  var countedNetwork: IPAddress { unmapped.family == .v4 ? unmapped : IPAddress(ipv6High: high, low: 0) }
}
