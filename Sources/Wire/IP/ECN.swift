/// Explicit congestion notification: the two low bits of TOS or traffic class (RFC 3168 §5).
public enum ECN: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  case notCapable = 0b00
  case capable1 = 0b01
  case capable0 = 0b10
  case congestionExperienced = 0b11

  /// Of a TOS or traffic class byte.
  @inlinable public init(typeOfService: UInt8) {
    self =
      switch typeOfService & 0b11 {
      case 0b00: .notCapable
      case 0b01: .capable1
      case 0b10: .capable0
      default: .congestionExperienced
      }
  }

  /// Of a packet, which is at least 2 bytes long.
  @inlinable public init(packet: Span<UInt8>) { self.init(typeOfService: Self.typeOfService(of: packet)) }

  /// The TOS byte (IPv4) or traffic class (any other version) of a packet of at least 2 bytes.
  @inlinable public static func typeOfService(of packet: Span<UInt8>) -> UInt8 {
    packet[0] &>> 4 == 4 ? packet[1] : (packet[0] & 0x0F) &<< 4 | packet[1] &>> 4
  }

  /// What a tunnel's ingress writes outside (RFC 6040 §4.1, normal mode): the same.
  @inlinable public var outer: ECN { self }

  /// What a tunnel's egress hands on (RFC 6040 §4.2, figure 4); nil: drop the packet.
  @inlinable public static func inner(_ inner: ECN, arrivingIn outer: ECN) -> ECN? {
    // The common answer first: nothing happened on the way.
    if outer == .notCapable || outer == .capable0 { return inner }
    return decapsulation[Int(inner.rawValue)][Int(outer.rawValue)]
  }

  /// Rows: the inner field; columns: the outer field; both as Not-ECT, ECT(1), ECT(0), CE.
  @usableFromInline static let decapsulation: [4 of [4 of ECN?]] = [
    [.notCapable, .notCapable, .notCapable, nil],
    [.capable1, .capable1, .capable1, .congestionExperienced],
    [.capable0, .capable1, .capable0, .congestionExperienced],
    [.congestionExperienced, .congestionExperienced, .congestionExperienced, .congestionExperienced],
  ]

  /// Writes the field of a whole packet; IPv4's header checksum follows (RFC 1624). Anything that is not IP stays as it is.
  public func write(into packet: inout MutableSpan<UInt8>) {
    guard packet.count >= IPHeader.version4ByteCount else { return }
    let word: UInt16 = packet.bigEndian(at: 0)
    switch packet[0] &>> 4 {
    case 4:
      let new = word & ~0b11 | UInt16(rawValue)
      guard new != word else { return }
      packet.setBigEndian(new, at: 0)
      packet.setBigEndian(InternetChecksum.update(packet.bigEndian(at: 10), from: word, to: new), at: 10)
    case 6: packet.setBigEndian(word & ~0x0030 | UInt16(rawValue) &<< 4, at: 0)
    default: break
    }
  }

  /// Marks "congestion experienced" on a packet that can bear it.
  /// - Returns: false when its sender did not ask for marks: drop it instead.
  public static func markCongestion(_ packet: inout MutableSpan<UInt8>) -> Bool {
    guard packet.count >= 2, ECN(packet: packet.span) != .notCapable else { return false }
    ECN.congestionExperienced.write(into: &packet)
    return true
  }
}
