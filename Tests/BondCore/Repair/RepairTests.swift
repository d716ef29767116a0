import CausewayBase
import Testing

@testable import CausewayBondCore

/// Sends numbered packets through an encoder, loses some of what comes out, and gives the rest to a decoder.
private struct Link: ~Copyable {
  let pool = PacketPool(packetByteCount: 1440, limit: 1024)
  var encoder = RepairEncoder(packetByteCount: 1440)
  var decoder: RepairDecoder
  var stamper = OrderStamper()
  var packets: [UInt32: [UInt8]] = [:]
  var headers: [UInt32: DataHeader] = [:]
  var arrived = Set<UInt32>()
  var recovered = Set<UInt32>()
  var now = Instant(nanoseconds: 1_000_000_000)

  init() {
    decoder = RepairDecoder(pool: pool)
    decoder.activate(at: now)
  }

  mutating func send(_ packet: [UInt8], flags: DataFlags = [], isLost: () -> Bool) {
    let header = stamper.stamp(bucket: UInt8(packet.count & 255), flags: flags)
    packets[header.sequence] = packet
    headers[header.sequence] = header
    if !isLost() { arrive(header.sequence) }
    encoder.add(header, packet.span, at: now)
    drain(isLost)
  }

  mutating func arrive(_ sequence: UInt32, flags: DataFlags = []) {
    arrived.insert(sequence)
    var header = headers[sequence]!
    header.flags.formUnion(flags)
    let packet = packets[sequence]!
    decoder.add(header, packet.span, at: now)
    take()
  }

  mutating func drain(_ isLost: () -> Bool) {
    while encoder.hasRepair {
      let payload = [UInt8](capacity: 1500) { out in _ = encoder.writeRepair(into: &out) }
      if isLost() { continue }
      // Padded as WireGuard does.
      receive(payload + [UInt8](repeating: 0, count: (16 - payload.count % 16) % 16))
    }
  }

  mutating func receive(_ payload: [UInt8]) {
    guard case .repair(let header, let parity) = try? frames(payload).get().first else { return }
    decoder.receive(header, payload.span.extracting(parity), at: now)
    take()
  }

  mutating func take() {
    while let (slot, header) = decoder.nextRecovered() {
      let bytes = pool.withPacket(slot) { $0.copied(0..<$0.count) }
      var expected = headers[header.sequence]!
      expected.flags.insert(.copy)
      #expect(bytes == packets[header.sequence])
      #expect(header == expected)
      #expect(!arrived.contains(header.sequence))
      #expect(recovered.insert(header.sequence).inserted)
      pool.give(slot)
    }
  }

  var missing: Int { packets.count - arrived.union(recovered).count }
}

@Suite struct RepairTests {
  @Test("any losses up to the number of parities are mended, of packets and parities alike", arguments: 1...3)
  func choices(parities: Int) {
    for losses in 0...parities {
      for start in 0..<8 {
        for gap in 1...3 {
          var link = Link()
          link.encoder.update(RepairPlan(memberCount: 10 * parities, parityCount: parities, span: 1_000_000_000))
          var sent = 0
          for i in 0..<10 * parities {
            link.send(ipv4Packet(300 + i % 7, seed: UInt64(i)), flags: i % 3 == 0 ? [.checksumPartial] : i % 5 == 0 ? .unordered : []) {
              defer { sent += 1 }
              let place = sent - start
              return place >= 0 && place % gap == 0 && place / gap < losses
            }
          }
          #expect(link.missing == 0, "\(losses) of \(parities), from \(start), every \(gap)")
          #expect(link.recovered.count == losses)
        }
      }
    }
  }

  @Test("a late packet can be what a group waited for")
  func late() {
    var link = Link()
    link.encoder.update(RepairPlan(memberCount: 10, parityCount: 1, span: 1_000_000_000))
    var sent = 0
    for i in 0..<10 {
      link.send(ipv4Packet(500, seed: UInt64(i))) {
        defer { sent += 1 }
        return sent == 3 || sent == 7
      }
    }
    #expect(link.missing == 2)
    link.arrive(8, flags: .copy)
    #expect(link.missing == 0)
    #expect(link.recovered == [4])
  }

  @Test("without a plan nothing is sent")
  func noPlan() {
    var link = Link()
    for i in 0..<100 { link.send(ipv4Packet(500, seed: UInt64(i))) { false } }
    #expect(link.encoder.repairCount == 0)
    #expect(link.encoder.nextDeadline == nil)
  }

