import CausewayBase
import CausewayCrypto
import CausewayPaths
import CausewayWire

@testable import CausewayBondCore

/// Two ends with several engines each, as shells with so many threads would drive them: datagrams to the listening port go where the
/// kernel's program says, those to an uplink's own port to its thread. Virtual time, 1 ms from end to end, no loss.
@safe final class ThreadedPair {
  static let peer = PeerID(1)
  static let delay: UInt64 = 1_000_000
  static let listeningPort: UInt16 = 1

  final class End {
    var engines: [BondEngine] = []
    /// Datagrams that had to go from thread to thread.
    var forwardCount = 0
    var handOverCount = 0
    var events: [BondEvent] = []
    /// (thread, flow, number) of what came out.
    var delivered: [(shard: Int, flow: UInt16, number: UInt32)] = []
  }

  private struct Datagram {
    var at: Instant
    var to: Int
    var port: UInt16
    var from: UInt16
    var bytes: [UInt8]
  }

  let ends = [End(), End()]
  var now = Instant(nanoseconds: 1_000_000_000)
  private let rates = [SharedRates(), SharedRates()]
  /// The other end is gone.
  var isCut = false
  /// Bytes a second of the way from the first end to the other, all threads together, with a queue that has no end; nil: any.
  var bottleneck: Double?
  private var bottleneckFreeAt = Instant.zero
  private var wire: [Datagram] = []
  private var wireHead = 0
  private let output: UnsafeMutablePointer<UInt8>

  /// - Parameter adjust: Changes a side's settings before they are used.
  init(threads: [Int], uplinks: Int, adjust: (_ side: Int, inout PeerSettings) -> Void = { _, _ in }) {
    unsafe output = .allocate(capacity: BondEngine.runByteCapacity)
    for side in 0..<2 {
      let entropy = Entropy(UInt64(side + 1))
      for shard in 0..<threads[side] {
        var configuration = EngineConfiguration(identity: StaticIdentity(privateKey: Self.key(side)), bootID: UInt64(side) + 7)
        configuration.shard = shard
        configuration.shardCount = threads[side]
        configuration.duplicates = false
        configuration.simulatesCiphers = true
        let engine = BondEngine(configuration, entropy: { entropy.bytes($0) }, at: now)
        engine.unixOffset = 1_750_000_000_000_000_000
        var settings = PeerSettings(publicKey: PublicKey(of: Self.key(1 - side)))
        settings.allowedIPs = [IPNetwork(masking: IPAddress(ipv4: Self.host(1 - side)), prefixLength: 32)]
        if side == 0 { settings.uplinks = (0..<uplinks).map { UplinkSettings(name: "uplink \($0)") } }
        settings.rates = rates[side]
        adjust(side, &settings)
        try? engine.setPeer(Self.peer, settings, at: now)
        ends[side].engines.append(engine)
        guard side == 0 else { continue }
        for uplink in 0..<uplinks {
          let route = Route(socket: UInt32(2 + uplink), remote: .ipv4(2, port: Self.listeningPort))
          engine.setUplink(uplink, of: Self.peer, route: route, at: now)
        }
      }
    }
    ends[0].engines[0].connect(Self.peer, at: now)
  }

  deinit { unsafe output.deallocate() }

