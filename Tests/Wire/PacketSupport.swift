// Packets for tests, made byte by byte and with the slowest possible checksum, so that nothing here shares code with what is tested.
import CausewayBase
import Testing

@testable import CausewayWire

/// A TCP or UDP packet by its facts.
struct TestPacket: Equatable {
  var isIPv6 = false
  var isTCP = true
  var source: [UInt8] = [10, 0, 0, 1]
  var destination: [UInt8] = [10, 0, 0, 2]
  var ports: (UInt16, UInt16) = (40000, 443)
  var sequence: UInt32 = 1
  var acknowledgement: UInt32 = 77
  var flags: UInt8 = 0x10
  var window: UInt16 = 500
  var options: [UInt8] = []
  var identification: UInt16 = 0
  var forbidsFragmenting = true
  var typeOfService: UInt8 = 0
  var hopLimit: UInt8 = 64
  var payload: [UInt8] = []

  static func == (a: TestPacket, b: TestPacket) -> Bool { a.bytes() == b.bytes() }

  var headerLength: Int { (isIPv6 ? 40 : 20) + (isTCP ? 20 + options.count : 8) }

  /// - Parameter partial: The checksum field holds the pseudo-header's sum only.
  func bytes(partial: Bool = false) -> [UInt8] {
    let transport = (isTCP ? 20 + options.count : 8) + payload.count
    var ip: [UInt8]
    if isIPv6 {
      ip = [0x60 | typeOfService >> 4, typeOfService << 4, 0, 9] + big(UInt16(transport)) + [isTCP ? 6 : 17, hopLimit]
      ip += source + destination
    } else {
      ip = [0x45, typeOfService] + big(UInt16(20 + transport)) + big(identification) + [forbidsFragmenting ? 0x40 : 0, 0]
      ip += [hopLimit, isTCP ? 6 : 17, 0, 0] + source + destination
      ip.replaceSubrange(10..<12, with: big(~slowSum(ip)))
    }
    var segment = big(ports.0) + big(ports.1)
    if isTCP {
      segment += big(UInt16(sequence >> 16)) + big(UInt16(truncatingIfNeeded: sequence))
      segment += big(UInt16(acknowledgement >> 16)) + big(UInt16(truncatingIfNeeded: acknowledgement))
      segment += [UInt8((20 + options.count) / 4) << 4, flags] + big(window) + [0, 0, 0, 0] + options
    } else {
      segment += big(UInt16(transport)) + [0, 0]
    }
    segment += payload
    let pseudo = slowSum(source + destination + [0, isTCP ? 6 : 17] + big(UInt16(transport)))
    let field = isTCP ? 16 : 6
    segment.replaceSubrange(field..<field + 2, with: big(pseudo))
    if !partial {
      var value = ~slowSum(segment)
      if value == 0 && !isTCP { value = 0xFFFF }
      segment.replaceSubrange(field..<field + 2, with: big(value))
    }
    return ip + segment
  }

  /// The header that a kernel puts before it, as one packet or as many.
  func virtio(segmentSize: Int? = nil, needsChecksum: Bool = true) -> VirtioHeader {
    var header = VirtioHeader()
    header.needsChecksum = needsChecksum
    header.checksumStart = isIPv6 ? 40 : 20
    header.checksumOffset = isTCP ? 16 : 6
    if let segmentSize {
      header.segmentation = isTCP ? (isIPv6 ? .tcp6 : .tcp4) : .udp
      header.segmentSize = UInt16(segmentSize)
      header.headerLength = 9999  // a lie that nobody may believe
    }
    return header
  }

  /// What this packet is when it is cut, by the definition.
  func cut(_ size: Int) -> [TestPacket] {
    let count = max(1, (payload.count + size - 1) / size)
    return (0..<count).map { index in
      var part = self
      part.payload = Array(payload[index * size..<min(payload.count, (index + 1) * size)])
      part.sequence = sequence &+ UInt32(index * size)
      part.identification = identification &+ UInt16(index)
      if index != count - 1 { part.flags &= ~0x09 }
      if index != 0 { part.flags &= ~0x80 }
      return part
    }
  }
}

func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }

/// RFC 1071 word by word.
func slowSum(_ bytes: [UInt8]) -> UInt16 {
  var sum = 0
  for index in stride(from: 0, to: bytes.count, by: 2) {
    sum += Int(bytes[index]) << 8 | (index + 1 < bytes.count ? Int(bytes[index + 1]) : 0)
    if sum > 0xFFFF { sum -= 0xFFFF }
  }
  return UInt16(sum)
}

