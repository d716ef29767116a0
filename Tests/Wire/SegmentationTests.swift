import CausewayBase
import Testing

@testable import CausewayWire

@Suite struct SegmentationPlanTests {
  @Test("segments are what the definition says, byte for byte, finished and partial", arguments: 0..<300 as Range<UInt64>)
  func cut(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let packet = randomPacket(&random, payload: 1...20000)
    let size = Int.random(in: 88...1348, using: &random)
    let whole = packet.bytes(partial: true)
    let expected = packet.cut(size)
    let finished = try segments(whole, packet.virtio(segmentSize: size), .finished)
    #expect(finished == expected.map { $0.bytes() }, "seed \(seed)")
    let partial = try segments(whole, packet.virtio(segmentSize: size), .partial)
    #expect(partial == expected.map { $0.bytes(partial: true) }, "seed \(seed)")
    #expect(finished.allSatisfy(isValid) && partial.map(completed) == finished, "seed \(seed)")
  }

  @Test("the largest packet with the smallest MSS is cut in rounds, nothing is dropped")
  func manySegments() throws {
    var packet = TestPacket()
    packet.payload = (0..<65535 - 40).map { UInt8(truncatingIfNeeded: $0 * 31) }
    let plan = try SegmentationPlan(packet.bytes(partial: true).span, packet.virtio(segmentSize: 88))
    #expect(plan.segmentCount == 745 && plan.segmentCount > SegmentationPlan.roundLimit)
    let all = try segments(packet.bytes(partial: true), packet.virtio(segmentSize: 88), .finished)
    #expect(all == packet.cut(88).map { $0.bytes() })
  }

  @Test("a single packet's checksum is completed, or left to a peer who knows", arguments: [true, false], [true, false])
  func single(isTCP: Bool, isIPv6: Bool) throws {
    var packet = TestPacket()
    packet.isTCP = isTCP
    packet.isIPv6 = isIPv6
    if isIPv6 { (packet.source, packet.destination) = ([UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)) }
    packet.payload = Array(0..<101)
    let (whole, partial) = (packet.bytes(), packet.bytes(partial: true))
    #expect(try segments(partial, packet.virtio(), .finished) == [whole])
    #expect(try segments(partial, packet.virtio(), .partial) == [partial])
    #expect(try segments(whole, packet.virtio(needsChecksum: false), .finished) == [whole])
    let plans = (
      try SegmentationPlan(partial.span, packet.virtio()), try SegmentationPlan(whole.span, packet.virtio(needsChecksum: false))
    )
    #expect(plans.0.canStayPartial && !plans.1.canStayPartial)
  }

  @Test("a UDP checksum that comes out as zero is written as its other form")
  func zeroChecksum() throws {
    var packet = TestPacket(isTCP: false, payload: [0, 0])
    // The word that makes the sum 0xFFFF.
    packet.payload = big(~slowSum(Array(packet.bytes(partial: true)[20...])))
    let bytes = try segments(packet.bytes(partial: true), packet.virtio(), .finished)[0]
    #expect(Array(bytes[26..<28]) == [0xFF, 0xFF] && isValid(bytes))
    let cut = try segments(packet.bytes(partial: true), packet.virtio(segmentSize: 2), .finished)[0]
    #expect(cut == bytes)
  }

  @Test("a checksum that is no TCP or UDP one is finished here, whatever was asked")
  func foreignChecksum() throws {
    // An inner packet's checksum of a tunnel in UDP: the kernel wants it elsewhere than at the outer header.
    var packet = TestPacket(isTCP: false, payload: [UInt8](repeating: 3, count: 60))
    packet.payload[20] = 0
    packet.payload[21] = 0
    var header = packet.virtio()
    header.checksumStart = 28
    header.checksumOffset = 20
    let plan = try SegmentationPlan(packet.bytes().span, header)
    #expect(!plan.canStayPartial)
    let out = try segments(packet.bytes(), header, .partial)[0]
    #expect(slowSum(Array(out[28...])) == 0xFFFF)
  }

  @Test("headers that lie are refused and nothing is read outside the packet")
  func lies() {
    var packet = TestPacket()
    packet.payload = [UInt8](repeating: 1, count: 500)
    let bytes = packet.bytes(partial: true)
    func failure(_ bytes: [UInt8], _ change: (inout VirtioHeader) -> Void) -> SegmentationPlan.Failure? {
      var header = packet.virtio(segmentSize: 100)
      change(&header)
      do throws(SegmentationPlan.Failure) { _ = try SegmentationPlan(bytes.span, header) } catch { return error }
      return nil
    }
    #expect(failure(bytes) { _ in } == nil)
    #expect(failure(bytes) { $0.segmentSize = 0 } == .badSegmentation)
    #expect(failure(bytes) { $0.segmentation = nil } == .badSegmentation)
    #expect(failure(bytes) { $0.segmentation = .tcp6 } == .badSegmentation)
    #expect(failure(bytes) { $0.segmentation = .udp } == .badSegmentation)
    #expect(failure(bytes) { $0.checksumStart = 24 } == .badSegmentation)
    #expect(failure(bytes) { $0.checksumOffset = 6 } == .badSegmentation)
    #expect(failure(Array(bytes.dropLast())) { _ in } == .truncated)
    #expect(failure(bytes + [0]) { _ in } == .badLength)
    #expect(failure([]) { _ in } == .truncated)
    var wrong = bytes
    wrong[0] = 0x55
    #expect(failure(wrong) { _ in } == .notIP)
    wrong = bytes
    wrong[32] = 0x40  // data offset below the minimum
    #expect(failure(wrong) { _ in } == .badLength)
    wrong[32] = 0xF0
    #expect(failure(wrong) { _ in } == nil)  // options up to 60 bytes are there
    #expect(
      failure(bytes) {
        $0.segmentation = VirtioHeader.Segmentation.none
        $0.checksumStart = 530
      } == .badChecksum)
  }

  @Test("garbage never traps", arguments: 0..<20 as Range<UInt64>)
  func garbage(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      var bytes = randomPacket(&random, payload: 0...300).bytes(partial: true)
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        bytes[Int.random(in: 0..<min(64, bytes.count), using: &random)] = .random(in: 0...255, using: &random)
      }
      bytes.removeLast(Int.random(in: 0...(Bool.random(using: &random) ? 0 : bytes.count), using: &random))
      let raw = (0..<10).map { $0 < 2 ? UInt8.random(in: 0...6, using: &random) : .random(in: 0...($0 % 2 == 0 ? 80 : 0), using: &random) }
      let header = VirtioHeader(raw.span)
      _ = try? segments(bytes, header, .finished)
      _ = try? segments(bytes, header, .partial)
      _ = FlowHash(bytes.span)
      var span = bytes.mutableSpan
      _ = MSSClamp.clamp(&span, maximumTransmissionUnit: 1400, isPartial: false)
      _ = TransportChecksum.finish(&span)
      if !bytes.isEmpty { _ = merged([(bytes, true), (bytes, false), (bytes, true)]) }
      var answer = [UInt8](repeating: 0, count: PacketTooBig.byteLimit)
      var target = answer.mutableSpan
      _ = PacketTooBig.write(answering: bytes.span, maximumTransmissionUnit: 1400, into: &target)
    }
  }
}
