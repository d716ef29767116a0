import CausewayBase
import CausewaySimulation
import Testing

/// Test doubles are code: what the simulator promises is tested like anything else.
@Suite struct SimulatedLinkTests {
  private func payload(_ number: Int, _ count: Int = 100) -> [UInt8] {
    [UInt8(number >> 8), UInt8(number & 255)] + [UInt8](repeating: 1, count: count - 2)
  }

  /// Sends `count` datagrams a millisecond apart and returns the numbers and lengths that arrive, in order.
  private func run(_ conditions: LinkConditions, seed: UInt64, count: Int = 2000) -> (arrived: [Int], lengths: [Int], link: SimulatedLink) {
    var link = SimulatedLink(conditions, seed: seed)
    var clock = SimulatedClock()
    var (arrived, lengths): ([Int], [Int]) = ([], [])
    for number in 0..<count {
      link.send(payload(number).span, at: clock.now)
      clock.advance(by: .milliseconds(1))
      while let datagram = link.receive(at: clock.now) {
        if datagram.count >= 2 { arrived.append(Int(datagram[0]) << 8 | Int(datagram[1])) }
        lengths.append(datagram.count)
      }
    }
    while let next = link.nextArrival {
      clock.advance(to: next)
      while let datagram = link.receive(at: clock.now) {
        if datagram.count >= 2 { arrived.append(Int(datagram[0]) << 8 | Int(datagram[1])) }
        lengths.append(datagram.count)
      }
    }
    return (arrived, lengths, link)
  }

  @Test("a quiet link delivers everything in order after its delay, with jitter too") func quiet() {
    var conditions = LinkConditions()
    conditions.jitter = .milliseconds(7)
    let result = run(conditions, seed: 1)
    #expect(result.arrived == Array(0..<2000))
    var link = SimulatedLink(seed: 1)
    link.send([1].span, at: Instant(nanoseconds: 5))
    #expect(link.nextArrival == Instant(nanoseconds: 10_000_005))
    let early = link.receive(at: Instant(nanoseconds: 10_000_004))
    let late = link.receive(at: Instant(nanoseconds: 10_000_005))
    #expect(early == nil && late == [1])
  }

  @Test("shares are kept, and the counts say so", arguments: [0.01, 0.1, 0.5]) func shares(_ share: Double) {
    var conditions = LinkConditions()
    conditions.loss = share
    let lossy = run(conditions, seed: 2)
    #expect(lossy.arrived.count == 2000 - lossy.link.statistics.lost && abs(Double(lossy.link.statistics.lost) - 2000 * share) < 100)
    conditions = LinkConditions()
    conditions.duplication = share
    let doubled = run(conditions, seed: 3)
    #expect(
      doubled.arrived.count == 2000 + doubled.link.statistics.duplicated
        && abs(Double(doubled.link.statistics.duplicated) - 2000 * share) < 100)
    conditions = LinkConditions()
    conditions.truncation = share
    let cut = run(conditions, seed: 4)
    #expect(cut.lengths.filter { $0 < 100 }.count == cut.link.statistics.truncated && cut.link.statistics.truncated > 0)
    conditions = LinkConditions()
    conditions.reordering = share
    let mixed = run(conditions, seed: 5)
    #expect(mixed.arrived.sorted() == Array(0..<2000) && mixed.arrived != Array(0..<2000) && mixed.link.statistics.reordered > 0)
  }

  @Test("bandwidth spaces datagrams, and a full queue drops") func bandwidth() {
    var conditions = LinkConditions()
    conditions.bytesPerSecond = 1_000_000
    conditions.queueByteCount = 1000
    var link = SimulatedLink(conditions, seed: 1)
    for number in 0..<20 { link.send(payload(number).span, at: .zero) }
    #expect(link.statistics.overflowed == 10)
    var arrivals: [UInt64] = []
    while let next = link.nextArrival {
      arrivals.append(next.nanoseconds)
      _ = link.receive(at: next)
    }
    #expect(arrivals == (1...10).map { 10_000_000 + $0 * 100_000 })
  }

  @Test("the seed decides everything") func determinism() {
    var conditions = LinkConditions()
    (conditions.loss, conditions.duplication, conditions.reordering, conditions.jitter) = (0.1, 0.1, 0.1, .milliseconds(3))
    #expect(run(conditions, seed: 9).arrived == run(conditions, seed: 9).arrived)
    #expect(run(conditions, seed: 9).arrived != run(conditions, seed: 10).arrived)
  }
}