/// Packets of random flows: both families, both protocols, odd lengths, options, flags, numbers about to wrap.
func randomPacket(_ random: inout SeededRandom, payload: ClosedRange<Int>) -> TestPacket {
  var packet = TestPacket()
  packet.isIPv6 = Bool.random(using: &random)
  packet.isTCP = Int.random(in: 0..<4, using: &random) > 0
  let addressCount = packet.isIPv6 ? 16 : 4
  packet.source = (0..<addressCount).map { _ in UInt8.random(in: 0...255, using: &random) }
  packet.destination = (0..<addressCount).map { _ in UInt8.random(in: 0...255, using: &random) }
  packet.ports = (UInt16.random(in: 1...65535, using: &random), UInt16.random(in: 1...65535, using: &random))
  packet.sequence =
    Bool.random(using: &random) ? .max - UInt32.random(in: 0...3000, using: &random) : .random(in: 0...(.max), using: &random)
  packet.acknowledgement = .random(in: 0...(.max), using: &random)
  packet.window = .random(in: 0...(.max), using: &random)
  packet.flags = [0x10, 0x18, 0x11, 0x19, 0x90, 0x98].randomElement(using: &random) ?? 0x10
  packet.options = (0..<4 * Int.random(in: 0...10, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
  packet.identification = Bool.random(using: &random) ? 0xFFFE : .random(in: 0...(.max), using: &random)
  packet.forbidsFragmenting = Bool.random(using: &random)
  packet.typeOfService = .random(in: 0...255, using: &random)
  packet.hopLimit = .random(in: 1...255, using: &random)
  packet.payload = (0..<Int.random(in: payload, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
  return packet
}

func isValid(_ packet: [UInt8]) -> Bool { TransportChecksum.isValid(packet.span) }

/// A partial packet with its checksum completed; empty when that failed.
func completed(_ packet: [UInt8]) -> [UInt8] {
  var packet = packet
  var span = packet.mutableSpan
  return TransportChecksum.finish(&span) ? packet : []
}

/// All segments that a plan makes of a packet.
func segments(_ packet: [UInt8], _ header: VirtioHeader, _ checksums: SegmentationPlan.Checksums) throws -> [[UInt8]] {
  let plan = try SegmentationPlan(packet.span, header)
  return (0..<plan.segmentCount).map { index in
    // One byte more on each side of what is needed must stay as it was.
    var output = [UInt8](repeating: 0xEE, count: plan.segmentLength(index) + 1)
    var span = output.mutableSpan
    let count = plan.writeSegment(index, of: packet.span, into: &span, checksums: checksums)
    #expect(count == plan.segmentLength(index) && output.last == 0xEE)
    return Array(output[..<count])
  }
}

/// One write to a TUN device as the kernel sees it: virtio header and packet.
struct Written: Equatable {
  var header: VirtioHeader
  var packet: [UInt8]
}

/// What the merger would write, and how many packets each write holds.
func merged(_ packets: [(bytes: [UInt8], isPartial: Bool)], mergesUDP: Bool = true) -> [Written] {
  let storage = unsafe packets.map { packet -> UnsafeMutableBufferPointer<UInt8> in
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: packet.bytes.count)
    _ = unsafe memory.initialize(from: packet.bytes)
    return unsafe memory
  }
  defer { for index in unsafe storage.indices { unsafe storage[index].deallocate() } }
  var merger = SegmentMerger(mergesUDP: mergesUDP)
  var written: [Written] = []
  func flush(_ merger: inout SegmentMerger) {
    for index in 0..<merger.count {
      var bytes: [UInt8] = []
      let pieces = unsafe merger.finish(index)
      for place in pieces.indices {
        unsafe bytes += UnsafeRawBufferPointer(start: pieces[place].base, count: pieces[place].count)
      }
      written.append(Written(header: VirtioHeader(bytes.span), packet: Array(bytes[VirtioHeader.byteCount...])))
    }
    merger.removeAll()
  }
  for (index, packet) in packets.enumerated() {
    if merger.isFull { flush(&merger) }
    unsafe merger.add(storage[index].baseAddress!, byteCount: packet.bytes.count, isPartial: packet.isPartial)
  }
  flush(&merger)
  return written
}
