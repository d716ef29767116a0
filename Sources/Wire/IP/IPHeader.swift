/// What every part of the packet path asks of an IP packet's headers (RFC 791, RFC 8200), read once.
///
///      IPv4                                          IPv6
///      0  version, IHL | TOS | total length          0  version, traffic class, flow label
///      4  identification | flags, fragment offset    4  payload length | next header | hop limit
///      8  TTL | protocol | header checksum           8  source
///     12  source                                    24  destination
///     16  destination                               40  extension headers
public struct IPHeader: BitwiseCopyable, Sendable, Equatable {
  public enum Failure: UInt8, Error, Sendable, CaseIterable {
    /// The bytes end inside the headers, or before the length that the header tells.
    case truncated
    /// Neither version 4 nor 6.
    case notIP
    /// A header length below the minimum, or above the total.
    case badLength
    /// More than `extensionHeaderLimit` extension headers.
    case tooManyExtensions
  }

  /// IPv6 extension headers that are walked; real packets have at most three or four.
  public static let extensionHeaderLimit = 8
  public static let version4ByteCount = 20
  public static let version6ByteCount = 40

  public let isIPv6: Bool
  /// Where the transport header, or an unknown one, starts: behind IPv4 options and IPv6 extension headers.
  public let transportOffset: Int
  /// Of what is there: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
  public let protocolNumber: UInt8
  /// As the header tells; the span may be longer (padding).
  public let totalLength: Int
  /// Bytes before this fragment's in the whole; 0 in the first.
  public let fragmentOffset: Int
  public let hasMoreFragments: Bool
  /// IPv4: the DF bit. IPv6: always true.
  public let forbidsFragmenting: Bool

  @inlinable public var isFragment: Bool { fragmentOffset != 0 || hasMoreFragments }

  @inline(__always) public init(_ bytes: Span<UInt8>) throws(Failure) {
    guard bytes.count >= Self.version4ByteCount else { throw .truncated }
    switch bytes[0] &>> 4 {
    case 4:
      isIPv6 = false
      transportOffset = Int(bytes[0] & 0x0F) &* 4
      totalLength = Int(bytes.bigEndian(at: 2, as: UInt16.self))
      protocolNumber = bytes[9]
      let fragment = bytes.bigEndian(at: 6, as: UInt16.self)
      fragmentOffset = Int(fragment & 0x1FFF) &* 8
      hasMoreFragments = fragment & 0x2000 != 0
      forbidsFragmenting = fragment & 0x4000 != 0
      guard transportOffset >= Self.version4ByteCount, transportOffset <= totalLength else { throw .badLength }
    case 6:
      guard bytes.count >= Self.version6ByteCount else { throw .truncated }
      isIPv6 = true
      forbidsFragmenting = true
      totalLength = Int(bytes.bigEndian(at: 4, as: UInt16.self)) &+ Self.version6ByteCount
      switch bytes[6] {
      case 6, 17, 58:
        transportOffset = Self.version6ByteCount
        protocolNumber = bytes[6]
        fragmentOffset = 0
        hasMoreFragments = false
      default:
        let walk = try Extensions(bytes, totalLength: totalLength)
        transportOffset = walk.offset
        protocolNumber = walk.next
        fragmentOffset = walk.fragmentOffset
        hasMoreFragments = walk.hasMoreFragments
      }
    default: throw .notIP
    }
    guard totalLength <= bytes.count else { throw .truncated }
  }

  /// The chain of extension headers (RFC 8200 §4).
  private struct Extensions {
    var offset = IPHeader.version6ByteCount
    var next: UInt8
    var fragmentOffset = 0
    var hasMoreFragments = false

    init(_ bytes: Span<UInt8>, totalLength: Int) throws(Failure) {
      next = bytes[6]
      let end = min(totalLength, bytes.count)
      for _ in 0..<IPHeader.extensionHeaderLimit {
        // Hop-by-hop, routing, destination options; fragment; authentication. Behind a later fragment's header there is no other.
        guard [0, 43, 60, 44, 51].contains(next), fragmentOffset == 0 else { return }
        guard end &- offset >= 8 else { throw .badLength }
        let length: Int
        switch next {
        case 44:
          let field = bytes.bigEndian(at: offset &+ 2, as: UInt16.self)
          fragmentOffset = Int(field & 0xFFF8)
          hasMoreFragments = field & 1 != 0
          length = 8
        case 51: length = (Int(bytes[offset &+ 1]) &+ 2) &* 4
        default: length = (Int(bytes[offset &+ 1]) &+ 1) &* 8
        }
        next = bytes[offset]
        offset &+= length
        guard offset <= end else { throw .badLength }
      }
      if [0, 43, 60, 44, 51].contains(next) { throw .tooManyExtensions }
    }
  }
}

/// Protocol numbers that the packet path tells apart.
public enum IPProtocol {
  public static let icmp: UInt8 = 1
  public static let tcp: UInt8 = 6
  public static let udp: UInt8 = 17
  public static let icmpV6: UInt8 = 58
}
