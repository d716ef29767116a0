import CausewayBase
import Testing

@testable import CausewayMessagingCore

@Suite struct TwinTests {
  /// 110,000 sequences of 10 to 60 operations; in two halves, side by side.
  @Test("the core does what a naive twin does", arguments: [0, 1])
  func agrees(half: UInt64) {
    for seed in half * 55_000..<(half + 1) * 55_000 {
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
}
