import CausewayBase
import Testing

@testable import CausewayWire

@Suite struct InternetChecksumTests {
  @Test("the sum is RFC 1071's, at every length and offset")
  func sum() {
    var random = SeededRandom(seed: 1)
    let bytes = (0..<400).map { _ in UInt8.random(in: 0...255, using: &random) }
    for start in 0..<9 {
      for end in start...bytes.count {
        let sum = InternetChecksum.sum(bytes.span, in: start..<end)
        guard sum == slowSum(Array(bytes[start..<end])) else {
          Issue.record("\(start)..<\(end)")
          return
        }
      }
    }
    let ones = [UInt8](repeating: 0xFF, count: 65536)
    #expect(InternetChecksum.sum(ones.span, in: 0..<65536) == 0xFFFF)
  }

  @Test("an updated checksum is the one computed anew", arguments: 0..<50 as Range<UInt64>)
  func update(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bytes = (0..<20).map { _ in UInt8.random(in: 0...255, using: &random) }
    let (old, at) = (~slowSum(bytes), Int.random(in: 0..<10, using: &random) * 2)
    let (from, to) = (UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]), UInt16.random(in: 0...(.max), using: &random))
    bytes.replaceSubrange(at..<at + 2, with: big(to))
    #expect(InternetChecksum.update(old, from: from, to: to) == ~slowSum(bytes))
  }
}

@Suite struct ECNTests {
  static let table: [(inner: ECN, outer: [ECN?])] = [
    // Outer: Not-ECT, ECT(0), ECT(1), CE; as the figure of RFC 6040 §4.2 has them.
    (.notCapable, [.notCapable, .notCapable, .notCapable, nil]),
    (.capable0, [.capable0, .capable0, .capable1, .congestionExperienced]),
    (.capable1, [.capable1, .capable1, .capable1, .congestionExperienced]),
    (.congestionExperienced, [.congestionExperienced, .congestionExperienced, .congestionExperienced, .congestionExperienced]),
  ]

  @Test("decapsulation follows RFC 6040", arguments: table.indices)
  func decapsulation(_ row: Int) {
    let columns: [ECN] = [.notCapable, .capable0, .capable1, .congestionExperienced]
    #expect(columns.map { ECN.inner(Self.table[row].inner, arrivingIn: $0) } == Self.table[row].outer)
    #expect(ECN.allCases.map(\.outer) == ECN.allCases)
  }

  @Test("marks keep DSCP and checksum", arguments: [true, false], ECN.allCases)
  func marks(isIPv6: Bool, from: ECN) {
    var packet = TestPacket(isIPv6: isIPv6, typeOfService: 0xB8 | from.rawValue, payload: [1, 2, 3])
    if isIPv6 { (packet.source, packet.destination) = ([UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)) }
    for to in ECN.allCases {
      var bytes = packet.bytes()
      var span = bytes.mutableSpan
      to.write(into: &span)
      packet.typeOfService = 0xB8 | to.rawValue
      #expect(bytes == packet.bytes() && ECN(packet: bytes.span) == to)
      packet.typeOfService = 0xB8 | from.rawValue
    }
    var bytes = packet.bytes()
    var span = bytes.mutableSpan
    let marked = ECN.markCongestion(&span)
    #expect(marked == (from != .notCapable) && ECN(packet: bytes.span) == (marked ? .congestionExperienced : .notCapable))
  }
}

@Suite struct FlowHashTests {
  static func hash(_ packet: TestPacket) -> FlowHash { FlowHash(packet.bytes().span) }

  @Test("a flow has one hash; every address, port and protocol another")
  func flows() {
    let packet = TestPacket(payload: [1])
    var same = packet
    (same.sequence, same.payload, same.typeOfService, same.hopLimit) = (99, [2, 3], 4, 5)
    #expect(Self.hash(packet).value == Self.hash(same).value)
    var hashes: Set<UInt32> = [Self.hash(packet).value]
    for change in [
      { $0.source[2] = 9 }, { $0.destination[0] = 9 }, { $0.ports.0 = 1 }, { $0.ports.1 = 1 }, { $0.isTCP = false },
      { ($0.source, $0.destination) = ($0.destination, $0.source) },
    ] as [(inout TestPacket) -> Void] {
      var other = packet
      change(&other)
      hashes.insert(Self.hash(other).value)
    }
    #expect(hashes.count == 7)
    #expect(FlowHash(packet.bytes().span, seed: 1).value != Self.hash(packet).value)
  }

  @Test("ports spread evenly over 256 buckets")
  func spread() {
    var buckets = [Int](repeating: 0, count: 256)
    for port in 1...25600 as ClosedRange<UInt16> { buckets[Int(Self.hash(TestPacket(ports: (port, 443))).value & 0xFF)] += 1 }
    // Mean 100, standard deviation 10.
    #expect(buckets.allSatisfy { $0 > 50 && $0 < 150 })
  }