@Suite struct SimulatedConnectionTests {
  private let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7 / 5) }

  /// Sends all of `bytes` from the client and returns what the server got when nothing moves any more.
  private func run(_ connection: SimulatedConnection) -> (received: [UInt8], pieces: [Int], time: Instant) {
    var clock = SimulatedClock()
    let out = ByteBuffer()
    var (sent, pieces): (Int, [Int]) = (0, [])
    while true {
      sent += connection.send(bytes.span.extracting(sent..<bytes.count), from: .client, at: clock.now)
      while true {
        let count = connection.receive(into: out, at: .server, at: clock.now)
        if count == 0 { break }
        pieces.append(count)
      }
      if sent < bytes.count && connection.isAlive && connection.roomByteCount(from: .client) > 0 { continue }
      guard let next = connection.nextArrival(at: .server) else { break }
      clock.advance(to: next)
    }
    return ((0..<out.count).map { out.bytes[$0] }, pieces, clock.now)
  }

  @Test("bytes arrive in order and in pieces of the asked sizes", arguments: [1...1, 1...20, 1460...1460]) func order(
    _ sizes: ClosedRange<Int>
  ) {
    var conditions = LinkConditions()
    (conditions.segmentByteCount, conditions.jitter, conditions.queueByteCount) = (sizes, .milliseconds(5), 3000)
    let result = run(SimulatedConnection(conditions, seed: 1))
    #expect(result.received == bytes && result.pieces.allSatisfy { $0 <= sizes.upperBound })
  }

  @Test("what nobody takes pushes back") func backPressure() {
    var conditions = LinkConditions()
    conditions.queueByteCount = 3000
    let connection = SimulatedConnection(conditions, seed: 1)
    #expect(connection.send(bytes.span, from: .client, at: .zero) == 3000)
    #expect(connection.send(bytes.span, from: .client, at: Instant(nanoseconds: 1_000_000_000)) == 0)
    #expect(connection.send(bytes.span, from: .server, at: .zero) == 3000)  // the other direction is its own
    let out = ByteBuffer()
    let count = connection.receive(into: out, at: .server, at: Instant(nanoseconds: 1_000_000_000))
    #expect(count > 0 && connection.roomByteCount(from: .client) == count)
  }

  @Test("bandwidth sets the time") func bandwidth() {
    var conditions = LinkConditions()
    (conditions.bytesPerSecond, conditions.queueByteCount) = (1_000_000, 1 << 20)
    let result = run(SimulatedConnection(conditions, seed: 1))
    #expect(abs((result.time - .zero).inSeconds - 0.030) < 0.001)
  }

  @Test("it dies at the byte it was told, and loses what was under way in both directions", arguments: [0, 1, 777, 19_999])
  func death(_ byteCount: Int) {
    let connection = SimulatedConnection(bytesUntilDeath: byteCount, seed: 3)
    #expect(connection.send([1, 2].span, from: .server, at: .zero) == 2)
    let result = run(connection)
    #expect(result.received == Array(bytes.prefix(byteCount)) && !connection.isAlive)
    #expect(connection.nextArrival(at: .client) == nil && connection.nextArrival(at: .server) == nil)
    #expect(connection.send(bytes.span, from: .client, at: .zero) == bytes.count)  // swallowed, as a kernel does
    #expect(connection.nextArrival(at: .server) == nil)
  }

  @Test("a kill is a death") func kill() {
    let connection = SimulatedConnection(seed: 1)
    _ = connection.send([1].span, from: .client, at: .zero)
    connection.kill()
    let out = ByteBuffer()
    #expect(connection.receive(into: out, at: .server, at: .distantFuture) == 0 && !connection.isAlive)
  }
}
