import CausewayBase
import Testing

@testable import CausewayPaths

@Suite struct EstimatorTests {
  private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  @Test func `the pace spends at most two milliseconds of unused time`() {
    var pacer = Pacer()
    pacer.setRate(1_000_000)  // a byte each microsecond
    let now = at(10_000)
    var sent = 0
    while pacer.next <= now {
      pacer.sent(100, at: now)
      sent += 100
    }
    #expect(sent == 2100)
    #expect(pacer.next == Instant(nanoseconds: now.nanoseconds + 100_000))
  }

  @Test(arguments: [1e3, 1e6, 2.5e9, 2.5e10])
  func `the pace is the rate`(_ rate: Double) {
    var pacer = Pacer()
    pacer.setRate(rate)
    let start = at(1000)
    pacer.restart(at: start)
    for _ in 0..<1000 { pacer.sent(65_000, at: start) }
    let took = Double(pacer.next.nanoseconds - start.nanoseconds) / 1e9
    #expect(abs(took * rate / 65_000_000 - 1) < 1e-3)
  }

  @Test func `round trips follow RFC 9002's gains and take the acknowledgement's delay off`() {
    var estimator = RoundTripEstimator()
    estimator.update(100, acknowledgementDelay: 0, at: at(1))
    #expect(estimator.smoothed == 100 && estimator.variation == 50 && estimator.minimum == 100)
    estimator.update(180, acknowledgementDelay: 40, at: at(2))
    #expect(estimator.latest == 140 && estimator.smoothed == 105 && estimator.variation == 47)
    estimator.update(110, acknowledgementDelay: 40, at: at(3))
    #expect(estimator.latest == 110, "never below the minimum")
  }

  @Test func `the minimum forgets what is older than ten seconds`() {
    var minimum = WindowedMinimum()
    minimum.update(5, at: at(0))
    for second in 1...9 { minimum.update(20, at: at(UInt64(second) * 1000)) }
    #expect(minimum.value == 5)
    for second in 10...16 { minimum.update(20, at: at(UInt64(second) * 1000)) }
    #expect(minimum.value == 20)
  }

  @Test func `one-way delays survive the wrap of the peer's microseconds`() {
    var delay = OneWayDelay()
    var now: UInt64 = 1_000_000
    for _ in 0..<100 {
      let micros = UInt32(truncatingIfNeeded: 4_294_960_000 + now / 1000)
      _ = delay.update(sentAt: Instant(nanoseconds: now), arrival: delay.unwrap(micros), at: Instant(nanoseconds: now))
      now += 1_000_000
    }
    #expect(delay.jitter == 0 && delay.queueing == 0)
  }

  @Test func `runs are worth a millisecond, one packet at least and 45 at most`() {
    for (rate, run) in [(100_000, 1468), (6_250_000, 6250), (12_500_000, 12_500), (1_000_000_000, 65_536)] as [(UInt64, Int)] {
      let sender = PathSender(id: PathID(1), at: at(0))
      sender.rateLimit = .fixed(rate)
      #expect(sender.runByteLimit == run)
    }
  }

  @Test func `a hostile peer's stamps and delays make no number overflow`() throws {
    let sender = PathSender(id: PathID(1), at: at(0))
    var outcome = AcknowledgementOutcome()
    var random = SeededRandom(seed: 7)
    for counter in 0..<5000 as Range<UInt64> {
      let now = Instant(nanoseconds: 1_000_000_000 + counter * 100_000)
      sender.sent(counter: counter, byteCount: 1468, token: 0, at: now)
      let block = PathAcknowledgement(
        largest: counter, arrivalMicroseconds: UInt32.random(in: 0...(.max), using: &random),
        delayNanoseconds: UInt64.random(in: 0...(.max), using: &random), congestionCount: UInt32.random(in: 0...(.max), using: &random))
      let ranges = [CounterRange(first: UInt64.random(in: 0...counter, using: &random), last: counter)]
      try sender.receiveAcknowledgement(block, ranges: ranges.span, at: now, into: &outcome)
      sender.advance(to: now, anotherPathAlive: true, into: &outcome)
      outcome.removeAll()
    }
    #expect(sender.budgetByteCount > 0)
  }
}
