import CausewayBase
import Testing

@testable import CausewayBondCore

/// A buffer with its pool that copies what it must hold and notes what comes out.
private struct Receiver: ~Copyable {
  let pool: PacketPool
  var order: ReorderBuffer
  var delivered: [UInt32] = []
  var verdicts: [ReorderBuffer.Verdict] = []

  init(slots: Int = 4096, holdLimit: UInt64 = 50_000_000) {
    pool = PacketPool(packetByteCount: 1440, limit: slots)
    order = ReorderBuffer(pool: pool)
    order.update(holdLimit: holdLimit)
  }

  mutating func receive(_ sequence: UInt32, _ previous: UInt16, bucket: UInt8 = 0, flags: DataFlags = [], at now: UInt64 = 0) {
    let header = DataHeader(flags: flags, bucket: bucket, previous: previous, sequence: sequence)
    let now = Instant(nanoseconds: now)
    let verdict = order.receive(header, at: now)
    verdicts.append(verdict)
    switch verdict {
    case .deliver, .late: delivered.append(sequence)
    case .hold: order.hold(pool.take()!, header, at: now)
    case .duplicate: break
    }
    drain()
  }

  mutating func drain() {
    while let slot = order.nextReleased() {
      delivered.append(pool[slot].sequence)
      pool.give(slot)
    }
  }

  mutating func advance(to now: UInt64) {
    order.advance(to: Instant(nanoseconds: now))
    drain()
  }

  mutating func skip(_ bucket: UInt8, _ sequence: UInt32, at now: UInt64 = 0) {
    order.skip(Skip(bucket: bucket, sequence: sequence), at: Instant(nanoseconds: now))
    drain()
  }
}

