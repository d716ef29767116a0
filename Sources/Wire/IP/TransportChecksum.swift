/// TCP and UDP checksums of whole packets.
public enum TransportChecksum {
  /// Completes the checksum of a packet whose field holds the pseudo-header's sum.
  /// - Returns: false, and nothing changed, when it is not TCP or UDP, is a fragment, or is cut short.
  public static func finish(_ packet: inout MutableSpan<UInt8>) -> Bool {
    guard let (start, end, field, isTCP) = place(packet.span) else { return false }
    let sum = InternetChecksum.sum(packet.span, in: start..<end)
    packet.setBigEndian(checksumValue(sum, isTCP: isTCP), at: field)
    return true
  }

  /// Whether a TCP or UDP packet's checksum is right. false also when it has none, or is something else.
  public static func isValid(_ packet: Span<UInt8>) -> Bool {
    guard let (start, end, field, isTCP) = place(packet), isTCP || packet.bigEndian(at: field, as: UInt16.self) != 0 else { return false }
    let pseudo = InternetChecksum.pseudoHeader(
      packet, isIPv6: packet[0] &>> 4 == 6, protocolNumber: isTCP ? IPProtocol.tcp : IPProtocol.udp)
    let sum = InternetChecksum.add(pseudo, UInt16(truncatingIfNeeded: end &- start))
    return InternetChecksum.add(sum, InternetChecksum.sum(packet, in: start..<end)) == 0xFFFF
  }

  /// Where a TCP or UDP packet's checksum starts and ends, and where its field is.
  static func place(_ packet: Span<UInt8>) -> (start: Int, end: Int, field: Int, isTCP: Bool)? {
    guard let header = try? IPHeader(packet), !header.isFragment else { return nil }
    let (start, end) = (header.transportOffset, header.totalLength)
    switch header.protocolNumber {
    case IPProtocol.tcp where end &- start >= TCPHeader.minimumByteCount: return (start, end, start &+ TCPHeader.checksumOffset, true)
    case IPProtocol.udp where end &- start >= UDPHeader.byteCount: return (start, end, start &+ UDPHeader.checksumOffset, false)
    default: return nil
    }
  }
}
