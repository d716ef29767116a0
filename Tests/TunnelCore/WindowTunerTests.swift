import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite struct WindowTunerTests {
  /// Passes on and has acknowledged the same bytes, as a reader without a queue does.
  private func drain(
    _ tuner: inout WindowTuner, upTo offset: UInt64, at now: Instant, roundTrip: UInt64, limits: SessionLimits = SessionLimits(),
    headroom: Int = 1 << 30
  ) -> Bool {
    tuner.consume(upTo: offset, drained: offset, at: now, roundTrip: roundTrip, limits: limits, headroom: headroom)
  }

  /// A reader that drains at `bytesPerSecond` when the window lets it, at most a window each round trip, for `duration` ms.
  private func run(
    _ tuner: inout WindowTuner, bytesPerSecond: Double, roundTrip: Double, from start: Double = 0, for duration: Double = 3000,
    limits: SessionLimits = SessionLimits(), headroom: Int = 1 << 30
  ) {
    var drained = Double(tuner.consumed)
    let step = roundTrip / 10
    for now in stride(from: start, to: start + duration, by: step) {
      drained += min(bytesPerSecond * step / 1000, Double(tuner.size) / 10)
      let room = headroom - tuner.growth
      _ = drain(&tuner, upTo: UInt64(drained), at: .ms(now), roundTrip: UInt64(roundTrip * 1e6), limits: limits, headroom: room)
    }
  }

  @Test(
    "the window stops near bandwidth x round trip",
    arguments: [(10e6, 50), (10e6, 100), (100e6, 10), (3e6, 200), (1.25e9, 5)] as [(Double, Double)])
  func stopsNearTheProduct(_ bytesPerSecond: Double, _ roundTrip: Double) {
    var tuner = WindowTuner(initial: 65536)
    run(&tuner, bytesPerSecond: bytesPerSecond, roundTrip: roundTrip)
    let product = bytesPerSecond * roundTrip / 1000
    #expect(Double(tuner.size) >= product && Double(tuner.size) <= 4.1 * product, "\(tuner.size) for \(product)")
  }

  @Test("a window that is no limit does not grow", arguments: [(1e3, 50), (100e3, 50), (500e3, 50)] as [(Double, Double)])
  func slowReader(_ bytesPerSecond: Double, _ roundTrip: Double) {
    var tuner = WindowTuner(initial: 65536)
    run(&tuner, bytesPerSecond: bytesPerSecond, roundTrip: roundTrip, for: 20_000)
    #expect(tuner.growth == 0)
  }

  @Test(
    "it is bounded by its maximum and by the session's budget",
    arguments: [
      (16_777_216, 1_000_000_000, 16_777_216), (1_000_000, 1_000_000_000, 1_000_000), (16_777_216, 100_000, 165_536),
      (16_777_216, 0, 65536),
    ] as [(Int, Int, Int)])
  func bounded(_ maximum: Int, _ budget: Int, _ expected: Int) {
    var limits = SessionLimits()
    limits.maximumWindow = maximum
    var tuner = WindowTuner(initial: 65536)
    run(&tuner, bytesPerSecond: 10e9, roundTrip: 20, limits: limits, headroom: budget)
    #expect(tuner.size == expected)
  }

  @Test("a stalled reader's window never grows, nor that of one who wakes now and then and drains all at once") func stalledReader() {
    var tuner = WindowTuner(initial: 65536)
    for wake in 1...20 {
      _ = drain(&tuner, upTo: UInt64(wake * 65536), at: .ms(Double(wake) * 1500), roundTrip: 50_000_000)
      #expect(tuner.growth == 0)
    }
  }

  @Test("what was passed on and not acknowledged earns credit and no growth") func unacknowledged() {
    var tuner = WindowTuner(initial: 65536)
    for step in 1...100 as ClosedRange<UInt64> {
      let now = Instant.ms(Double(step) * 10)
      _ = tuner.consume(upTo: step * 65536, drained: step * 600, at: now, roundTrip: 50_000_000, limits: SessionLimits(), headroom: 1 << 30)
    }
    #expect(tuner.growth == 0 && tuner.credit == 101 * 65536)
  }

  @Test("the first report proves no speed: its bytes took an unknown time") func firstReport() {
    var tuner = WindowTuner(initial: 65536)
    _ = drain(&tuner, upTo: 65536, at: .zero, roundTrip: 50_000_000)
    #expect(tuner.growth == 0)
  }

  @Test("without a measured round trip the window stays") func unknownRoundTrip() {
    var tuner = WindowTuner(initial: 1000)
    for step in 1...50 { _ = drain(&tuner, upTo: UInt64(step * 1000), at: .ms(1), roundTrip: 0) }
    #expect(tuner.growth == 0)
  }

  @Test("an idle second sets it back, and no given credit is taken back") func idle() {
    var tuner = WindowTuner(initial: 65536)
    run(&tuner, bytesPerSecond: 100e6, roundTrip: 50, for: 2000)
    let (grown, credit) = (tuner.size, tuner.credit)
    #expect(grown > 1 << 20)
    _ = drain(&tuner, upTo: tuner.consumed + 10, at: .ms(3500), roundTrip: 50_000_000)
    #expect(tuner.size == 65536 && tuner.credit == credit)
  }

  @Test("credit is told in steps of a quarter window at least, and always once a blocked sender's bytes have drained") func noCrumbs() {
    var tuner = WindowTuner(initial: 1000)
    var told = 0
    for byte in 1...1000 as ClosedRange<UInt64> {
      if drain(&tuner, upTo: byte, at: .ms(Double(byte)), roundTrip: 0, headroom: 0) { told += 1 }
    }
    #expect(told == 4 && tuner.credit == 2000)
    for window in 1...5 {
      var small = WindowTuner(initial: window)
      let isTold = drain(&small, upTo: UInt64(window), at: .ms(1), roundTrip: 0, headroom: 0)
      #expect(isTold)
    }
  }

  @Test("a session's windows grow within one budget, which comes back") func budget() throws {
    let session = Session.attached(.client) {
      $0.initialWindow = 1000
      $0.windowBudget = 5000
      $0.growthThreshold = 0
    }
    _ = session.sent(withPings: true)
    _ = try session.feed(Wire.pong(Instant.ms(0).nanoseconds), at: .ms(20))  // 20 ms
    var offsets: [UInt64] = [0, 0, 0, 0]
    for step in 0..<200 {
      let now = Instant.ms(20 + Double(step) * 2)
      for id in 1...3 as ClosedRange<UInt32> {
        let count = min(1000, Int((session.streams[id]?.window.credit ?? 1000) - offsets[Int(id)]))
        guard count > 0 else { continue }
        _ = try session.feed(Wire.data(id, at: offsets[Int(id)], [UInt8](repeating: 0, count: count)), at: now)
        offsets[Int(id)] += UInt64(count)
        session.drained(id, upTo: offsets[Int(id)], pathRoundTrip: 0, at: now)
      }
    }
    let growth = session.streams.values.map(\.window.growth)
    #expect(growth.reduce(0, +) == 5000 && session.windowGrowth == 5000)
    session.reset(1, .cancelled)
    _ = try session.feed(Wire.data(2, at: offsets[2], [], end: true), at: .ms(500))
    _ = try session.feed(Wire.data(3, at: offsets[3], [], end: true), at: .ms(500))
    #expect(session.windowGrowth == 0)  // also of streams whose other direction goes on
  }

  @Test("the shell is asked to look when half of the window is used") func drainReports() throws {
    let session = Session.attached(.client) { $0.initialWindow = 1000 }
    _ = try session.feed(Wire.data(1, at: 0, [UInt8](repeating: 0, count: 499)))
    #expect(!session.wantsDrainReport(1))
    _ = try session.feed(Wire.data(1, at: 499, [1]))
    #expect(session.wantsDrainReport(1))
    session.drained(1, upTo: 500, pathRoundTrip: 0, at: .ms(1))
    #expect(!session.wantsDrainReport(1))
    #expect(session.sent(at: .ms(1)).last?.entries == [AckEntry(stream: 1, received: 500, credit: 1500)])
    _ = try session.feed(Wire.data(1, at: 500, [1], end: true))
    #expect(!session.wantsDrainReport(1))
  }
}
