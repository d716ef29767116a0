import CausewayBase
import Testing

@testable import CausewayBondCore

/// A queue with its pool; packets carry a number in `sequence`.
private struct Bench: ~Copyable {
  let pool = PacketPool(packetByteCount: 1500, limit: 16_384)
  var queue: FairQueue
  var next: UInt32 = 0

  init() { queue = FairQueue(pool: pool) }

  /// - Returns: the packet's number.
  @discardableResult mutating func put(
    _ flow: UInt32, _ length: Int = 1400, isUrgent: Bool = false, ecn: UInt8 = 0, at now: UInt64 = 0
  ) -> UInt32 {
    let slot = pool.take()!
    let packet = ipv4Packet(20)
    pool.withBuffer(slot) { buffer in
      for i in packet.indices { buffer[PacketPool.headroom + i] = packet[i] }
      buffer[PacketPool.headroom + 1] = ecn
    }
    pool[slot].length = length
    pool[slot].flowHash = flow
    pool[slot].sequence = next
    if isUrgent { pool[slot].flags.insert(.urgent) }
    next += 1
    queue.enqueue(slot, at: Instant(nanoseconds: now))
    return next - 1
  }

  mutating func get(at now: UInt64 = 0) -> (number: UInt32, flow: UInt32, tos: UInt8)? {
    guard let slot = queue.dequeue(at: Instant(nanoseconds: now)) else { return nil }
    let info = pool[slot]
    let tos = pool.withPacket(slot) { $0[1] }
    pool.give(slot)
    return (info.sequence, info.flowHash, tos)
  }
}

@Suite struct FairQueueTests {
  @Test("a flow leaves in order, and the queue ends empty")
  func order() {
    var bench = Bench()
    for _ in 0..<50 { bench.put(7) }
    var numbers: [UInt32] = []
    while let packet = bench.get() { numbers.append(packet.number) }
    #expect(numbers == Array(0..<50))
    let lent = bench.pool.lentCount
    #expect(lent == 0)
    #expect(bench.queue.byteCount == 0)
    #expect(bench.queue.packetCount == 0)
  }

  @Test("flows with backlog share by bytes, whatever the size of their packets")
  func fair() {
    var bench = Bench()
    bench.queue.byteLimit = 8 << 20
    for _ in 0..<400 { bench.put(1, 1400) }
    for _ in 0..<2800 { bench.put(2, 200) }
    for _ in 0..<800 { bench.put(3, 700) }
    var bytes: [UInt32: Int] = [:]
    for _ in 0..<1500 {
      let packet = bench.get()!
      bytes[packet.flow, default: 0] += packet.flow == 1 ? 1400 : packet.flow == 2 ? 200 : 700
    }
    let shares = bytes.values
    #expect(shares.max()! - shares.min()! <= 2 * Int(bench.queue.quantum))
  }

