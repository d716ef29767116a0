/// What a packet is, for those who treat some kinds better.
public struct FlowKind: OptionSet, BitwiseCopyable, Sendable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// A TCP segment with SYN.
  public static let tcpSYN = FlowKind(rawValue: 1)
  /// A TCP segment with nothing but an acknowledgement.
  public static let pureTCPAck = FlowKind(rawValue: 2)
  /// Port 53, UDP or TCP.
  public static let dns = FlowKind(rawValue: 4)
  /// ICMP or ICMPv6.
  public static let icmp = FlowKind(rawValue: 8)
  /// A QUIC handshake: a long header (RFC 9000 §17.2) of version 1, 2, a draft, or version negotiation.
  public static let quicLongHeader = FlowKind(rawValue: 16)
  /// One of several fragments.
  public static let fragment = FlowKind(rawValue: 32)
  /// TCP of any kind.
  public static let tcp = FlowKind(rawValue: 64)

  /// Small packets whose delay a user feels.
  public static let latencyCritical: FlowKind = [.tcpSYN, .dns, .icmp, .quicLongHeader]

  @inlinable public var isLatencyCritical: Bool { rawValue & Self.latencyCritical.rawValue != 0 }
}

/// A 32-bit hash of what makes a flow, and its kind, in one look at the headers: addresses, protocol and ports; IPv6 also the flow
/// label; fragments the addresses and protocol only, so that all of a packet's go together.
public struct FlowHash: BitwiseCopyable, Sendable, Equatable {
  public let value: UInt32
  public let kind: FlowKind

  /// - Parameters:
  ///   - packet: Anything; what is not IP, or cut short, hashes to a value of its own with no kind.
  ///   - seed: From the kernel's entropy where strangers choose the packets, so that they cannot aim at one bucket.
  public init(_ packet: Span<UInt8>, seed: UInt64 = 0) {
    do throws(IPHeader.Failure) {
      self.init(packet, try IPHeader(packet), seed: seed)
    } catch {
      self.init(value: UInt32(truncatingIfNeeded: Self.mix(seed, 0x9E37_79B9_7F4A_7C15)), kind: [])
    }
  }

  /// With the header that was read from this packet.
  public init(_ packet: Span<UInt8>, _ header: IPHeader, seed: UInt64 = 0) {
    var state = seed ^ UInt64(header.protocolNumber) &<< 56
    var facts = UInt64(0)
    if header.isIPv6 {
      state = Self.mix(state ^ packet.littleEndian(at: 8), packet.littleEndian(at: 16))
      state = Self.mix(state ^ packet.littleEndian(at: 24), packet.littleEndian(at: 32))
      if !header.isFragment { facts = UInt64(packet.bigEndian(at: 0, as: UInt32.self) & 0x000F_FFFF) &<< 32 }
    } else {
      state = Self.mix(state ^ packet.littleEndian(at: 12), 0xD6E8_FEB8_6659_FD93)
    }
    var kind: FlowKind = header.isFragment ? .fragment : []
    switch header.protocolNumber {
    case IPProtocol.tcp: kind.insert(.tcp)
    case IPProtocol.icmp where !header.isIPv6, IPProtocol.icmpV6 where header.isIPv6: kind.insert(.icmp)
    default: break
    }
    let at = header.transportOffset
    // TCP, UDP, DCCP, SCTP, UDP-Lite start with two ports.
    let hasPorts = [IPProtocol.tcp, IPProtocol.udp, 33, 132, 136].contains(header.protocolNumber)
    if hasPorts && !header.isFragment && header.totalLength &- at >= 4 {
      let ports: UInt32 = packet.bigEndian(at: at)
      facts |= UInt64(ports)
      if header.protocolNumber == IPProtocol.tcp {
        if let tcp = TCPHeader(packet, at: at, end: header.totalLength) {
          if tcp.flags.contains(.syn) { kind.insert(.tcpSYN) }
          if tcp.flags.subtracting([.ece, .cwr]) == .ack && at &+ tcp.byteCount == header.totalLength { kind.insert(.pureTCPAck) }
        }
      } else if header.protocolNumber == IPProtocol.udp && Self.isQUICLongHeader(packet, at &+ UDPHeader.byteCount, header.totalLength) {
        kind.insert(.quicLongHeader)
      }
      let isDNS = ports &>> 16 == 53 || ports & 0xFFFF == 53
      if isDNS && header.protocolNumber <= IPProtocol.udp { kind.insert(.dns) }
    }
    // Twice: neighbouring ports differ in few bits, and one product leaves a pattern.
    state = Self.mix(Self.mix(state ^ facts, 0xA076_1D64_78BD_642F), state)
    self.init(value: UInt32(truncatingIfNeeded: state ^ state &>> 32), kind: kind)
  }

  private init(value: UInt32, kind: FlowKind) {
    self.value = value
    self.kind = kind
  }

  /// 64 x 64 bits to 128, folded: every input bit reaches every output bit. The constants keep zeros from sticking.
  @inline(__always) private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = (a ^ 0xE703_7ED1_A0B4_28DB).multipliedFullWidth(by: b ^ 0x8EBC_6AF0_9C88_C6E3)
    return product.high ^ product.low
  }

  @inline(__always) private static func isQUICLongHeader(_ packet: Span<UInt8>, _ offset: Int, _ end: Int) -> Bool {
    guard end &- offset >= 5, packet[offset] & 0x80 != 0 else { return false }
    let version: UInt32 = packet.bigEndian(at: offset &+ 1)
    // 0 is version negotiation (RFC 8999 §6), whose other header bits are free; 0x6B3343CF is version 2 (RFC 9369).
    return version == 0 || packet[offset] & 0x40 != 0 && (version == 1 || version == 0x6B33_43CF || version &>> 8 == 0xFF_0000)
  }
}
