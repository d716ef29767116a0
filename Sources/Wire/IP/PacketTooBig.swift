/// Tells the sender of a packet that the link is too small for it: ICMP "fragmentation needed" (RFC 792, RFC 1191 §4) or ICMPv6 "packet
/// too big" (RFC 4443 §3.2). The caller limits how often.
public enum PacketTooBig {
  /// Most bytes of an answer: IPv4 hosts need not take more (RFC 1812 §4.3.2.3), IPv6's minimum MTU (RFC 4443 §2.4 c).
  public static let byteLimit4 = 576
  public static let byteLimit6 = 1280
  /// Room that `write` needs.
  public static let byteLimit = byteLimit6
  private static let hopLimit: UInt8 = 64

  /// Writes the answer to `packet`.
  /// - Parameters:
  ///   - maximumTransmissionUnit: What fits, in bytes; told as at least 68 or 1280.
  ///   - source: Whose answer it is, of the packet's family; nil: the packet's destination, which its sender surely takes.
  ///   - output: At least `byteLimit` bytes, filled from its start.
  /// - Returns: Bytes written; 0 when there must be no answer: to an ICMP error, to a later fragment, to or from a group or nobody, to an
  ///   IPv4 packet that may be fragmented, to something that is not IP.
  public static func write(
    answering packet: Span<UInt8>, maximumTransmissionUnit: Int, source: IPAddress? = nil, into output: inout MutableSpan<UInt8>
  ) -> Int {
    precondition(output.count >= byteLimit, "an answer needs 1280 bytes")
    guard let header = try? IPHeader(packet), header.fragmentOffset == 0, isAnswerable(packet, header) else { return 0 }
    return header.isIPv6
      ? writeVersion6(packet, header, maximumTransmissionUnit, source, &output)
      : writeVersion4(packet, header, maximumTransmissionUnit, source, &output)
  }

  private static func isAnswerable(_ packet: Span<UInt8>, _ header: IPHeader) -> Bool {
    let kind = header.transportOffset < header.totalLength ? packet[header.transportOffset] : 0
    if header.isIPv6 {
      // Errors are types 0...127. To a group "packet too big" is allowed (RFC 4443 §2.4 e.3): path MTU discovery works for groups too.
      if header.protocolNumber == IPProtocol.icmpV6 && kind < 128 { return false }
      let (high, low): (UInt64, UInt64) = (packet.bigEndian(at: 8), packet.bigEndian(at: 16))
      return high &>> 56 != 0xFF && !(high == 0 && low <= 1)
    }
    guard header.forbidsFragmenting else { return false }
    // Destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 1122 §3.2.2).
    if header.protocolNumber == IPProtocol.icmp && [3, 4, 5, 11, 12].contains(kind) { return false }
    let (source, destination): (UInt32, UInt32) = (packet.bigEndian(at: 12), packet.bigEndian(at: 16))
    let isFromOne = source &>> 24 != 0 && source &>> 24 != 127 && source < 0xE000_0000
    return isFromOne && destination < 0xE000_0000
  }

  private static func writeVersion4(
    _ packet: Span<UInt8>, _ header: IPHeader, _ mtu: Int, _ source: IPAddress?, _ output: inout MutableSpan<UInt8>
  ) -> Int {
    let quoted = min(header.totalLength, byteLimit4 &- 28)
    let length = 28 &+ quoted
    output.setBigEndian(UInt16(0x4500), at: 0)
    output.setBigEndian(UInt16(length), at: 2)
    output.setBigEndian(UInt32(0), at: 4)
    output.setBigEndian(UInt32(hopLimit) &<< 24 | UInt32(IPProtocol.icmp) &<< 16, at: 8)
    output.setBigEndian(source.flatMap { $0.family == .v4 ? UInt32($0.low) : nil } ?? packet.bigEndian(at: 16), at: 12)
    output.setBigEndian(packet.bigEndian(at: 12, as: UInt32.self), at: 16)
    output.setBigEndian(~InternetChecksum.sum(output.span, in: 0..<20), at: 10)
    output.setBigEndian(UInt32(0x0304_0000), at: 20)
    output.setBigEndian(UInt32(UInt16(clamping: max(68, mtu))), at: 24)
    output.copy(packet, 0..<quoted, to: 28)
    output.setBigEndian(~InternetChecksum.sum(output.span, in: 20..<length), at: 22)
    return length
  }

  private static func writeVersion6(
    _ packet: Span<UInt8>, _ header: IPHeader, _ mtu: Int, _ source: IPAddress?, _ output: inout MutableSpan<UInt8>
  ) -> Int {
    let quoted = min(header.totalLength, byteLimit6 &- 48)
    let length = 48 &+ quoted
    output.setBigEndian(UInt32(0x6000_0000), at: 0)
    output.setBigEndian(UInt16(length &- 40), at: 4)
    output[6] = IPProtocol.icmpV6
    output[7] = hopLimit
    // A group cannot answer: its packets need a `source`.
    if let source, source.family == .v6 {
      output.setBigEndian(source.high, at: 8)
      output.setBigEndian(source.low, at: 16)
    } else {
      guard packet[24] != 0xFF else { return 0 }
      output.copy(packet, 24..<40, to: 8)
    }
    output.copy(packet, 8..<24, to: 24)
    output.setBigEndian(UInt32(0x0200_0000), at: 40)
    output.setBigEndian(UInt32(clamping: max(1280, mtu)), at: 44)
    output.copy(packet, 0..<quoted, to: 48)
    let pseudo = InternetChecksum.pseudoHeader(output.span, isIPv6: true, protocolNumber: IPProtocol.icmpV6)
    let sum = InternetChecksum.add(pseudo, UInt16(length &- 40))
    output.setBigEndian(~InternetChecksum.add(sum, InternetChecksum.sum(output.span, in: 40..<length)), at: 42)
    return length
  }
}