  @Test("a flow that begins goes before those with backlog, an urgent one before it; each for one quantum")
  func sparse() {
    var bench = Bench()
    for _ in 0..<100 { bench.put(1) }
    for _ in 0..<5 { _ = bench.get() }
    let plain = bench.put(2, 100)
    let urgent = bench.put(3, 100, isUrgent: true)
    let head = bench.queue.peek(at: .zero)
    #expect(head?.isSparse == true)
    #expect(bench.get()?.number == urgent)
    #expect(bench.get()?.number == plain)
    // More than a quantum is no beginning any more.
    for _ in 0..<4 { bench.put(3, 1400, isUrgent: true) }
    for _ in 0..<3 { #expect(bench.get()?.flow == 3) }
    #expect(bench.get()?.flow == 1)
  }

  @Test("a flow of urgent packets doesn't starve the others")
  func noStarvation() {
    var bench = Bench()
    for _ in 0..<300 { bench.put(1) }
    var served: [UInt32: Int] = [:]
    for _ in 0..<300 {
      bench.put(2, 1400, isUrgent: true)
      served[bench.get()!.flow, default: 0] += 1
    }
    #expect(served[1]! >= 140)
  }

  @Test("peek says what dequeue gives, also when something more urgent comes between")
  func peek() {
    var bench = Bench()
    for flow: UInt32 in 0..<20 { bench.put(flow) }
    for round in 0..<40 {
      let head = bench.queue.peek(at: .zero)
      if round % 7 == 3 {
        let urgent = bench.put(100 + UInt32(round), 60, isUrgent: true)
        #expect(bench.get()?.number == urgent)
      } else if let head {
        let number = bench.pool[head.slot].sequence
        #expect(bench.get()?.number == number)
      }
    }
    while bench.get() != nil {}
    let head = bench.queue.peek(at: .zero)
    #expect(head == nil)
  }

  @Test("full: the head of the fattest flow goes, and its slot comes back")
  func overflow() {
    var bench = Bench()
    bench.queue.byteLimit = 14_000
    for _ in 0..<8 { bench.put(1) }
    bench.put(2)
    bench.put(3)
    #expect(bench.queue.counters.overflowed == 0)
    let last = bench.put(2)
    #expect(bench.queue.counters.overflowed == 1)
    #expect(bench.queue.byteCount == 14_000)
    let lent = bench.pool.lentCount
    #expect(lent == 10)
    var numbers: [UInt32] = []
    while let packet = bench.get() { numbers.append(packet.number) }
    #expect(!numbers.contains(0))
    #expect(numbers.contains(last))
    #expect(numbers.count == 10)
  }

  @Test("many small packets are limited by count")
  func packetLimit() {
    var bench = Bench()
    bench.queue.packetLimit = 100
    for flow: UInt32 in 0..<150 { bench.put(flow, 40) }
    #expect(bench.queue.packetCount == 100)
    #expect(bench.queue.counters.overflowed == 50)
  }

  /// Fills at twice the rate at which it drains for `milliseconds`; 1400 bytes a millisecond go out.
  private func overload(
    _ bench: inout Bench, ecn: UInt8, from start: UInt64 = 0, milliseconds: UInt64
  ) -> [(flow: UInt32, tos: UInt8)] {
    var out: [(flow: UInt32, tos: UInt8)] = []
    for tick in start..<start + milliseconds {
      let now = tick * 1_000_000
      bench.put(1, ecn: ecn, at: now)
      bench.put(1, ecn: ecn, at: now)
      if let packet = bench.get(at: now) { out.append((packet.flow, packet.tos)) }
    }
    return out
  }

  @Test("CoDel acts only while every path is busy, after 200 ms above its target, ever faster")
  func codel() {
    var idle = Bench()
    _ = overload(&idle, ecn: 0, milliseconds: 1000)
    #expect(idle.queue.counters.controlled == 0)
    var busy = Bench()
    busy.queue.isEveryPathBusy = true
    _ = overload(&busy, ecn: 0, milliseconds: 200)
    #expect(busy.queue.counters.controlled == 0)
    var long = Bench()
    long.queue.isEveryPathBusy = true
    _ = overload(&long, ecn: 0, milliseconds: 700)
    let early = long.queue.counters.controlled
    #expect((3...8).contains(early))
    var longer = Bench()
    longer.queue.isEveryPathBusy = true
    _ = overload(&longer, ecn: 0, milliseconds: 1700)
    #expect(longer.queue.counters.controlled > 3 * early)
    #expect(longer.queue.counters.marked == 0)
  }

  @Test("how much queue is too much follows the flows' round trip, within bounds, or is nothing at all")
  func tempo() {
    let targets = [0, 1_000_000, 20_000_000, 300_000_000].map { CoDel.Tempo(roundTrip: $0).target }
    #expect(targets == [5_000_000, 5_000_000, 40_000_000, 50_000_000])
    // One of two packets leaves: that of tick n does so at 2n, so that from tick 80 on they wait 40 ms.
    var bench = Bench()
    bench.queue.isEveryPathBusy = true
    bench.queue.tempo = CoDel.Tempo(roundTrip: 20_000_000)
    _ = overload(&bench, ecn: 0, milliseconds: 270)
    #expect(bench.queue.counters.controlled == 0)
    _ = overload(&bench, ecn: 0, from: 270, milliseconds: 50)
    #expect(bench.queue.counters.controlled > 0)
    var rested = Bench()
    rested.queue.isEveryPathBusy = true
    rested.queue.tempo = .rest
    _ = overload(&rested, ecn: 0, milliseconds: 1000)
    #expect(rested.queue.counters.controlled == 0)
  }

  @Test("a packet that understands ECN is marked instead")
  func marks() {
    var bench = Bench()
    bench.queue.isEveryPathBusy = true
    let out = overload(&bench, ecn: 0b10, milliseconds: 800)
    #expect(bench.queue.counters.controlled == 0)
    let marked = out.count { $0.tos & 3 == 3 }
    #expect(UInt64(marked) == bench.queue.counters.marked)
    #expect(marked >= 4)
  }

  @Test("a queue that drains rests, and a lone packet is never punished")
  func rest() {
    var bench = Bench()
    bench.queue.isEveryPathBusy = true
    for tick: UInt64 in 0..<500 {
      bench.put(1, at: tick * 1_000_000)
      // Each packet waits 50 ms, but alone.
      _ = bench.get(at: tick * 1_000_000 + 50_000_000)
    }
    #expect(bench.queue.counters.controlled == 0)
    #expect(bench.queue.counters.meanSojourn == 50_000_000)
    let maximum = bench.queue.takeSojournMaximum()
    #expect(maximum == 50_000_000)
    #expect(bench.queue.counters.sojournMaximum == 0)
  }

  @Test("what waited too long goes when asked, the newest stay")
  func expire() {
    var bench = Bench()
    for i: UInt64 in 0..<10 { bench.put(UInt32(i % 3), at: i * 1000) }
    bench.queue.expire(before: Instant(nanoseconds: 6000))
    #expect(bench.queue.counters.expired == 6)
    var numbers: [UInt32] = []
    while let packet = bench.get() { numbers.append(packet.number) }
    #expect(numbers.sorted() == [6, 7, 8, 9])
    bench.queue.expire(before: .distantFuture)
    let isEmpty = bench.queue.isEmpty
    #expect(isEmpty)
  }

  @Test("nothing is lost or doubled, and flows keep their order, over seeded use", arguments: UInt64(1)...10)
  func seeded(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var bench = Bench()
    bench.queue.byteLimit = 200_000
    bench.queue.isEveryPathBusy = true
    var out: [UInt32: UInt32] = [:]
    var count: UInt64 = 0
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      now += UInt64.random(in: 0...500_000, using: &random)
      switch UInt8.random(in: 0...9, using: &random) {
      case 0...4:
        bench.put(
          UInt32.random(in: 0...30, using: &random), Int.random(in: 20...1500, using: &random),
          isUrgent: UInt8.random(in: 0...9, using: &random) == 0, at: now)
      case 5: _ = bench.queue.peek(at: Instant(nanoseconds: now))
      case 6 where UInt8.random(in: 0...9, using: &random) == 0: _ = bench.queue.dropFattest()
      case 7 where UInt8.random(in: 0...99, using: &random) == 0:
        bench.queue.expire(before: Instant(nanoseconds: now - min(now, 30_000_000)))
      default:
        guard let packet = bench.get(at: now) else { continue }
        count += 1
        if let last = out[packet.flow] { #expect(packet.number > last) }
        out[packet.flow] = packet.number
      }
    }
    let counters = bench.queue.counters
    #expect(counters.dequeued == count)
    #expect(
      counters.enqueued == count + counters.controlled + counters.overflowed + counters.expired + UInt64(bench.queue.packetCount))
    let lent = bench.pool.lentCount
    #expect(lent == bench.queue.packetCount)
    while bench.get(at: now) != nil {}
    #expect(bench.queue.byteCount == 0)
  }
}
