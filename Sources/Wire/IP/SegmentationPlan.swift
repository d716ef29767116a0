/// How a packet read from a TUN device with a virtio header becomes packets for the wire: one, or the segments of a large one (TSO, USO).
/// Everything that the header says is checked against the packet; the segments can then be written in any order, one at a time.
///
/// A large packet may have more segments than fit one round of the caller (`roundLimit`): go on with the next index in the next
/// round, never drop. An MSS of 88 gives 745 of them.
public struct SegmentationPlan: BitwiseCopyable, Sendable {
  /// Why a packet cannot be sent on; count it and drop it.
  public enum Failure: UInt8, Error, Sendable, CaseIterable {
    case truncated
    case notIP
    /// A header length that contradicts the packet.
    case badLength
    /// A segmentation type that we did not ask for, or that does not fit the packet.
    case badSegmentation
    /// A checksum outside the packet.
    case badChecksum
  }

  /// What a segment's TCP or UDP checksum field holds.
  public enum Checksums: UInt8, Sendable, BitwiseCopyable {
    /// The checksum, as for any receiver.
    case finished
    /// The pseudo-header's sum, where `canStayPartial`: for a receiver that knows so and completes it.
    case partial
  }

  /// Segments that a caller should take in one round, so that one giant packet does not hold up the sockets: 64 of 1400 bytes are
  /// more than 65535.
  public static let roundLimit = 64

  /// At least 1.
  public let segmentCount: Int
  /// Bytes of IP and transport header that each segment repeats; 0 for a single packet, which is copied whole.
  public let headerLength: Int
  /// Payload bytes of each segment but the last; a single packet's length.
  public let segmentSize: Int
  /// Whether the packet came with a checksum to complete, so that `.partial` saves work. Without it, single packets are complete.
  public let canStayPartial: Bool

  let payloadByteCount: Int
  let isIPv6: Bool
  let isTCP: Bool
  let transportOffset: Int
  /// Of a single packet with a checksum to complete.
  let checksumStart: Int
  let checksumField: Int
  let needsChecksum: Bool

  // What the segments' headers have in common, summed once.
  let identification: UInt16
  let sequence: UInt32
  let flags: UInt8
  /// IPv4 header without length, identification and checksum.
  let networkSum: UInt16
  /// Addresses and protocol.
  let pseudoSum: UInt16
  /// TCP header without sequence, flags and checksum; UDP ports.
  let transportSum: UInt16

  /// - Parameters:
  ///   - packet: The packet as read, without its virtio header and with nothing behind it.
  ///   - header: The virtio header before it.
  public init(_ packet: Span<UInt8>, _ header: VirtioHeader) throws(Failure) {
    let ip: IPHeader
    do throws(IPHeader.Failure) { ip = try IPHeader(packet) } catch {
      switch error {
      case .truncated: throw .truncated
      case .notIP: throw .notIP
      case .badLength, .tooManyExtensions: throw .badLength
      }
    }
    // The kernel leaves lengths that do not fit 16 bits as zero; such packets we never ask for.
    guard ip.totalLength == packet.count else { throw .badLength }
    isIPv6 = ip.isIPv6
    transportOffset = ip.transportOffset
    needsChecksum = header.needsChecksum
    isTCP = ip.protocolNumber == IPProtocol.tcp
    checksumStart = Int(header.checksumStart)
    checksumField = checksumStart &+ Int(header.checksumOffset)
    let isUDP = ip.protocolNumber == IPProtocol.udp
    let field = isTCP ? TCPHeader.checksumOffset : UDPHeader.checksumOffset
    let isPlainTransport = (isTCP || isUDP) && !ip.isFragment && checksumStart == transportOffset && Int(header.checksumOffset) == field

    switch header.segmentation {
    case .some(.none):
      if needsChecksum {
        guard checksumStart >= IPHeader.version4ByteCount, checksumField &+ 2 <= packet.count else { throw .badChecksum }
      }
      canStayPartial = needsChecksum && isPlainTransport
      segmentCount = 1
      headerLength = 0
      segmentSize = packet.count
      payloadByteCount = packet.count
      (identification, sequence, flags, networkSum, pseudoSum, transportSum) = (0, 0, 0, 0, 0, 0)
      return
    case .tcp4: guard isTCP && !isIPv6 else { throw .badSegmentation }
    case .tcp6: guard isTCP && isIPv6 else { throw .badSegmentation }
    case .udp: guard isUDP else { throw .badSegmentation }
    case nil: throw .badSegmentation
    }

    guard isPlainTransport else { throw .badSegmentation }
    guard header.segmentSize > 0 else { throw .badSegmentation }
    segmentSize = Int(header.segmentSize)
    if isTCP {
      guard let tcp = TCPHeader(packet, at: transportOffset, end: packet.count) else { throw .badLength }
      headerLength = transportOffset &+ tcp.byteCount
      sequence = tcp.sequence
      flags = tcp.flags.rawValue
      var sum = InternetChecksum.sum(packet, in: transportOffset..<headerLength)
      for offset in [4, 6, 16] { sum = InternetChecksum.remove(packet.bigEndian(at: transportOffset &+ offset), from: sum) }
      transportSum = InternetChecksum.remove(UInt16(flags), from: sum)
    } else {
      guard packet.count &- transportOffset >= UDPHeader.byteCount else { throw .badLength }
      headerLength = transportOffset &+ UDPHeader.byteCount
      (sequence, flags) = (0, 0)
      transportSum = InternetChecksum.sum(packet, in: transportOffset..<(transportOffset &+ 4))
    }
    payloadByteCount = packet.count &- headerLength
    segmentCount = max(1, (payloadByteCount &+ segmentSize &- 1) / segmentSize)
    canStayPartial = true
    if isIPv6 {
      (identification, networkSum) = (0, 0)
    } else {
      identification = packet.bigEndian(at: 4)
      var sum = InternetChecksum.sum(packet, in: 0..<transportOffset)
      for offset in [2, 4, 10] { sum = InternetChecksum.remove(packet.bigEndian(at: offset), from: sum) }
      networkSum = sum
    }
    pseudoSum = InternetChecksum.pseudoHeader(packet, isIPv6: isIPv6, protocolNumber: ip.protocolNumber)
  }

  /// The bytes of the read packet that segment `index` carries behind its headers.
  @inlinable public func payloadRange(_ index: Int) -> Range<Int> {
    precondition(index >= 0 && index < segmentCount, "no such segment")
    let start = index &* segmentSize
    return (headerLength &+ start)..<(headerLength &+ min(start &+ segmentSize, payloadBytes))
  }

  @usableFromInline var payloadBytes: Int { payloadByteCount }

  /// Bytes of segment `index` with its headers.
  @inlinable public func segmentLength(_ index: Int) -> Int { headerLength &+ payloadRange(index).count }
}