  @Test("IPv6 flow labels tell flows apart; fragments of a packet stay together")
  func labels() {
    var packet = TestPacket(isIPv6: true, source: .init(repeating: 1, count: 16), destination: .init(repeating: 2, count: 16)).bytes()
    let first = FlowHash(packet.span)
    packet[3] ^= 1
    #expect(FlowHash(packet.span).value != first.value)
    // Two fragments over IPv4: the second has other bytes where ports would be.
    var fragments = [TestPacket(ports: (1, 2), payload: [1]).bytes(), TestPacket(ports: (3, 4), payload: [1]).bytes()]
    fragments[0][6] |= 0x20
    fragments[1][7] = 100
    let hashes = fragments.map { FlowHash($0.span) }
    #expect(hashes[0] == hashes[1] && hashes[0].kind.contains(.fragment))
  }

  static let quic: [UInt8] = [0xC3, 0, 0, 0, 1, 8]
  static let kinds: [(TestPacket, FlowKind)] = [
    (TestPacket(flags: 0x02), [.tcp, .tcpSYN]), (TestPacket(flags: 0x12), [.tcp, .tcpSYN]),
    (TestPacket(flags: 0x10), [.tcp, .pureTCPAck]), (TestPacket(flags: 0x50, options: [1, 1, 1, 1]), [.tcp, .pureTCPAck]),
    (TestPacket(flags: 0x10, payload: [1]), .tcp), (TestPacket(flags: 0x11), .tcp), (udp((5000, 53), [1]), .dns),
    (udp((53, 5000), [1]), .dns), (TestPacket(ports: (5000, 53), payload: [1]), [.tcp, .dns]), (udp((1, 2), quic), .quicLongHeader),
    (udp((1, 2), [0x43, 0, 0, 0, 1]), []), (udp((1, 2), [0xC3, 9, 9, 9, 9]), []), (udp((1, 2), [0xC3, 0, 0, 0]), []),
    (udp((1, 2), [0x80, 0, 0, 0, 0]), .quicLongHeader), (udp((1, 2), [0x83, 0, 0, 0, 1]), []),
  ]
  static func udp(_ ports: (UInt16, UInt16), _ payload: [UInt8]) -> TestPacket {
    TestPacket(isTCP: false, ports: ports, payload: payload)
  }

  @Test("kinds", arguments: kinds.indices)
  func kindOf(_ row: Int) {
    let (packet, kind) = Self.kinds[row]
    #expect(FlowHash(packet.bytes().span).kind == kind)
  }

  @Test("ICMP of both families, behind extension headers too")
  func icmp() {
    var packet = TestPacket(payload: [1]).bytes()
    packet[9] = 1
    #expect(FlowHash(packet.span).kind == .icmp)
    var ip6: [UInt8] = [0x60, 0, 0, 0, 0, 16, 0, 64] + [UInt8](repeating: 3, count: 32)
    ip6 += [58, 0, 1, 4, 0, 0, 0, 0] + [128, 0, 0, 0, 0, 0, 0, 0]
    #expect(FlowHash(ip6.span).kind == .icmp)
    ip6[41] = 2  // the fragment header ends behind the packet
    ip6[6] = 60
    #expect(throws: IPHeader.Failure.badLength) { try IPHeader(ip6.span) }
  }

  @Test("a chain of extension headers ends at the limit")
  func chain() {
    var bytes: [UInt8] = [0x60, 0, 0, 0, 0, 200, 0, 64] + [UInt8](repeating: 3, count: 32)
    for _ in 0..<25 { bytes += [0, 0, 1, 4, 0, 0, 0, 0] }
    #expect(throws: IPHeader.Failure.tooManyExtensions) { try IPHeader(bytes.span) }
  }
}

@Suite struct MSSClampTests {
  static func clamp(_ packet: TestPacket, mtu: Int, partial: Bool = false) -> (changed: Bool, bytes: [UInt8]) {
    var bytes = packet.bytes(partial: partial)
    var span = bytes.mutableSpan
    let changed = MSSClamp.clamp(&span, maximumTransmissionUnit: mtu, isPartial: partial)
    return (changed, bytes)
  }

  @Test("a SYN's MSS is lowered, at even and odd places, and the checksum stays right", arguments: [0, 1, 2, 3], [true, false])
  func isLowered(_ padding: Int, partial: Bool) {
    let fill = [UInt8](repeating: 1, count: padding)
    let tail = [UInt8](repeating: 0, count: (4 - padding) % 4)
    var packet = TestPacket(flags: 0x02, options: fill + [2, 4, 0x05, 0xB4] + tail)
    let result = Self.clamp(packet, mtu: 1400, partial: partial)
    packet.options.replaceSubrange(padding + 2..<padding + 4, with: big(1360))
    #expect(result.changed && result.bytes == packet.bytes(partial: partial))
    #expect(!Self.clamp(packet, mtu: 1400).changed)
    #expect(Self.clamp(packet, mtu: 1399).changed)
  }

  @Test("IPv6 leaves 60 bytes for headers")
  func version6() {
    let packet = TestPacket(
      isIPv6: true, source: .init(repeating: 1, count: 16), destination: .init(repeating: 2, count: 16), flags: 0x12,
      options: [2, 4, 0x05, 0xB4])
    let result = Self.clamp(packet, mtu: 1400)
    #expect(Array(result.bytes[62..<64]) == big(1340) && isValid(result.bytes))
  }