  static func host(_ side: Int) -> UInt32 { 0x0A00_0001 + UInt32(side) }
  static func publicKey(of side: Int) -> PublicKey { PublicKey(of: key(side)) }
  private static func key(_ side: Int) -> SecretKey {
    SecretKey(byteCount: 32) { bytes in for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index * 7 + 31 * (side + 1)) }
    }
  }

  // MARK: Packets

  /// A packet from one end's queue to the other's device: UDP from port `flow`, with a number.
  func send(from side: Int, queue: Int, flow: UInt16, number: UInt32) {
    var packet = [UInt8](repeating: 0, count: 400)
    func put(_ value: UInt32, _ offset: Int) {
      for byte in 0..<4 { packet[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * byte)) }
    }
    put(0x4500_0190, 0)
    put(0x4000_4011 & 0xFFFF, 4)
    put(0x4011_0000, 8)
    put(Self.host(side), 12)
    put(Self.host(1 - side), 16)
    put(UInt32(flow) << 16 | 53_000, 20)
    put(380 << 16, 24)
    put(number, 28)
    let end = ends[side]
    var engine = end.engines[queue]
    if engine.handsOver {
      let target = engine.shard(for: packet.span)
      if target != queue { end.handOverCount += 1 }
      engine = end.engines[target]
    }
    var bytes = packet.mutableSpan
    engine.offer(&bytes, VirtioHeader(), at: now)
  }

  private func takeDeliveries(_ side: Int, _ shard: Int) {
    let engine = ends[side].engines[shard]
    for index in 0..<engine.deliveryCount {
      // SAFETY: valid until `releaseDeliveries`.
      let delivery = unsafe engine[delivery: index]
      let bytes = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(delivery.start), count: delivery.count)
      let number = (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[28 + $1]) }
      ends[side].delivered.append((shard, UInt16(bytes[20]) << 8 | UInt16(bytes[21]), number))
    }
    engine.releaseDeliveries()
  }

  // MARK: Time

  func run(for duration: Duration, _ each: () -> Void = {}, every interval: UInt64 = 10_000_000) {
    let end = now + duration
    var next = now
    while now < end {
      if now >= next {
        each()
        next = Instant(nanoseconds: now.nanoseconds + interval)
      }
      turn()
      var due = min(end, next)
      if wireHead < wire.count { due = min(due, wire[wireHead].at) }
      for side in ends { for engine in side.engines { due = min(due, engine.nextDeadline) } }
      now = max(due, Instant(nanoseconds: now.nanoseconds + 1000))
    }
  }

  private func turn() {
    while wireHead < wire.count, wire[wireHead].at <= now {
      arrive(wire[wireHead])
      wireHead += 1
    }
    if wireHead > 4096 {
      wire.removeFirst(wireHead)
      wireHead = 0
    }
    for side in 0..<2 {
      for shard in ends[side].engines.indices {
        let engine = ends[side].engines[shard]
        if engine.nextDeadline <= now { engine.advance(to: now) }
        takeDeliveries(side, shard)
        while let run = unsafe engine.nextRun(into: output, capacity: BondEngine.runByteCapacity, at: now) { put(run, side, shard) }
        engine.drainEvents { ends[side].events.append($0) }
        passNews(side, shard)
      }
    }
  }

  private func put(_ run: OutgoingRun, _ side: Int, _ shard: Int) {
    var offset = 0
    let from = side == 1 ? Self.listeningPort : UInt16(100 + 10 * shard) + UInt16(run.route.socket)
    while offset < run.byteCount {
      let count = min(run.segmentByteCount, run.byteCount - offset)
      // SAFETY: within the run.
      let bytes = unsafe Array(UnsafeBufferPointer(start: output + offset, count: count))
      append(Datagram(at: leavingTime(count, side), to: 1 - side, port: run.route.remote.port, from: from, bytes: bytes))
      offset += count
    }
  }

  private func leavingTime(_ byteCount: Int, _ side: Int) -> Instant {
    guard let bottleneck, side == 0 else { return Instant(nanoseconds: now.nanoseconds + Self.delay) }
    bottleneckFreeAt = max(now, bottleneckFreeAt) + .nanoseconds(Int64(Double(byteCount) / bottleneck * 1e9))
    return Instant(nanoseconds: bottleneckFreeAt.nanoseconds + Self.delay)
  }

  private func append(_ datagram: Datagram) {
    var place = wire.count
    while place > wireHead, wire[place - 1].at > datagram.at { place -= 1 }
    wire.insert(datagram, at: place)
  }

  private func arrive(_ datagram: Datagram) {
    if isCut { return }
    let end = ends[datagram.to]
    let isListening = datagram.port == Self.listeningPort
    let count = end.engines.count
    let shard =
      isListening
      ? (count > 1 ? CausewayBondCoreTests.run(PathSteering.program(shards: count), on: datagram.bytes) : 0) : Int(datagram.port - 100) / 10
    let socket = isListening ? 0 : UInt32(datagram.port - 100) % 10
    let remote = DatagramAddress.ipv4(UInt32(2 - datagram.to), port: datagram.from)
    receive(datagram.bytes, Route(socket: socket, remote: isListening ? remote : .ipv4(2, port: Self.listeningPort)), datagram.to, shard)
  }

  private func receive(_ bytes: [UInt8], _ route: Route, _ side: Int, _ shard: Int) {
    var bytes = bytes
    // SAFETY: deliveries are taken before the array goes.
    unsafe bytes.withUnsafeMutableBufferPointer { buffer in
      unsafe ends[side].engines[shard].receive(
        buffer.baseAddress!, count: buffer.count, segmentByteCount: 0, from: route, trafficClass: 0, at: now)
      takeDeliveries(side, shard)
    }
  }

  private func passNews(_ side: Int, _ shard: Int) {
    let end = ends[side]
    var forwarded: [ForwardedDatagram] = []
    end.engines[shard].drainForwarded { forwarded.append($0) }
    for datagram in forwarded {
      end.forwardCount += 1
      receive(datagram.bytes, datagram.route, side, datagram.shard)
    }
    end.engines[shard].drainShares { share in
      for engine in end.engines.dropFirst() { engine.apply(share, at: now) }
      return true
    }
    end.engines[shard].drainNeeds { id, promptly in end.engines[0].needHandshake(id, promptly: promptly, at: now) }
  }

  private final class Entropy {
    var random: SeededRandom
    init(_ seed: UInt64) { random = SeededRandom(seed: seed) }
    func bytes(_ count: Int) -> SecretKey {
      SecretKey(byteCount: count) { bytes in for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next()) } }
    }
  }
}
