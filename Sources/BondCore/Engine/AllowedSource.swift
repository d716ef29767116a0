import CausewayWire

/// Remembers the last answer of cryptokey routing for a peer: most packets come from the same few addresses.
struct AllowedSource {
  private var high: UInt64 = 0
  private var low: UInt64 = 0
  private var isKnown = false

  /// Whether the packet's source address belongs to the peer (whitepaper §2). The packet holds its whole IP header.
  @inline(__always) mutating func allows(_ packet: Span<UInt8>, _ peer: PeerID, _ table: borrowing AllowedIPs) -> Bool {
    var high: UInt64 = 0
    let low: UInt64
    if packet[0] &>> 4 == 4 {
      low = UInt64(packet.littleEndian(at: 12, as: UInt32.self))
      high = .max
    } else {
      high = packet.littleEndian(at: 8)
      low = packet.littleEndian(at: 16)
    }
    if isKnown, high == self.high, low == self.low { return true }
    guard table.peer(forSourceOf: packet) == peer else { return false }
    (self.high, self.low, isKnown) = (high, low, true)
    return true
  }

  /// The table changed.
  mutating func forget() { isKnown = false }
}
