import CausewayWire

/// CE in the header of an inner packet (RFC 3168 §5).
enum CongestionMark {
  /// Sets CE where the sender said that it understands it. The IPv4 checksum follows (RFC 1624).
  /// - Returns: whether the packet is marked now; false: Not-ECT, or no IP packet.
  static func apply(to bytes: inout MutableSpan<UInt8>, at offset: Int) -> Bool {
    guard offset >= 0, bytes.count - offset >= 20 else { return false }
    switch bytes[offset] >> 4 {
    case 4:
      let old = bytes[offset + 1]
      guard old & 3 != 0 else { return false }
      bytes[offset + 1] = old | 3
      let checksum = UInt16(bytes[offset + 10]) << 8 | UInt16(bytes[offset + 11])
      var sum = UInt32(~checksum) + UInt32(~UInt16(old)) + UInt32(old | 3)
      sum = sum & 0xFFFF + sum >> 16
      sum = sum & 0xFFFF + sum >> 16
      let updated = ~UInt16(truncatingIfNeeded: sum)
      bytes[offset + 10] = UInt8(updated >> 8)
      bytes[offset + 11] = UInt8(updated & 255)
      return true
    case 6:
      guard bytes[offset + 1] & 0x30 != 0 else { return false }
      bytes[offset + 1] |= 0x30
      return true
    default: return false
    }
  }
}