  @Test("a group that fills slowly is closed in time, if its parity is within the overhead allowed")
  func slow() {
    var link = Link()
    link.encoder.update(RepairPlan(memberCount: 20, parityCount: 2, span: 100_000_000))
    for i in 0..<9 { link.send(ipv4Packet(500, seed: UInt64(i))) { i == 4 } }
    #expect(link.encoder.nextDeadline == Instant(nanoseconds: link.now.nanoseconds + 100_000_000))
    link.now = Instant(nanoseconds: link.now.nanoseconds + 100_000_000)
    link.encoder.advance(to: link.now)
    link.drain { false }
    #expect(link.missing == 0)
    #expect(link.encoder.repairCount == 1)
    for i in 0..<3 { link.send(ipv4Packet(500, seed: UInt64(i))) { false } }
    link.now = Instant(nanoseconds: link.now.nanoseconds + 100_000_000)
    link.encoder.advance(to: link.now)
    let hasRepair = link.encoder.hasRepair
    #expect(!hasRepair)
  }

  @Test("overhead never exceeds 15 % of the bytes, whatever the plan and the sizes", arguments: UInt64(1)...10)
  func overhead(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var link = Link()
    link.encoder.update(
      RepairPlan(
        memberCount: Int.random(in: 1...30, using: &random), parityCount: Int.random(in: 1...3, using: &random),
        depth: Int.random(in: 1...3, using: &random), span: 50_000_000))
    for i in 0..<400 {
      link.now = Instant(nanoseconds: link.now.nanoseconds + UInt64.random(in: 0...5_000_000, using: &random))
      link.encoder.advance(to: link.now)
      link.drain { false }
      link.send(ipv4Packet(Int.random(in: 20...1440, using: &random), seed: UInt64(i))) { Bool.random(using: &random) }
    }
    #expect(Double(link.encoder.repairByteCount) <= 0.15 * Double(link.encoder.dataByteCount))
  }

  /// What a satellite path of 600 ms loses: (share lost before and after repair, overhead in bytes).
  private func satellite(loss: Double, burst: Double, seed: UInt64, seconds: Int = 40) -> (before: Double, after: Double, overhead: Double)?
  {
    let rate = 2e6 / 8 / 1200
    let plan = RepairPolicy.plan(
      for: RepairPolicy.Situation(
        loss: loss, burst: burst, smoothedRoundTrip: 600_000_000, roundTripVariation: 5_000_000, minimumRoundTrip: 590_000_000,
        packetsPerSecond: rate))
    guard let plan else { return nil }
    var random = SeededRandom(seed: seed)
    var link = Link()
    link.encoder.update(plan)
    // Gilbert's model: in the bad state everything is lost.
    var isBad = false
    let packet = ipv4Packet(600)
    for _ in 0..<Int(rate) * seconds {
      link.now = Instant(nanoseconds: link.now.nanoseconds + UInt64(1e9 / rate))
      link.encoder.advance(to: link.now)
      let isLost = {
        let chance = Double.random(in: 0..<1, using: &random)
        isBad = isBad ? chance >= 1 / burst : chance < loss / burst / (1 - loss)
        return isBad
      }
      link.drain(isLost)
      link.send(packet, isLost: isLost)
    }
    let count = Double(link.packets.count)
    return (
      1 - Double(link.arrived.count) / count, Double(link.missing) / count,
      Double(link.encoder.repairByteCount) / Double(link.encoder.dataByteCount)
    )
  }

  @Test("600 ms, 1 % loss, 2 Mbit/s: at least five times fewer stay lost, for at most 15 %", arguments: [UInt64(1), 2, 3])
  func goal(seed: UInt64) throws {
    let result = try #require(satellite(loss: 0.01, burst: 1, seed: seed))
    #expect(result.after * 20 <= result.before, "\(result)")
    #expect(result.overhead <= 0.15, "\(result)")
  }

  @Test("short bursts too; of longer ones at least half", arguments: [(1.5, 5.0), (2, 5), (3, 2)])
  func bursts(burst: Double, factor: Double) throws {
    let result = try #require(satellite(loss: 0.01, burst: burst, seed: 9))
    #expect(result.after * factor <= result.before, "\(result)")
    #expect(result.overhead <= 0.15, "\(result)")
  }

