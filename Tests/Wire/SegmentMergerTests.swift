import CausewayBase
import Testing

@testable import CausewayWire

@Suite struct SegmentMergerTests {
  @Test("what was cut is put together, and cutting that gives the same packets again", arguments: 0..<300 as Range<UInt64>)
  func inverse(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let isPartial = Bool.random(using: &random)
    var packet = randomPacket(&random, payload: 1...20000)
    let size = Int.random(in: 400...1348, using: &random)
    if packet.payload.count <= size { packet.payload += [UInt8](repeating: 5, count: size) }
    let parts = packet.cut(size).map { $0.bytes(partial: isPartial) }
    let written = merged(parts.map { ($0, isPartial) })
    var again: [[UInt8]] = []
    for write in written { again += try segments(write.packet, write.header, isPartial ? .partial : .finished) }
    #expect(again == parts, "seed \(seed)")
    // FIN and CWR segments stand alone; all else is one.
    let alone = packet.isTCP ? (packet.flags & 0x80 != 0 ? 1 : 0) + (packet.flags & 0x01 != 0 ? 1 : 0) : 0
    #expect(written.count <= alone + 1, "seed \(seed): \(written.count)")
  }

  @Test("flows that interleave are merged each for itself, in order of their first packets")
  func interleaved() throws {
    let flows = (0..<4).map { index in
      TestPacket(ports: (UInt16(1000 + index), 80), sequence: UInt32(index * 1000), payload: [UInt8](repeating: UInt8(index), count: 5000))
    }
    let parts = flows.map { $0.cut(1000) }
    var packets: [(bytes: [UInt8], isPartial: Bool)] = []
    for index in 0..<5 { for flow in 0..<4 { packets.append((parts[flow][index].bytes(), false)) } }
    let written = merged(packets)
    #expect(written.count == 4)
    for (write, flow) in zip(written, flows) { #expect(write.packet == flow.bytes(partial: true)) }
    #expect(written[0].header.segmentation == .tcp4 && written[0].header.segmentSize == 1000 && written[0].header.headerLength == 40)
  }

  /// The second of two segments that would merge, changed.
  static let obstacles: [(String, @Sendable (inout TestPacket) -> Void)] = [
    ("a gap", { $0.sequence += 1 }), ("an overlap", { $0.sequence -= 1 }), ("another acknowledgement", { $0.acknowledgement += 1 }),
    ("another window", { $0.window += 1 }), ("FIN", { $0.flags |= 1 }), ("SYN", { $0.flags |= 2 }), ("RST", { $0.flags |= 4 }),
    ("URG", { $0.flags |= 0x20 }), ("ECE", { $0.flags |= 0x40 }), ("CWR", { $0.flags |= 0x80 }), ("no ACK", { $0.flags = 0 }),
    ("other options", { $0.options[7] ^= 1 }), ("more options", { $0.options += [1, 1, 1, 1] }), ("another TTL", { $0.hopLimit -= 1 }),
    ("another TOS", { $0.typeOfService ^= 3 }), ("DF gone", { $0.forbidsFragmenting.toggle() }), ("another port", { $0.ports.1 += 1 }),
    ("another source port", { $0.ports.0 += 1 }), ("another source", { $0.source[3] += 1 }),
    ("another destination", { $0.destination[3] += 1 }), ("a longer payload", { $0.payload += [1] }), ("no payload", { $0.payload = [] }),
    ("UDP", { $0.isTCP = false }),
  ]

  @Test("nothing is merged across", arguments: obstacles.indices)
  func notAcross(_ index: Int) {
    let (name, change) = Self.obstacles[index]
    var packet = TestPacket(options: Array(0..<12), payload: [UInt8](repeating: 9, count: 2000))
    packet.forbidsFragmenting = true
    var parts = packet.cut(1000)
    #expect(merged(parts.map { ($0.bytes(), false) }).count == 1)
    change(&parts[1])
    let written = merged(parts.map { ($0.bytes(), false) })
    #expect(written.map(\.packet) == parts.map { $0.bytes() }, "\(name)")
    #expect(written.allSatisfy { $0.header == VirtioHeader() }, "\(name)")
  }

  @Test("without DF the identification must count on; with it, it means nothing")
  func identification() {
    for forbidsFragmenting in [true, false] {
      let packet = TestPacket(
        identification: 0xFFFF, forbidsFragmenting: forbidsFragmenting, payload: [UInt8](repeating: 9, count: 2000))
      var parts = packet.cut(1000)
      #expect(merged(parts.map { ($0.bytes(), false) }).count == 1)
      parts[1].identification = 77
      #expect(merged(parts.map { ($0.bytes(), false) }).count == (forbidsFragmenting ? 1 : 2))
    }
  }

  @Test("nothing follows a shorter segment or PSH, and PSH reaches the whole")
  func ends() {
    let packet = TestPacket(payload: [UInt8](repeating: 9, count: 3000))
    var parts = packet.cut(1000)
    parts[1].flags |= 0x08
    let written = merged(parts.map { ($0.bytes(), false) })
    #expect(written.map(\.packet.count) == [2040, 1040])
    #expect(written[0].packet[33] == 0x18 && written[1].packet[33] == 0x10)
    parts = packet.cut(1000)
    parts[1].payload.removeLast()
    parts[2].sequence -= 1
    #expect(merged(parts.map { ($0.bytes(), false) }).map(\.packet.count) == [2039, 1040])
  }

  @Test("a wrong checksum is never vouched for: the packet is written as it came", arguments: [0, 1])
  func wrongChecksum(_ bad: Int) {
    var parts = TestPacket(payload: [UInt8](repeating: 9, count: 2000)).cut(1000).map { $0.bytes() }
    parts[bad][500] ^= 1
    let written = merged(parts.map { ($0, false) })
    #expect(written.map(\.packet) == parts && written.allSatisfy { !$0.header.needsChecksum })
  }

  @Test("a lone partial packet leaves the checksum to the kernel; a complete one is not touched", arguments: [true, false])
  func lone(isTCP: Bool) {
    let packet = TestPacket(isTCP: isTCP, payload: [1, 2, 3])
    #expect(merged([(packet.bytes(), false)]) == [Written(header: VirtioHeader(), packet: packet.bytes())])
    let written = merged([(packet.bytes(partial: true), true)])[0]
    #expect(written.header == packet.virtio() && written.packet == packet.bytes(partial: true))
  }

  @Test("complete and partial packets of a flow merge, since the whole is partial anyway")
  func mixed() {
    let packet = TestPacket(payload: [UInt8](repeating: 9, count: 3000))
    let parts = packet.cut(1000)
    for pattern in 0..<8 {
      let written = merged(parts.enumerated().map { ($1.bytes(partial: pattern >> $0 & 1 == 1), pattern >> $0 & 1 == 1) })
      #expect(written.map(\.packet) == [packet.bytes(partial: true)])
    }
  }

  @Test("UDP is merged only when the device takes it, and not without a checksum")
  func udp() {
    let packet = TestPacket(isTCP: false, payload: [UInt8](repeating: 9, count: 2500))
    var parts = packet.cut(1000).map { $0.bytes() }
    #expect(merged(parts.map { ($0, false) }).map(\.packet) == [packet.bytes(partial: true)])
    #expect(merged(parts.map { ($0, false) }, mergesUDP: false).map(\.packet) == parts)
    for index in parts.indices { parts[index].replaceSubrange(26..<28, with: [0, 0]) }
    #expect(merged(parts.map { ($0, false) }).map(\.packet) == parts)
  }

  @Test("IP options, extension headers and fragments are written alone")
  func plainOnly() {
    let packet = TestPacket(payload: [UInt8](repeating: 9, count: 2000))
    var parts = packet.cut(1000).map { $0.bytes() }
    for index in 0..<2 { parts[index][6] |= 0x20 }  // more fragments
    #expect(merged(parts.map { ($0, true) }).map(\.packet) == parts)
  }

  @Test("order within a flow stays, also when there is no more room in a batch")
  func limits() throws {
    // 150 packets of 100 bytes: 63 to a batch.
    let packet = TestPacket(payload: (0..<15000).map { UInt8(truncatingIfNeeded: $0) })
    let parts = packet.cut(100).map { $0.bytes() }
    let written = merged(parts.map { ($0, false) })
    #expect(written.map(\.packet.count) == [6340, 6340, 2440])
    var again: [[UInt8]] = []
    for write in written { again += try segments(write.packet, write.header, .finished) }
    #expect(again == parts)
    // 65535 bytes to a batch.
    let large = TestPacket(payload: [UInt8](repeating: 1, count: 65000)).cut(1300).map { $0.bytes() }
    let next = TestPacket(sequence: 65001, payload: [UInt8](repeating: 1, count: 1300)).bytes()
    #expect(merged((large + [next]).map { ($0, false) }).map(\.packet.count) == [65040, 1340])
    // 64 batches.
    let many = (0..<200).map { TestPacket(ports: (UInt16($0), 1), payload: [1]).bytes() }
    #expect(merged(many.map { ($0, false) }).map(\.packet) == many)
  }
}