  @Test(
    "everything else stays as it is",
    arguments: [
      TestPacket(flags: 0x10, options: [2, 4, 0x05, 0xB4]), TestPacket(flags: 0x02), TestPacket(flags: 0x02, options: [0, 2, 4, 0xFF]),
      TestPacket(flags: 0x02, options: [8, 0, 2, 4]), TestPacket(flags: 0x02, options: [1, 1, 1, 2]),
      TestPacket(flags: 0x02, options: [1, 2, 4, 9]), TestPacket(isTCP: false, payload: [2, 4, 5, 0xB4]),
    ])
  func untouched(_ packet: TestPacket) {
    let result = Self.clamp(packet, mtu: 500)
    #expect(!result.changed && result.bytes == packet.bytes())
  }
}

@Suite struct PacketTooBigTests {
  static func answer(_ packet: [UInt8], mtu: Int = 1400, source: IPAddress? = nil) -> [UInt8] {
    var output = [UInt8](repeating: 0xEE, count: PacketTooBig.byteLimit)
    var span = output.mutableSpan
    let count = PacketTooBig.write(answering: packet.span, maximumTransmissionUnit: mtu, source: source, into: &span)
    return Array(output[..<count])
  }

  @Test("IPv4: fragmentation needed, with the MTU and the packet's start, at most 576 bytes")
  func version4() throws {
    let packet = TestPacket(payload: [UInt8](repeating: 7, count: 1500)).bytes()
    let bytes = Self.answer(packet)
    #expect(bytes.count == 576 && slowSum(Array(bytes[..<20])) == 0xFFFF && slowSum(Array(bytes[20...])) == 0xFFFF)
    #expect(Array(bytes[12..<20]) == [10, 0, 0, 2, 10, 0, 0, 1])
    #expect(Array(bytes[20..<22]) == [3, 4] && Array(bytes[26..<28]) == big(1400) && Array(bytes[28...]) == Array(packet[..<548]))
    #expect(Array(Self.answer(packet, source: IPAddress("10.9.9.9"))[12..<16]) == [10, 9, 9, 9])
    #expect(Array(Self.answer(packet, mtu: 20)[26..<28]) == big(68))
  }

  @Test("IPv6: packet too big, at most 1280 bytes, never an MTU below 1280")
  func version6() {
    let packet = TestPacket(
      isIPv6: true, source: .init(repeating: 0x21, count: 16), destination: .init(repeating: 0x22, count: 16),
      payload: [UInt8](repeating: 7, count: 1500))
    let bytes = Self.answer(packet.bytes())
    #expect(bytes.count == 1280 && bytes[40] == 2 && Array(bytes[44..<48]) == [0, 0] + big(1400))
    #expect(Array(bytes[8..<24]) == packet.destination && Array(bytes[24..<40]) == packet.source)
    #expect(slowSum(Array(bytes[8..<40]) + [0, 58] + big(1240) + Array(bytes[40...])) == 0xFFFF)
    #expect(Array(Self.answer(packet.bytes(), mtu: 1000)[46..<48]) == big(1280))
  }

  static let silences: [(String, @Sendable (inout [UInt8]) -> Void)] = [
    ("DF is off", { $0[6] = 0 }), ("a later fragment", { $0[7] = 9 }), ("to a group", { $0[16] = 224 }), ("to all", { $0[16] = 255 }),
    ("from a group", { $0[12] = 225 }), ("from nobody", { $0[12] = 0 }), ("from loopback", { $0[12] = 127 }),
    ("an ICMP error", { ($0[9], $0[20]) = (1, 3) }), ("no IP", { $0[0] = 0x15 }), ("cut short", { $0.removeLast() }),
  ]

  @Test("no answer", arguments: silences.indices)
  func silent(_ index: Int) {
    var bytes = TestPacket(payload: [UInt8](repeating: 7, count: 1500)).bytes()
    #expect(!Self.answer(bytes).isEmpty)
    Self.silences[index].1(&bytes)
    #expect(Self.answer(bytes).isEmpty, "\(Self.silences[index].0)")
    if bytes.count > 20 && bytes[9] == 1 {
      bytes[20] = 8  // an echo request is no error
      #expect(!Self.answer(bytes).isEmpty)
    }
  }

  @Test("no answer to ICMPv6 errors, from groups, or to a group without an address of ours")
  func silent6() {
    var packet = TestPacket(
      isIPv6: true, source: .init(repeating: 0x21, count: 16), destination: .init(repeating: 0x22, count: 16),
      payload: [UInt8](repeating: 7, count: 1500)
    ).bytes()
    packet[6] = 58
    packet[40] = 1
    #expect(Self.answer(packet).isEmpty)
    packet[40] = 128
    #expect(!Self.answer(packet).isEmpty)
    packet[24] = 0xFF
    #expect(Self.answer(packet).isEmpty && !Self.answer(packet, source: IPAddress("fd00::1")).isEmpty)
    packet[8] = 0xFF
    #expect(Self.answer(packet, source: IPAddress("fd00::1")).isEmpty)
  }
}