@Suite struct ReorderBufferTests {
  @Test("in order means at once; a gap holds its own bucket only")
  func gap() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    receiver.receive(2, 1)
    receiver.receive(5, 2)  // 3 is missing
    receiver.receive(4, 0, bucket: 9)
    receiver.receive(6, 2, bucket: 9)
    receiver.receive(7, 2)
    #expect(receiver.delivered == [1, 2, 4, 6])
    #expect(receiver.order.heldCount == 2)
    receiver.receive(3, 1)
    #expect(receiver.delivered == [1, 2, 4, 6, 3, 5, 7])
    #expect(receiver.order.nextDeadline == nil)
    let lent = receiver.pool.lentCount
    #expect(lent == 0)
    let counters = receiver.order.counters
    #expect(counters.delivered == 5)
    #expect(counters.held == 2)
    #expect(counters.gaveUp == 0)
  }

  @Test("the hold limit runs from the arrival of what is held and is not restarted")
  func holdLimit() {
    var receiver = Receiver(holdLimit: 10_000_000)
    receiver.receive(1, 0)
    receiver.receive(3, 1, at: 1_000_000)
    receiver.receive(4, 1, at: 9_000_000)
    receiver.receive(6, 1, at: 10_500_000)
    #expect(receiver.order.nextDeadline == Instant(nanoseconds: 11_000_000))
    receiver.advance(to: 10_999_999)
    #expect(receiver.delivered == [1])
    receiver.advance(to: 11_000_000)
    #expect(receiver.delivered == [1, 3, 4])
    #expect(receiver.order.nextDeadline == Instant(nanoseconds: 20_500_000))
    receiver.receive(2, 1, at: 12_000_000)
    #expect(receiver.verdicts.last == .late)
    receiver.receive(2, 1, at: 12_000_001)
    #expect(receiver.verdicts.last == .duplicate)
    receiver.receive(5, 1, at: 13_000_000)
    #expect(receiver.delivered == [1, 3, 4, 2, 5, 6])
    let counters = receiver.order.counters
    #expect(counters.gaveUp == 1)
    #expect(counters.late == 1)
    #expect(counters.duplicates == 1)
    #expect(counters.delayMaximum == 10_000_000)
    #expect(counters.delaySum == 10_000_000 + 2_000_000 + 2_500_000)
  }

  @Test("no one is held longer than 300 ms, nor may memory exceed 16 MiB")
  func caps() {
    var receiver = Receiver()
    receiver.order.update(holdLimit: .max, memoryByteCount: .max)
    #expect(receiver.order.holdLimit == 300_000_000)
    #expect(receiver.order.memoryLimit == 16 * 1024 * 1024)
    receiver.order.update(holdLimit: 0, memoryByteCount: 0)
    #expect(receiver.order.holdLimit == 1_000_000)
    let one = receiver.pool.stride
    #expect(receiver.order.memoryLimit == one)
  }

  @Test("full memory lets go of what was held longest")
  func memory() {
    var receiver = Receiver()
    receiver.order.update(holdLimit: 50_000_000, memoryByteCount: 3 * receiver.pool.stride)
    receiver.receive(10, 1, bucket: 1)
    receiver.receive(20, 1, bucket: 2)
    receiver.receive(21, 1, bucket: 2)
    #expect(receiver.delivered == [])
    receiver.receive(30, 1, bucket: 3)
    #expect(receiver.delivered == [10])
    receiver.receive(31, 1, bucket: 3)
    #expect(receiver.delivered == [10, 20, 21])
    let counters = receiver.order.counters
    #expect(counters.overflows == 2)
    #expect(counters.gaveUp == 2)
  }

  @Test("SKIP ends the wait, also in the middle")
  func skip() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    receiver.receive(4, 1)
    receiver.receive(7, 1)
    receiver.skip(0, 3)
    #expect(receiver.delivered == [1, 4])
    receiver.skip(0, 9)
    #expect(receiver.delivered == [1, 4, 7])
    receiver.receive(10, 1)
    #expect(receiver.verdicts.last == .deliver)
    receiver.skip(0, 5)  // the past
    receiver.skip(0, 0x7000_0000)  // a leap nobody can mean
    receiver.receive(11, 1)
    #expect(receiver.verdicts.last == .deliver)
    #expect(receiver.order.counters.skipped == 2)
  }

  @Test("an unordered packet passes and leaves no trace in the order")
  func unordered() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    receiver.receive(3, 1)
    receiver.receive(4, 0, flags: .unordered)
    #expect(receiver.delivered == [1, 4])
    receiver.receive(2, 1)
    receiver.receive(5, 2)
    #expect(receiver.delivered == [1, 4, 2, 3, 5])
    receiver.receive(4, 0, flags: [.unordered, .copy])
    #expect(receiver.verdicts.last == .duplicate)
  }

  @Test("a packet that waits for nothing lets those before it go first")
  func fresh() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    receiver.receive(3, 1)
    receiver.receive(9, 0)
    #expect(receiver.delivered == [1, 3, 9])
    receiver.receive(10, 1)
    #expect(receiver.delivered == [1, 3, 9, 10])
    // Its successor may overtake it.
    receiver.receive(21, 1)
    receiver.receive(20, 0)
    #expect(receiver.delivered == [1, 3, 9, 10, 20, 21])
  }

  @Test("copies are dropped within the window and beyond it")
  func window() {
    var receiver = Receiver()
    for sequence in stride(from: UInt32(1), through: 70_001, by: 1000) { receiver.receive(sequence, 0) }
    receiver.receive(70_001 - 65_471, 0, flags: .copy)
    #expect(receiver.verdicts.last == .late)
    receiver.receive(70_001 - 65_471, 0, flags: .copy)
    #expect(receiver.verdicts.last == .duplicate)
    receiver.receive(70_001 - 65_472, 0, flags: .copy)
    #expect(receiver.verdicts.last == .duplicate)
    receiver.receive(70_001, 0, flags: .copy)
    #expect(receiver.verdicts.last == .duplicate)
  }

  @Test("sequences wrap, and a flow that slept meanwhile is not late")
  func wrap() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    for leap in 1...12 { receiver.receive(UInt32(leap) * 0x1500_0000, 0, bucket: 7) }
    receiver.receive(0xFFFF_FFFE, 0)
    receiver.receive(1, 1)
    receiver.receive(0, 1)
    #expect(receiver.delivered.suffix(1) == [0xFFFF_FFFE])
    receiver.receive(0xFFFF_FFFF, 1)
    #expect(receiver.delivered.suffix(4) == [0xFFFF_FFFE, 0xFFFF_FFFF, 0, 1])
    #expect(!receiver.verdicts.contains(.late))
  }

  @Test("a peer that leaps about costs no more than its own packets", arguments: UInt64(1)...20)
  func hostile(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var receiver = Receiver(slots: 8192, holdLimit: 300_000_000)
    var now: UInt64 = 0
    var sequence: UInt32 = 0
    for _ in 0..<4_000 {
      now += 50_000
      switch UInt8.random(in: 0...9, using: &random) {
      case 0: sequence &+= UInt32.random(in: 0...0x7FFF_FFFF, using: &random)
      case 1: sequence &+= 65_000
      case 2: receiver.skip(UInt8.random(in: 0...3, using: &random), UInt32.random(in: 0 ... .max, using: &random), at: now)
      default: sequence &+= UInt32.random(in: 0...3, using: &random)
      }
      let previous = Bool.random(using: &random) ? UInt16.random(in: 0 ... .max, using: &random) : UInt16.random(in: 0...5, using: &random)
      receiver.receive(
        sequence &- UInt32.random(in: 0...70, using: &random), previous, bucket: UInt8.random(in: 0...3, using: &random), at: now)
      receiver.advance(to: now)
    }
    receiver.advance(to: now + 300_000_000)
    #expect(receiver.order.heldCount == 0)
    let lent = receiver.pool.lentCount
    #expect(lent == 0)
    let accepted = receiver.verdicts.count { $0 != .duplicate }
    #expect(receiver.delivered.count == accepted)
  }

  @Test("a peer that begins anew finds a clean buffer")
  func reset() {
    var receiver = Receiver()
    receiver.receive(1, 0)
    receiver.receive(500, 1)
    receiver.order.reset(at: .zero)
    receiver.drain()
    #expect(receiver.delivered == [1, 500])
    receiver.receive(1, 0)
    receiver.receive(2, 1)
    #expect(receiver.delivered == [1, 500, 1, 2])
  }
}

