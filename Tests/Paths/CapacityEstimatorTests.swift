import CausewayBase
import Testing

@testable import CausewayPaths

@Suite struct CapacityEstimatorTests {
  private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

  @Test func `a path that is suspected again and again is given seven tenths, once in ten seconds`() {
    var estimator = CapacityEstimator()
    let first = estimator.rate
    for turn in 1...20 as ClosedRange<UInt64> { estimator.returned(afterLoss: turn % 5 == 0, at: at(turn * 500)) }
    #expect(estimator.rate == 0.7 * first)
    estimator.returned(afterLoss: false, at: at(30_000))
    #expect(abs(estimator.rate - 0.49 * first) < 1)
  }

  @Test func `acknowledgements and probes are a part of what was delivered`() {
    var estimator = CapacityEstimator()
    var roundTrip = RoundTripEstimator()
    for turn in 1...20 as ClosedRange<UInt64> {
      let now = at(turn * 50)
      roundTrip.update(20_000_000, acknowledgementDelay: 0, at: now)
      var amount = AcknowledgedAmount()
      (amount.byteCount, amount.limitedByteCount, amount.overheadByteCount, amount.packetCount) = (1000, 1000, 3000, 8)
      amount.largestSentAt = now.nanoseconds - 20_000_000
      let block = PathAcknowledgement(largest: 0, arrivalMicroseconds: UInt32(now.nanoseconds / 1000 - 10_000))
      _ = estimator.acknowledged(amount, block, roundTrip, at: now)
    }
    #expect(estimator.delivered == 80_000)
  }
}