  @Test("garbage parity makes no packet, and no more memory than named", arguments: UInt64(1)...5)
  func hostile(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let pool = PacketPool(packetByteCount: 1440, limit: 1024)
    var decoder = RepairDecoder(pool: pool)
    decoder.activate(at: .zero)
    var sequence: UInt32 = .max - 300
    for _ in 0..<1500 {
      sequence &+= UInt32.random(in: 0...2, using: &random)
      if Bool.random(using: &random) {
        let packet = ipv4Packet(Int.random(in: 20...200, using: &random), seed: UInt64(sequence))
        decoder.add(DataHeader(bucket: 1, previous: 1, sequence: sequence), packet.span, at: .zero)
      } else {
        let bytes = (0..<Int.random(in: 26...300, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        let header = RepairHeader(
          parity: Int.random(in: 0...2, using: &random), first: sequence &- UInt32.random(in: 0...70, using: &random),
          members: UInt64.random(in: 0 ... .max, using: &random) & UInt64.random(in: 0 ... .max, using: &random) | 1)
        decoder.receive(header, bytes.span, at: .zero)
      }
      while let (slot, _) = decoder.nextRecovered() { pool.give(slot) }
    }
    let lent = pool.lentCount
    #expect(lent <= RepairDecoder.historyCount + 3 * RepairDecoder.groupLimit)
    #expect(decoder.recoveredCount < 10)
  }

  @Test("the pool gets everything back")
  func returns() {
    let pool = PacketPool(packetByteCount: 1440, limit: 1024)
    do {
      var decoder = RepairDecoder(pool: pool)
      decoder.activate(at: .zero)
      for i in UInt32(0)..<300 { decoder.add(DataHeader(bucket: 1, previous: 1, sequence: i), ipv4Packet(100).span, at: .zero) }
      decoder.receive(RepairHeader(parity: 0, first: 290, members: 0xFFFF), ipv4Packet(100).span, at: .zero)
    }
    let lent = pool.lentCount
    #expect(lent == 0)
  }
}

@Suite struct RepairPolicyTests {
  private func situation(loss: Double, roundTrip: UInt64 = 600_000_000, rate: Double = 208, isActive: Bool = false)
    -> RepairPolicy.Situation
  {
    RepairPolicy.Situation(
      loss: loss, smoothedRoundTrip: roundTrip, roundTripVariation: 5_000_000, minimumRoundTrip: roundTrip, packetsPerSecond: rate,
      isActive: isActive)
  }

  @Test("a path without loss gets no parity, nor one where a resend comes in time")
  func never() {
    #expect(RepairPolicy.plan(for: situation(loss: 0)) == nil)
    #expect(RepairPolicy.plan(for: situation(loss: 0.0009)) == nil)
    #expect(RepairPolicy.plan(for: situation(loss: 0.05, roundTrip: 80_000_000)) == nil)
    #expect(RepairPolicy.plan(for: situation(loss: 0.01, rate: 0)) == nil)
    // Seven packets within half a round trip can't carry one parity in 14 %.
    #expect(RepairPolicy.plan(for: situation(loss: 0.01, rate: 25)) == nil)
  }

  @Test("what is in force stays until the loss is half")
  func hysteresis() {
    #expect(RepairPolicy.plan(for: situation(loss: 0.0007)) == nil)
    #expect(RepairPolicy.plan(for: situation(loss: 0.0007, isActive: true)) != nil)
    #expect(RepairPolicy.plan(for: situation(loss: 0.0004, isActive: true)) == nil)
  }

  @Test("every plan keeps to its limits", arguments: [0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 1])
  func limits(loss: Double) {
    for rate in [41.0, 100, 208, 1000, 20_000, 1e9] {
      for burst in [1.0, 2, 5, 1e9] {
        for share in [0.0, 0.3, 1] {
          var situation = situation(loss: loss, rate: rate)
          situation.burst = burst
          situation.share = share
          guard let plan = RepairPolicy.plan(for: situation) else { continue }
          #expect(plan.overhead <= 0.14)
          #expect(plan.memberCount * plan.depth <= RepairHeader.spanLimit)
          #expect(Double(plan.memberCount * plan.depth) <= rate * 0.3)
        }
      }
    }
  }

  @Test("the residual is that of independent losses")
  func residual() {
    // Of n = 11 packets more than one is lost: sum over m >= 2 of m/n times its chance.
    let one = 11 * 0.01 * 0.9043820750088043
    #expect(abs(RepairPolicy.residual(loss: 0.01, members: 10, parities: 1) - (0.01 - one / 11)) < 1e-12)
    #expect(RepairPolicy.residual(loss: 0, members: 10, parities: 1) == 0)
    #expect(RepairPolicy.residual(loss: 1, members: 10, parities: 3) == 1)
    let bursty = RepairPolicy.residual(loss: 0.01, burst: 3, members: 20, parities: 2)
    #expect(bursty > 5 * RepairPolicy.residual(loss: 0.01, members: 20, parities: 2))
    #expect(RepairPolicy.residual(loss: 0.01, burst: 3, members: 20, parities: 2, depth: 3) < bursty / 2)
  }

  @Test("losses on a path of 80 ms are mended by resends, beyond any sum they are not")
  func deadline() {
    #expect(ResendRule.isInTime(smoothedRoundTrip: 80_000_000, variation: 2_000_000, minimum: 80_000_000))
    #expect(!ResendRule.isInTime(smoothedRoundTrip: .max, variation: .max, minimum: .max))
  }
}