@Suite struct OrderScheduleTests {
  struct Schedule: CustomTestStringConvertible {
    var seed: UInt64
    var loss: Double
    var copies: Double
    var jitter: UInt64
    var flows: Int
    var memory: Int
    var testDescription: String { "seed \(seed), loss \(loss), copies \(copies), jitter \(jitter) us, \(flows) flows, memory \(memory)" }
  }

  static let schedules: [Schedule] = (1...12).flatMap { (seed: Int) -> [Schedule] in
    [(0.0, 0.0, 0), (0.02, 0.05, 2_000), (0.2, 0.3, 20_000), (0.01, 0.0, 80_000)].map { loss, copies, jitter in
      Schedule(
        seed: UInt64(seed), loss: loss, copies: copies, jitter: UInt64(jitter), flows: [1, 3, 40][seed % 3],
        memory: seed % 4 == 0 ? 20 : 4000)
    }
  }

  /// A sender with two paths of different delay, losses, late resends, copies, and sequences that begin just before they wrap.
  private func arrivals(_ schedule: Schedule) -> [(at: UInt64, packet: NaiveOrder.Packet)] {
    var random = SeededRandom(seed: schedule.seed)
    var stamper = OrderStamper()
    // The stamper itself begins at 1; shift what it says.
    let shift = 0xFFFF_FF00
    var arrivals: [(at: UInt64, packet: NaiveOrder.Packet)] = []
    for i in 0..<600 {
      let sent = UInt64(i) * 100_000
      let bucket = UInt8(Int.random(in: 0..<schedule.flows, using: &random) * 7 & 255)
      let header = stamper.stamp(bucket: bucket, flags: UInt8.random(in: 0...19, using: &random) == 0 ? .unordered : [])
      if schedule.loss > 0, UInt8.random(in: 0...9, using: &random) == 0 { stamper.settle(bucket: bucket) }
      let packet = NaiveOrder.Packet(
        sequence: Int(header.sequence) + shift, previous: Int(header.previous), bucket: Int(bucket),
        isUnordered: header.flags.contains(.unordered))
      var copies = Double.random(in: 0..<1, using: &random) < schedule.copies ? 2 : 1
      while copies > 0 {
        copies -= 1
        let isLost = Double.random(in: 0..<1, using: &random) < schedule.loss
        if isLost, Bool.random(using: &random) { continue }
        let delay = UInt64.random(in: 0...schedule.jitter, using: &random) * 1000 + (Bool.random(using: &random) ? 5_000_000 : 9_000_000)
        arrivals.append((sent + delay + (isLost ? 40_000_000 : 0), packet))
      }
    }
    return arrivals.sorted { $0.at < $1.at }
  }

