import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct TwinTests {
  /// 100,000 sequences of 10 to 60 operations, in four parts side by side; a million where the optimizer helps.
  @Test("the core does what a naive twin does", arguments: [0, 1, 2, 3])
  func agrees(part: UInt64) {
    #if DEBUG
      let count: UInt64 = 25_000
    #else
      let count: UInt64 = 250_000
    #endif
    for seed in part * count..<(part + 1) * count {
      var driver = TwinDriver(seed: seed)
      driver.run()
      if driver.difference != nil {
        var again = TwinDriver(seed: seed, keepsLog: true)
        again.run()
        Issue.record("seed \(seed): \(again.difference ?? "")\n\(again.log.joined(separator: "\n"))")
        return
      }
    }
  }

  @Test("the sequences reach what they are for")
  func reach() {
    var tally: [String: Int] = [:]
    for seed in 0..<4000 as Range<UInt64> {
      var driver = TwinDriver(seed: seed, keepsTally: true)
      driver.run()
      tally.merge(driver.tally, uniquingKeysWith: +)
    }
    let rare = [
      "truncated at once", "truncated on the way", "overdue", "deliver", "release", "start", "queued", "rendezvous for want of credit",
      "dropped duplicate", "dropped truncated", "dropped tooFarAhead", "dropped creditExceeded", "dropped peerLost", "dropped closed",
      "finish awaitsMatch",
      "finish reported", "finish done(CausewayMessagingCore.SendResult.rejected)", "flush true", "flush false", "flush done ok",
      "flush done deadline",
      "flush done peerLost", "flush done closed", "control acknowledgement", "control rejection", "control credit", "control flush",
      "control flushAcknowledgement", "send done ok pinned false", "send done deadline pinned true", "send done deadline pinned false",
      "control returned", "returned failed true", "returned failed false", "send done peerLost pinned false",
      "send done closed pinned false", "send done rejected pinned false",
    ]
    for what in rare { #expect(tally[what, default: 0] >= 10, "\(what) in \(tally)") }
  }
}
