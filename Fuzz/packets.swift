import CausewayBase
import CausewayWire

// The input: 10 bytes of a virtio header, then a packet, as a TUN device gives them.
@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  guard bytes.count > VirtioHeader.byteCount else { return 0 }
  let header = VirtioHeader(bytes.span)
  let packet = Array(bytes[VirtioHeader.byteCount...])

  let hash = FlowHash(packet.span)
  law(FlowHash(packet.span) == hash, "a packet has one hash")
  untouched(packet)
  answers(packet)
  for checksums in [SegmentationPlan.Checksums.finished, .partial] {
    guard let parts = cut(packet, header, checksums) else { continue }
    let isPartial = checksums == .partial && header.needsChecksum
    // Joined and cut again they are the same, whatever they were.
    var again: [[UInt8]] = []
    for write in join(parts, isPartial: isPartial) {
      let whole = VirtioHeader(write.span)
      guard let cuts = cut(Array(write[VirtioHeader.byteCount...]), whole, checksums) else {
        law(false, "the merger wrote what the plan refuses")
        continue
      }
      again += cuts
    }
    if isPartial || header.segmentation != VirtioHeader.Segmentation.none { law(again == parts, "joining and cutting lost something") }
  }
  return 0
}

private func cut(_ packet: [UInt8], _ header: VirtioHeader, _ checksums: SegmentationPlan.Checksums) -> [[UInt8]]? {
  guard let plan = try? SegmentationPlan(packet.span, header) else { return nil }
  law(plan.segmentCount >= 1 && plan.segmentCount <= packet.count, "a plan of so many segments")
  return (0..<plan.segmentCount).map { index in
    var output = [UInt8](repeating: 0, count: plan.segmentLength(index))
    var span = output.mutableSpan
    law(plan.writeSegment(index, of: packet.span, into: &span, checksums: checksums) == output.count, "a segment of another length")
    if plan.segmentCount > 1 && checksums == .finished { law(TransportChecksum.isValid(output.span), "a wrong checksum was made") }
    return output
  }
}

private func join(_ parts: [[UInt8]], isPartial: Bool) -> [[UInt8]] {
  let memory = unsafe parts.map { part in
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: part.count)
    _ = unsafe copy.initialize(from: part)
    return unsafe copy
  }
  defer { for index in unsafe memory.indices { unsafe memory[index].deallocate() } }
  var merger = SegmentMerger(mergesUDP: true)
  var writes: [[UInt8]] = []
  func flush(_ merger: inout SegmentMerger) {
    for index in 0..<merger.count {
      var write: [UInt8] = []
      let pieces = unsafe merger.finish(index)
      for place in pieces.indices {
        unsafe write += UnsafeRawBufferPointer(start: pieces[place].base, count: pieces[place].count)
      }
      writes.append(write)
    }
    merger.removeAll()
  }
  for index in unsafe memory.indices {
    if merger.isFull { flush(&merger) }
    unsafe merger.add(memory[index].baseAddress!, byteCount: memory[index].count, isPartial: isPartial)
  }
  flush(&merger)
  return writes
}

/// What only a SYN may have changed, and nothing outside the packet.
private func untouched(_ packet: [UInt8]) {
  var copy = packet
  var span = copy.mutableSpan
  let changed = MSSClamp.clamp(&span, maximumTransmissionUnit: 1400, isPartial: false)
  law(changed || copy == packet, "a clamp that changed nothing changed something")
  var marked = packet
  var target = marked.mutableSpan
  if ECN.markCongestion(&target) {
    law(packet[0] >> 4 != 4 || marked.count < 20 || ECN(packet: marked.span) == .congestionExperienced, "a mark does not stay")
  }
}

private func answers(_ packet: [UInt8]) {
  var output = [UInt8](repeating: 0, count: PacketTooBig.byteLimit)
  var span = output.mutableSpan
  let count = PacketTooBig.write(answering: packet.span, maximumTransmissionUnit: 1400, into: &span)
  guard count > 0 else { return }
  let answer = Array(output[..<count])
  let header = try? IPHeader(answer.span)
  law(header?.totalLength == count, "an answer is a packet")
  var second = [UInt8](repeating: 0, count: PacketTooBig.byteLimit)
  var target = second.mutableSpan
  law(PacketTooBig.write(answering: answer.span, maximumTransmissionUnit: 1280, into: &target) == 0, "an error answers an error")
}
