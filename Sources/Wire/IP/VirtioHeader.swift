/// The header of a packet on a TUN device with IFF_VNET_HDR (struct virtio_net_hdr; virtio 1.2 §5.1.6): 10 bytes, in the order of the
/// machine.
///
///     0 flags | 1 segmentation type | 2 header length | 4 segment size | 6 checksum start | 8 checksum offset
public struct VirtioHeader: BitwiseCopyable, Sendable, Equatable {
  public static let byteCount = 10

  public enum Segmentation: UInt8, Sendable, BitwiseCopyable {
    case none = 0
    case tcp4 = 1
    case tcp6 = 4
    /// UDP datagrams of one size (USO).
    case udp = 5
  }

  /// The transport checksum field holds the pseudo-header's sum; whoever ends the journey completes it.
  public var needsChecksum = false
  /// nil: a type that we never asked for.
  public var segmentation: Segmentation? = Segmentation.none
  /// A hint of the sender's; wrong for forwarded packets, so never used on the way in.
  public var headerLength: UInt16 = 0
  /// Payload bytes of each segment but the last.
  public var segmentSize: UInt16 = 0
  /// Where the checksum's bytes begin, and where its field is from there.
  public var checksumStart: UInt16 = 0
  public var checksumOffset: UInt16 = 0

  public init() {}

  /// - Parameter bytes: At least 10; those behind are the packet.
  @inline(__always) public init(_ bytes: Span<UInt8>) {
    func native(_ offset: Int) -> UInt16 { bytes.littleEndian(at: offset, as: UInt16.self).native }
    needsChecksum = bytes[0] & 1 != 0
    segmentation = Segmentation(rawValue: bytes[1] & 0x7F)  // 0x80: ECN, which changes nothing for us
    headerLength = native(2)
    segmentSize = native(4)
    checksumStart = native(6)
    checksumOffset = native(8)
  }

  /// Writes the 10 bytes.
  @inline(__always) public func write(into bytes: inout MutableSpan<UInt8>) {
    bytes[0] = needsChecksum ? 1 : 0
    bytes[1] = segmentation?.rawValue ?? 0
    bytes.setBigEndian(headerLength.native.byteSwapped, at: 2)
    bytes.setBigEndian(segmentSize.native.byteSwapped, at: 4)
    bytes.setBigEndian(checksumStart.native.byteSwapped, at: 6)
    bytes.setBigEndian(checksumOffset.native.byteSwapped, at: 8)
  }
}

extension UInt16 {
  /// Between little-endian and the machine's order; the same in both directions.
  @inline(__always) fileprivate var native: UInt16 { littleEndian }
}
