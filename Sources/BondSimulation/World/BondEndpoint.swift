package import CausewayBase
internal import CausewayBondCore
internal import CausewayCrypto
internal import CausewayPaths
internal import CausewayWire

/// One end of a bond: the engine that carries real packets, with the simulated network in place of sockets and TUN device.
@safe package final class BondEndpoint: SimulatedEndpoint {
  private static let peer = PeerID(1)
  /// Virtual time zero, as seconds of the wall clock.
  private static let epoch: UInt64 = 1_750_000_000
  /// Socket numbers of a link: one for each address it had.
  private static let socketsPerLink: UInt32 = 64

  private let side: SimulatedSide
  private let engine: BondEngine
  private let delivered = PacketFIFO()
  private var sockets: [UInt32]
  private let runBuffer: UnsafeMutablePointer<UInt8>
  private var run: OutgoingRun?
  private var runOffset = 0
  private var packet: [UInt8]

  package init(_ setting: BondSetting) {
    side = setting.side
    let entropy = SeededEntropy(seed: setting.seed &+ UInt64(setting.incarnation) &* 0x9E37_79B9)
    var configuration = EngineConfiguration(
      identity: StaticIdentity(privateKey: Self.privateKey(setting.side)), bootID: entropy.random.next())
    configuration.innerMTU = setting.mtu
    configuration.scheduler = SchedulerKind(rawValue: setting.scheduler) ?? .auto
    configuration.repairs = setting.repairs
    configuration.parity = setting.parity
    configuration.duplicates = setting.duplicates
    configuration.simulatesCiphers = setting.simulatesCiphers
    engine = BondEngine(configuration, entropy: { entropy.bytes($0) }, at: setting.now)
    engine.unixOffset = Self.epoch * 1_000_000_000
    packet = [UInt8](repeating: 0, count: setting.mtu + 64)
    // SAFETY: a run's capacity, freed in deinit.
    unsafe runBuffer = .allocate(capacity: BondEngine.runByteCapacity)
    sockets = setting.linkNames.indices.map { UInt32($0) * Self.socketsPerLink }
    addPeer(setting)
  }

  deinit { unsafe runBuffer.deallocate() }

  private func addPeer(_ setting: BondSetting) {
    var settings = PeerSettings(publicKey: PublicKey(of: Self.privateKey(side.other)))
    settings.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: FlowAddress.host(side.other)), prefixLength: 32)]
    if side == .client {
      settings.uplinks = setting.links.enumerated().map { position, link in
        var uplink = UplinkSettings(name: setting.linkNames[link])
        uplink.preference = position
        return uplink
      }
    }
    // The only error is a key that can't be: these are ours.
    try? engine.setPeer(Self.peer, settings, at: setting.now)
    guard side == .client else { return }
    for (position, link) in setting.links.enumerated() {
      engine.setUplink(position, of: Self.peer, route: route(socket: sockets[link], .server), at: setting.now)
    }
    uplinks = setting.links
    engine.connect(Self.peer, at: setting.now)
  }

  private var uplinks: [Int] = []

  private static func privateKey(_ side: SimulatedSide) -> SecretKey {
    SecretKey(byteCount: 32) { bytes in
      for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: (index &+ 1) &* (17 &+ 40 &* side.rawValue)) }
    }
  }

  private func route(socket: UInt32, _ remote: SimulatedAddress) -> Route {
    Route(socket: socket, remote: .ipv4(remote.host, port: remote.port))
  }

  // MARK: The verbs

  package func offer(_ source: Span<UInt8>, at now: Instant) {
    var packet = self.packet
    self.packet = []
    defer { self.packet = packet }
    var bytes = packet.mutableSpan
    copy(source, to: &bytes)
    var whole = bytes._mutatingExtracting(0..<source.count)
    engine.offer(&whole, VirtioHeader(), at: now)
    takeDeliveries()
  }

  package func receive(_ datagram: inout MutableSpan<UInt8>, from origin: DatagramOrigin, at now: Instant) {
    let socket = side == .client ? sockets[origin.link] : 0
    let route = route(socket: socket, origin.remote)
    let engine = engine
    // SAFETY: the span lives through the call, and what is delivered from it is copied inside.
    unsafe datagram.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe engine.receive(
        base, count: buffer.count, segmentByteCount: buffer.count, from: route, trafficClass: origin.congestionBits, at: now)
      takeDeliveries()
    }
  }

  package func nextDatagram(into buffer: inout MutableSpan<UInt8>, at now: Instant) -> OutgoingDatagram? {
    if run == nil {
      runOffset = 0
      run = unsafe engine.nextRun(into: runBuffer, capacity: BondEngine.runByteCapacity, at: now)
      drainEvents()
    }
    guard let run, run.byteCount > 0 else {
      self.run = nil
      return nil
    }
    let count = min(run.segmentByteCount, run.byteCount - runOffset)
    // SAFETY: inside the run that was just written.
    let segment = unsafe Span(_unsafeStart: UnsafePointer(runBuffer + runOffset), count: count)
    copy(segment, to: &buffer)
    runOffset += count
    if runOffset >= run.byteCount { self.run = nil }
    return OutgoingDatagram(
      byteCount: count, link: Int(run.route.socket / Self.socketsPerLink),
      remote: SimulatedAddress(host: UInt32(truncatingIfNeeded: run.route.remote.low), port: run.route.remote.port),
      congestionBits: run.trafficClass & 3)
  }

  /// New keys now, whatever the age of the old ones.
  package func rekey(at now: Instant) { engine.needHandshake(Self.peer, promptly: true, at: now) }

  package private(set) var handshakeCount = 0

  private func drainEvents() {
    engine.drainEvents { if case .handshakeCompleted = $0 { handshakeCount += 1 } }
  }

  package func deliver(at now: Instant, _ body: (Span<UInt8>) -> Void) { delivered.drain(body) }

  package var nextDeadline: Instant? {
    let deadline = engine.nextDeadline
    return deadline == .distantFuture ? nil : deadline
  }

  package func advance(to now: Instant) {
    engine.advance(to: now)
    takeDeliveries()
    drainEvents()
  }

  private func takeDeliveries() {
    for index in 0..<engine.deliveryCount {
      // SAFETY: valid until `releaseDeliveries` below, copied here.
      let delivery = unsafe engine[delivery: index]
      unsafe delivered.append(Span(_unsafeStart: UnsafePointer(delivery.start), count: delivery.count))
    }
    engine.releaseDeliveries()
  }

  /// A new address comes with a new socket, as in the shell.
  package func linkChanged(_ link: Int, isUp: Bool, at now: Instant) {
    guard side == .client, let position = uplinks.firstIndex(of: link) else { return }
    engine.setUplink(position, of: Self.peer, isDown: !isUp, at: now)
    guard isUp else { return }
    sockets[link] = UInt32(link) * Self.socketsPerLink + (sockets[link] + 1) % Self.socketsPerLink
    engine.setUplink(position, of: Self.peer, route: route(socket: sockets[link], .server), at: now)
  }

  package var counters: EndpointCounters {
    var counters = EndpointCounters()
    for peer in engine.snapshot() {
      counters.resent += Int(peer.statistics.resentPackets)
      counters.repaired += Int(peer.statistics.resentPackets + peer.statistics.parityRepaired)
      counters.unrepaired += Int(peer.missingPackets)
      counters.abandoned += Int(peer.statistics.abandonedPackets)
      counters.duplicatesDropped += Int(peer.duplicatePackets)
      counters.repairCount += Int(peer.statistics.paritySent)
      counters.firstCount += Int(peer.statistics.sentPackets)
      counters.queueDropped += Int((peer.queueControlled &+ peer.queueOverflowed &+ peer.queueExpired))
      counters.queueMarked += Int(peer.queueMarks)
      counters.meanHold = max(counters.meanHold, .nanoseconds(Int64(clamping: peer.meanReorderDelay)))
      counters.longestHold = max(counters.longestHold, .nanoseconds(Int64(clamping: peer.maximumReorderDelay)))
      counters.heldByteCount += peer.queuedBytes
      counters.heldByteLimit = engine.configuration.limits.backlogByteCount
    }
    return counters
  }
}

/// Keys and challenges of a simulation: nobody's secret, and the same for the same seed.
private final class SeededEntropy {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  func bytes(_ count: Int) -> SecretKey {
    SecretKey(byteCount: count) { bytes in
      for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
    }
  }
}
