import CausewayBase
import CausewayPaths
import CausewayWire

/// The receiver's half of parity, in a box: most peers never need its memory.
final class ParityReceiver {
  var decoder: RepairDecoder
  init(pool: PacketPool) { decoder = RepairDecoder(pool: pool) }
}

// Forward error correction: packets that a resend would bring too late.

extension PeerLink {
  /// The policy looks this often.
  static let parityInterval: UInt64 = 1_000_000_000
  /// PARAM says that parity follows, again and again while it does.
  static let parityReminder: UInt64 = 3_000_000_000

  // MARK: Sending

  /// Looks at loss, delay and traffic of each path and decides which packets are to be protected, and how.
  func updateParity(at now: Instant) {
    parityDeadline = Instant(nanoseconds: now.nanoseconds &+ Self.parityInterval)
    if let decoder, decoder.decoder.isIdle(at: now) { self.decoder = nil }
    guard engine.configuration.parity, remoteFeatures.contains(.repair) else { return }
    var total: UInt64 = 0
    for path in paths { total &+= path.statistics.sentPackets &- path.parityLookPackets }
    var chosen: RepairPlan?
    for path in paths {
      let packets = path.statistics.sentPackets &- path.parityLookPackets
      path.parityLookPackets = path.statistics.sentPackets
      guard path.isUsable, packets > 0 else {
        path.wantsParity = false
        continue
      }
      let snapshot = path.sender.snapshot
      let situation = RepairPolicy.Situation(
        loss: snapshot.loss, smoothedRoundTrip: snapshot.smoothedRoundTrip, roundTripVariation: snapshot.jitter,
        minimumRoundTrip: snapshot.minimumRoundTrip, packetsPerSecond: Double(packets), share: Double(packets) / Double(max(total, 1)),
        isActive: path.wantsParity)
      let plan = RepairPolicy.plan(for: situation)
      path.wantsParity = plan != nil
      if let plan, chosen.map({ plan.overhead > $0.overhead }) ?? true { chosen = plan }
    }
    if chosen != nil || parity.isActive {
      let wasActive = parity.isActive
      parity.update(chosen)
      if chosen != nil && (!wasActive || now.nanoseconds(since: parametersSentAt) > Self.parityReminder) {
        parameters.flags = .repairsFollow
        parametersPending = true
        controlPending = true
      }
    }
  }

  @inline(never) func protect(_ slot: PacketSlot, at now: Instant) {
    let info = pool[slot]
    let header = DataHeader(
      flags: info.flags.contains(.checksumPartial) ? .checksumPartial : [], bucket: UInt8(truncatingIfNeeded: info.flowHash),
      previous: info.previous, sequence: info.sequence)
    pool.withPacket(slot) { parity.add(header, $0, at: now) }
  }

  /// A parity packet, on another path than most of what it protects where there is one.
  func nextParity(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    guard let path = bestPath(except: paths.first(where: { $0.wantsParity })?.id) ?? bestPath() else { return nil }
    let count = engine.scratch.write(limit: path.datagramLimit - Self.transportByteCount) { out in _ = parity.writeRepair(into: &out) }
    guard count > 0 else { return nil }
    statistics.paritySent &+= 1
    return unsafe sealControl(session, path, nil, count: count, flags: .control, output, now)
  }

  // MARK: Receiving

  func expectParity(at now: Instant) {
    if decoder == nil { decoder = ParityReceiver(pool: pool) }
    decoder?.decoder.activate(at: now)
  }

  func receiveParity(_ header: RepairHeader, _ bytes: Span<UInt8>, at now: Instant) {
    expectParity(at: now)
    decoder?.decoder.receive(header, bytes, at: now)
    takeRecovered(at: now)
  }

  func takeRecovered(at now: Instant) {
    while let (slot, header) = decoder?.decoder.nextRecovered() {
      statistics.parityRepaired &+= 1
      place(slot, header, trafficClass: 0, at: now)
    }
  }

  /// A packet that lies in a slot of its own: delivered, kept for its turn, or given back.
  func place(_ slot: PacketSlot, _ header: DataHeader, trafficClass: UInt8, at now: Instant) {
    let count = pool[slot].length
    let verdict = order.receive(header, at: now)
    // SAFETY: the slot's own memory, `count` bytes from the headroom on.
    if verdict == .duplicate || !(unsafe admit(pool.address(slot) + PacketPool.headroom, count, trafficClass)) {
      pool.give(slot)
    } else if verdict == .hold {
      order.hold(slot, header, at: now)
    } else {
      if header.flags.contains(.checksumPartial) { pool[slot].flags.insert(.checksumPartial) }
      engine.deliver(slot)
    }
    while let released = order.nextReleased() { engine.deliver(released) }
  }
}
