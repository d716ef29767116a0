import CausewayBase
import CausewaySimulation
import Testing

@Suite struct LinkModelTests {
  private func parameters(_ change: (inout LinkParameters) -> Void) -> LinkParameters {
    var parameters = LinkParameters()
    change(&parameters)
    return parameters
  }

  private func milliseconds(_ count: Double) -> Instant { Instant(nanoseconds: UInt64(count * 1e6)) }

  /// Offers `count` packets of 1000 bytes a millisecond apart.
  private func run(_ parameters: LinkParameters, seed: UInt64, count: Int = 20_000) -> (admissions: [LinkModel.Admission], model: LinkModel)
  {
    var model = LinkModel(parameters)
    var random = SeededRandom(seed: seed)
    let admissions = (0..<count).map { model.admit(1000, at: milliseconds(Double($0)), using: &random) }
    return (admissions, model)
  }

  @Test("packets leave spaced by the rate, overhead counted, and a full queue drops its tail") func rate() {
    var random = SeededRandom(seed: 1)
    var model = LinkModel(
      parameters {
        ($0.bytesPerSecond, $0.overheadByteCount, $0.queueByteCount, $0.delay) = (1_000_000, 100, 11_000, .milliseconds(10))
      })
    let admissions = (0..<20).map { _ in model.admit(1000, at: .zero, using: &random) }
    #expect(admissions.prefix(10).map(\.arrival) == (1...10).map { milliseconds(10 + 1.1 * Double($0)) })
    #expect(admissions.dropFirst(10).allSatisfy { $0.fate == .overflowed } && model.statistics.overflowed == 10)
    #expect(model.queuedByteCount(at: .zero) == 11_000 && model.queuedByteCount(at: milliseconds(5.5)) == 5_500)
  }

  @Test("a bucket lets a burst through at once, then the rate holds") func burst() {
    var random = SeededRandom(seed: 1)
    var model = LinkModel(parameters { ($0.bytesPerSecond, $0.burstByteCount) = (1_000_000, 5000) })
    let start = milliseconds(100)
    let arrivals = (0..<10).map { _ in model.admit(1000, at: start, using: &random).arrival }
    #expect(arrivals == (1...10).map { start + .milliseconds(max(0, $0 - 5)) })
  }

  @Test("losses have their share, alone or in bursts", arguments: [0.005, 0.05, 0.3], [1.0, 4.0, 10.0])
  func loss(_ share: Double, _ burst: Double) {
    let (admissions, model) = run(parameters { $0.loss = .share(share, meanBurst: burst) }, seed: 7, count: 200_000)
    let lost = admissions.count { $0.fate == .lost }
    #expect(lost == model.statistics.lost && abs(Double(lost) / 200_000 / share - 1) < 0.15)
    var bursts = 0
    for (index, admission) in admissions.enumerated() where admission.fate == .lost {
      if index == 0 || admissions[index - 1].fate != .lost { bursts += 1 }
    }
    let expected = burst > 1 ? burst : 1 / (1 - share)
    #expect(abs(Double(lost) / Double(bursts) / expected - 1) < 0.15)
  }

  @Test("jitter stays inside its bounds; it reorders only where it may") func jitter() {
    for reorders in [true, false] {
      let (admissions, _) = run(
        parameters { ($0.delay, $0.jitter, $0.jitterReorders) = (.milliseconds(40), .milliseconds(5), reorders) }, seed: 3)
      let arrivals = admissions.map(\.arrival)
      #expect((arrivals == arrivals.sorted()) == !reorders)
      let delays = arrivals.enumerated().map { ($1 - milliseconds(Double($0))).inSeconds * 1000 }
      #expect(delays.allSatisfy { $0 >= 35 && $0 <= 45 } && delays.max()! > 44 && (!reorders || delays.min()! < 36))
    }
  }

  @Test("duplicates, damage and held back packets have their shares", arguments: [0.01, 0.2]) func shares(_ share: Double) {
    let (admissions, model) = run(
      parameters { ($0.duplication, $0.reordering, $0.corruption, $0.truncation) = (share, share, share, share) }, seed: 4)
    let counts = [
      admissions.count { $0.duplicateArrival != nil }, admissions.count { $0.flippedBit != nil },
      admissions.count { $0.truncatedByteCount != nil },
      admissions.enumerated().count { $1.arrival == milliseconds(Double($0) + 5) },
    ]
    let told = model.statistics
    #expect(counts == [told.duplicated, told.corrupted, told.truncated, told.reordered])
    #expect(counts.allSatisfy { abs(Double($0) / 20_000 / share - 1) < 0.25 })
    #expect(admissions.allSatisfy { ($0.flippedBit ?? 0) < 8000 && ($0.truncatedByteCount ?? 0) < 1000 })
  }

  @Test("what is too long or meets a blackhole vanishes and takes no room") func vanished() {
    var random = SeededRandom(seed: 1)
    var model = LinkModel(parameters { ($0.mtu, $0.bytesPerSecond) = (1400, 1000) })
    #expect(model.admit(1401, at: .zero, using: &random).fate == .tooLong)
    model.change(to: parameters { ($0.isBlackhole, $0.bytesPerSecond) = (true, 1000) }, at: .zero)
    #expect(model.admit(1400, at: .zero, using: &random).fate == .blackholed)
    #expect(model.queuedByteCount(at: .zero) == 0)
  }

  @Test("after a change of rate the backlog leaves at the new rate before what follows") func rateStep() {
    var random = SeededRandom(seed: 1)
    var model = LinkModel(parameters { $0.bytesPerSecond = 1_000_000 })
    for _ in 0..<10 { _ = model.admit(1000, at: .zero, using: &random) }
    model.change(to: parameters { $0.bytesPerSecond = 100_000 }, at: milliseconds(5))
    #expect(model.queuedByteCount(at: milliseconds(5)) == 5000)
    #expect(model.admit(1000, at: milliseconds(5), using: &random).arrival == milliseconds(5 + 60))
    #expect(model.statistics.carried == 11)
  }

  @Test("packets that waited long are marked") func marks() {
    var random = SeededRandom(seed: 1)
    var model = LinkModel(parameters { ($0.bytesPerSecond, $0.markingThreshold) = (1_000_000, .milliseconds(5)) })
    let marks = (0..<10).map { _ in model.admit(1000, at: .zero, using: &random).isMarked }
    #expect(marks == (0..<10).map { $0 > 5 })
  }

  @Test("the seed decides everything, and one share doesn't shift another's chance") func determinism() {
    let lossy = parameters { ($0.loss, $0.jitter) = (.independent(0.1), .milliseconds(3)) }
    let first = run(lossy, seed: 9).admissions
    #expect(first == run(lossy, seed: 9).admissions && first != run(lossy, seed: 10).admissions)
    var more = lossy
    more.duplication = 0.2
    #expect(run(more, seed: 9).admissions.map(\.fate) == first.map(\.fate))
  }
}
