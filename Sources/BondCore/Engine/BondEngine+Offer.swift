public import CausewayBase
import CausewayPaths
public import CausewayWire

// From the TUN device: packets are split, given a flow, and wait in the fair queue of the peer they are for.

extension BondEngine {
  /// Takes one read of the TUN device: a packet, or a large one to be split (TSO, USO).
  /// - Parameters:
  ///   - packet: Without its virtio header. Its TCP options may be changed in place.
  public func offer(_ packet: inout MutableSpan<UInt8>, _ header: VirtioHeader, at now: Instant) {
    guard packet.count >= IPHeader.version4ByteCount, let id = allowedIPs.peer(forDestinationOf: packet.span), let peer = peers[id] else {
      return drops.count(.noPeer)
    }
    let ip: IPHeader
    let plan: SegmentationPlan
    do {
      ip = try IPHeader(packet.span)
      plan = try SegmentationPlan(packet.span, header)
    } catch { return drops.count(.badPacket) }
    let flow = FlowHash(packet.span, ip, seed: flowSeed)
    if flow.kind.contains(.tcpSYN) {
      _ = MSSClamp.clamp(&packet, maximumTransmissionUnit: configuration.innerMTU, isPartial: header.needsChecksum)
    }
    if plan.segmentLength(0) > configuration.innerMTU { return refuse(packet.span, at: now) }
    let trafficClass = ECN.typeOfService(of: packet.span)
    let flags = packetFlags(packet.span, ip, flow.kind)
    for index in 0..<plan.segmentCount {
      guard let slot = pool.take() else {
        drops.add(UInt64(plan.segmentCount - index), .noMemory)
        break
      }
      let length = pool.withBuffer(slot) { buffer in
        var output = buffer._mutatingExtracting(PacketPool.headroom..<PacketPool.headroom + configuration.innerMTU)
        return plan.writeSegment(index, of: packet.span, into: &output, checksums: plan.canStayPartial ? .partial : .finished)
      }
      pool[slot].length = length
      pool[slot].flowHash = flow.value
      pool[slot].trafficClass = trafficClass
      if plan.canStayPartial { pool[slot].flags.insert(.checksumPartial) }
      pool[slot].flags.formUnion(flags)
      peer.queue.enqueue(slot, at: now)
    }
    if peer.current == nil { peer.limitStaged() }
    peer.activate()
  }

  /// What the queue and the schedulers want to know of a packet and its segments.
  @inline(__always) private func packetFlags(_ packet: Span<UInt8>, _ ip: IPHeader, _ kind: FlowKind) -> PacketFlags {
    var flags: PacketFlags = []
    if kind.isLatencyCritical || kind.contains(.pureTCPAck) { flags.insert(.urgent) }
    if kind.contains(.tcpSYN) {
      flags.insert(.opening)
      if let tcp = TCPHeader(packet, at: ip.transportOffset, end: ip.totalLength), tcp.flags.contains(.ack) { flags.insert(.stream) }
    } else if kind.contains(.tcp), !kind.contains(.pureTCPAck) {
      flags.insert(.stream)
    }
    return flags
  }

  /// Longer than the inner MTU: the sender is told (RFC 1191, RFC 4443), at a bounded rate.
  private func refuse(_ packet: Span<UInt8>, at now: Instant) {
    drops.count(.tooBig)
    guard tooBigAllowance.take(at: now), let slot = pool.take() else { return }
    let source = packet[0] >> 4 == 6 ? localAddress6 : localAddress4
    let length = pool.withBuffer(slot) { buffer -> Int in
      var output = buffer._mutatingExtracting(PacketPool.headroom..<PacketPool.headroom + PacketTooBig.byteLimit)
      return PacketTooBig.write(answering: packet, maximumTransmissionUnit: configuration.innerMTU, source: source, into: &output)
    }
    guard length > 0 else { return pool.give(slot) }
    pool[slot].length = length
    deliver(slot)
  }
}

extension PeerLink {
  /// Packets that wait for keys: the newest stay.
  func limitStaged() {
    while queue.packetCount > engine.configuration.limits.stagedPackets, let slot = queue.dequeue(at: .zero) {
      engine.pool.give(slot)
      engine.drops.count(.backlogFull)
    }
  }
}

/// So many at once, and one more for each interval.
struct Allowance {
  let interval: UInt64
  let burst: UInt64
  private var emptyAt = Instant.zero

  init(perSecond rate: UInt64, burst: UInt64) {
    interval = 1_000_000_000 / rate
    self.burst = burst
  }

  mutating func take(at now: Instant) -> Bool {
    let start = max(emptyAt.nanoseconds, now.nanoseconds)
    guard start &- now.nanoseconds < interval &* burst else { return false }
    emptyAt = Instant(nanoseconds: start &+ interval)
    return true
  }
}
