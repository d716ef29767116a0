internal import CausewayBase
internal import CausewayWire

/// The fields of an IPv4 packet that the flows look at. Written apart from the wire room on purpose: what a bond makes of real headers
/// is checked by other eyes.
struct InnerHeader {
  static let byteCount = 20
  static let icmp: UInt8 = 1
  static let tcp: UInt8 = 6
  static let udp: UInt8 = 17

  var protocolNumber: UInt8
  var source: UInt32
  var destination: UInt32
  var congestionBits: UInt8
  var totalLength: Int

  /// Nil unless it is a whole IPv4 packet without options whose header sums up.
  init?(_ packet: Span<UInt8>) {
    guard packet.count >= Self.byteCount, packet[0] == 0x45 else { return nil }
    totalLength = Int(packet.bigEndian(at: 2, as: UInt16.self))
    guard totalLength >= Self.byteCount, totalLength <= packet.count, Self.sum(packet.extracting(first: 20)) == 0xFFFF else { return nil }
    protocolNumber = packet[9]
    source = packet.bigEndian(at: 12)
    destination = packet.bigEndian(at: 16)
    congestionBits = packet[1] & 3
  }

  /// Whether the transport checksum holds.
  func isIntact(_ packet: Span<UInt8>) -> Bool {
    let body = packet.extracting(Self.byteCount..<totalLength)
    guard body.count >= 8 else { return false }
    if protocolNumber == Self.icmp { return Self.sum(body) == 0xFFFF }
    return Self.sum(body, startingWith: Self.pseudoHeader(source, destination, protocolNumber, body.count)) == 0xFFFF
  }

  static func pseudoHeader(_ source: UInt32, _ destination: UInt32, _ protocolNumber: UInt8, _ count: Int) -> UInt64 {
    UInt64(source >> 16) + UInt64(source & 0xFFFF) + UInt64(destination >> 16) + UInt64(destination & 0xFFFF) + UInt64(protocolNumber)
      + UInt64(count)
  }

  /// The folded one's complement sum (RFC 1071).
  static func sum(_ bytes: Span<UInt8>, startingWith start: UInt64 = 0) -> UInt16 {
    // Summed in 32-bit little-endian words, swapped once at the end: the order of bytes commutes with the sum.
    var total: UInt64 = 0
    var offset = 0
    while offset &+ 4 <= bytes.count {
      total &+= UInt64(bytes.littleEndian(at: offset, as: UInt32.self))
      offset &+= 4
    }
    if offset &+ 2 <= bytes.count {
      total &+= UInt64(bytes.littleEndian(at: offset, as: UInt16.self))
      offset &+= 2
    }
    if offset < bytes.count { total &+= UInt64(bytes[offset]) }
    return fold(UInt64(fold(total).byteSwapped) &+ start)
  }

  private static func fold(_ total: UInt64) -> UInt16 {
    var total = total
    while total > 0xFFFF { total = (total & 0xFFFF) &+ (total &>> 16) }
    return UInt16(total)
  }

  /// Sets CE and mends the header's sum (RFC 1624).
  static func markCongestion(_ packet: inout MutableSpan<UInt8>) {
    packet[1] |= 3
    (packet[10], packet[11]) = (0, 0)
    let checksum = ~sum(packet.span.extracting(first: byteCount))
    packet[10] = UInt8(checksum >> 8)
    packet[11] = UInt8(checksum & 255)
  }
}

/// Writes the packets of one flow over and over into one buffer, whose payload stays as it is.
struct PacketWriter {
  private(set) var bytes: [UInt8]
  private let source: UInt32
  private let destination: UInt32
  private let protocolNumber: UInt8
  private var identification: UInt16 = 0

  init(from source: UInt32, to destination: UInt32, protocolNumber: UInt8, longest: Int) {
    bytes = [UInt8](repeating: 0, count: longest)
    self.source = source
    self.destination = destination
    self.protocolNumber = protocolNumber
    bytes[0] = 0x45
    bytes[6] = 0x40  // don't fragment
    bytes[8] = 64
    bytes[9] = protocolNumber
    put(source, at: 12)
    put(destination, at: 16)
  }

  mutating func put(_ value: UInt8, at offset: Int) { bytes[offset] = value }

  mutating func put(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(value >> 8)
    bytes[offset + 1] = UInt8(value & 255)
  }

  mutating func put(_ value: UInt32, at offset: Int) {
    put(UInt16(value >> 16), at: offset)
    put(UInt16(value & 0xFFFF), at: offset + 2)
  }

  mutating func put(_ value: UInt64, at offset: Int) {
    put(UInt32(value >> 32), at: offset)
    put(UInt32(value & 0xFFFF_FFFF), at: offset + 4)
  }

  /// Fills in lengths and sums of a packet of `count` bytes.
  /// - Parameter summed: bytes from the start that aren't surely zero.
  mutating func finish(_ count: Int, congestionBits: UInt8, checksumAt offset: Int, summed: Int) {
    put(congestionBits, at: 1)
    put(UInt16(count), at: 2)
    put(identification, at: 4)
    identification &+= 1
    put(UInt16(0), at: 10)
    put(~InnerHeader.sum(bytes.span.extracting(first: 20)), at: 10)
    put(UInt16(0), at: offset)
    let start =
      protocolNumber == InnerHeader.icmp ? 0 : InnerHeader.pseudoHeader(source, destination, protocolNumber, count - InnerHeader.byteCount)
    let checksum = ~InnerHeader.sum(bytes.span.extracting(InnerHeader.byteCount..<min(count, summed)), startingWith: start)
    put(checksum == 0 && protocolNumber == InnerHeader.udp ? 0xFFFF : checksum, at: offset)
  }
}