  @Test("does what its naive twin does, delivers once, and keeps each bucket's order unless it gave up", arguments: schedules)
  func twin(_ schedule: Schedule) {
    let limit: UInt64 = 30_000_000
    var receiver = Receiver(holdLimit: limit)
    var twin = NaiveOrder(holdLimit: limit)
    receiver.order.update(holdLimit: limit, memoryByteCount: schedule.memory * receiver.pool.stride)
    twin.memoryLimit = min(schedule.memory, receiver.order.memoryLimit / receiver.pool.stride)
    // Walk up to just before the wrap in leaps that the window allows.
    for leap in [0x5000_0000, 0xA000_0000, 0xFFFF_FEFF] {
      receiver.receive(UInt32(leap), 0, bucket: 255, flags: .unordered)
      _ = twin.receive(.init(sequence: leap, previous: 0, bucket: 255, isUnordered: true), at: 0)
    }
    var buckets: [Int: Int] = [:]
    for (at, packet) in arrivals(schedule) {
      buckets[packet.sequence] = packet.isUnordered ? -1 : packet.bucket
      while let due = receiver.order.nextDeadline, due.nanoseconds <= at {
        receiver.advance(to: due.nanoseconds)
        twin.advance(to: due.nanoseconds)
      }
      let verdict = twin.receive(packet, at: at)
      receiver.receive(
        UInt32(truncatingIfNeeded: packet.sequence), UInt16(packet.previous), bucket: UInt8(packet.bucket),
        flags: packet.isUnordered ? .unordered : [], at: at)
      #expect(receiver.verdicts.last == verdict, "\(packet) at \(at)")
    }
    receiver.advance(to: .max / 2)
    twin.advance(to: .max / 2)
    #expect(receiver.delivered == twin.delivered.map { UInt32(truncatingIfNeeded: $0) })
    #expect(Set(receiver.delivered).count == receiver.delivered.count)
    let counters = receiver.order.counters
    if counters.late == 0 {
      var last: [Int: Int] = [:]
      for sequence in twin.delivered {
        guard let bucket = buckets[sequence], bucket >= 0 else { continue }
        #expect(sequence > last[bucket] ?? 0)
        last[bucket] = sequence
      }
    }
    if schedule.loss == 0, schedule.memory > 1000 {
      #expect(counters.gaveUp == 0)
      #expect(counters.late == 0)
    }
    #expect(receiver.order.heldCount == 0)
    let lent = receiver.pool.lentCount
    #expect(lent == 0)
  }
}

@Suite struct OrderStamperTests {
  @Test("names the previous packet only while something of the bucket is under way")
  func previous() {
    var stamper = OrderStamper()
    var headers: [DataHeader] = []
    for bucket: UInt8 in [1, 1, 2, 1] { headers.append(stamper.stamp(bucket: bucket)) }
    #expect(headers.map(\.sequence) == [1, 2, 3, 4])
    #expect(headers.map(\.previous) == [0, 1, 0, 2])
    for _ in 0..<3 { stamper.settle(bucket: 1) }
    headers = [stamper.stamp(bucket: 1), stamper.stamp(bucket: 1, flags: .unordered), stamper.stamp(bucket: 1)]
    #expect(headers.map(\.previous) == [0, 0, 2])
    #expect(stamper.lastSequence == 7)
  }

  @Test("a previous packet out of reach of 16 bits is not named")
  func reach() {
    var stamper = OrderStamper()
    _ = stamper.stamp(bucket: 1)
    for _ in 0..<65_534 { _ = stamper.stamp(bucket: 2) }
    let near = stamper.stamp(bucket: 1)
    #expect(near.previous == 65_535)
    for _ in 0..<65_535 { _ = stamper.stamp(bucket: 2) }
    let far = stamper.stamp(bucket: 1)
    #expect(far.previous == 0)
  }

  @Test(
    "after a reset sequences are new to who heard the last ones, and to who has heard none",
    arguments: [1, 70_000, 1 << 31 - 1, 1 << 31, .max - 5] as [UInt32])
  func reset(sequence: UInt32) {
    let pool = PacketPool(packetByteCount: 1400, limit: 64)
    var stamper = OrderStamper(startingAt: sequence)
    var before = ReorderBuffer(pool: pool)
    var fresh = ReorderBuffer(pool: pool)
    for start in [sequence / 2, sequence &- 1] where start > 0 {
      _ = before.receive(DataHeader(bucket: 4, previous: 0, sequence: start), at: .zero)
    }
    for _ in 0..<3 { _ = before.receive(stamper.stamp(bucket: 4), at: .zero) }
    stamper.reset()
    for _ in 0..<10 {
      let header = stamper.stamp(bucket: 4)
      let verdicts = [before.receive(header, at: .zero), fresh.receive(header, at: .zero)]
      #expect(verdicts == [.deliver, .deliver], "sequence \(header.sequence)")
      stamper.settle(bucket: 4)
    }
  }
}
