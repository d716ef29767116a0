internal import Glibc
import Testing

@Suite("Ten thousand seeded schedules") struct SessionScheduleTests {
  static let batchCount = 40
  static let batchSize: UInt64 = 250

  /// Each batch must meet everything that it is there to meet; together they are ten thousand.
  @Test("every byte and end arrives once, whatever dies", arguments: 0..<UInt64(batchCount))
  func schedules(_ batch: UInt64) throws {
    var coverage = ScheduleCoverage()
    for seed in batch * Self.batchSize..<(batch + 1) * Self.batchSize {
      let schedule = Schedule(seed: seed)
      try schedule.run()
      #expect(schedule.coverage.streams >= 4 && schedule.coverage.deaths >= 2 && schedule.coverage.bytes <= 65536, "seed \(seed)")
      coverage.add(schedule.coverage)
    }
    #expect(coverage.blocked > 100 && coverage.unblocked > 100)
    #expect(coverage.resumedStreams > 100 && coverage.replayedBytes > 1000)
    #expect(coverage.halfClosed[0] > 10 && coverage.halfClosed[1] > 10)
    #expect(coverage.resets[0] > 10 && coverage.resets[1] > 10 && coverage.resetsHeard > 10)
    #expect(coverage.deathsInSynchronization > 10)
    #expect(coverage.grownWindows > 0)
    if batch == 0 { print("schedules 0..<\(Self.batchSize): \(coverage)") }
  }

  /// `CAUSEWAY_SEED=1234 swift test --filter oneSeed` repeats one schedule alone.
  @Test("one seed alone") func oneSeed() throws {
    let schedule = Schedule(seed: seedFromEnvironment ?? 1)
    defer { print(schedule.coverage) }
    try schedule.run()
  }
}

private var seedFromEnvironment: UInt64? {
  // SAFETY: getenv returns a C string that lives as long as nobody changes the environment.
  unsafe getenv("CAUSEWAY_SEED").flatMap { unsafe UInt64(String(cString: $0)) }
}
