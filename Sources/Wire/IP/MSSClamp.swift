/// Keeps TCP segments small enough for the link: lowers the MSS option of SYN and SYN-ACK (RFC 9293 §3.7.1) that passes by.
public enum MSSClamp {
  /// - Parameters:
  ///   - packet: Any packet; only a TCP SYN with a larger MSS option changes.
  ///   - maximumTransmissionUnit: Of the link, in bytes: the MSS becomes at most this less 40 (IPv4) or 60 (IPv6).
  ///   - isPartial: The checksum field holds the pseudo-header's sum, which knows nothing of options.
  /// - Returns: Whether the packet was changed.
  @discardableResult
  public static func clamp(_ packet: inout MutableSpan<UInt8>, maximumTransmissionUnit: Int, isPartial: Bool) -> Bool {
    guard let header = try? IPHeader(packet.span), header.protocolNumber == IPProtocol.tcp, header.fragmentOffset == 0 else { return false }
    let start = header.transportOffset
    guard let tcp = TCPHeader(packet.span, at: start, end: header.totalLength), tcp.flags.contains(.syn) else { return false }
    let limit = UInt16(clamping: maximumTransmissionUnit &- (header.isIPv6 ? 60 : 40))
    var offset = start &+ TCPHeader.minimumByteCount
    let end = start &+ tcp.byteCount
    while offset < end {
      switch packet[offset] {
      case 0: return false  // end of options
      case 1: offset &+= 1  // no operation
      case let kind:
        guard offset &+ 1 < end else { return false }
        let length = Int(packet[offset &+ 1])
        guard length >= 2, offset &+ length <= end else { return false }
        if kind == 2 && length == 4 { return lower(&packet, at: offset &+ 2, to: limit, checksumAt: start &+ 16, isPartial) }
        offset &+= length
      }
    }
    return false
  }

  private static func lower(
    _ packet: inout MutableSpan<UInt8>, at offset: Int, to limit: UInt16, checksumAt field: Int, _ isPartial: Bool
  ) -> Bool {
    let old: UInt16 = packet.bigEndian(at: offset)
    guard old > limit else { return false }
    packet.setBigEndian(limit, at: offset)
    if !isPartial {
      // An option at an odd offset straddles two words of the sum: both bytes then count for the other half.
      let isOdd = (offset &- field) & 1 != 0
      let (from, to) = isOdd ? (old.byteSwapped, limit.byteSwapped) : (old, limit)
      packet.setBigEndian(InternetChecksum.update(packet.bigEndian(at: field), from: from, to: to), at: field)
    }
    return true
  }
}
