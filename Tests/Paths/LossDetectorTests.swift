import CausewayBase
import Testing

@testable import CausewayPaths

@Suite struct LossDetectorTests {
  private func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 + milliseconds * 1_000_000) }

  private func acknowledge(
    _ detector: inout LossDetector, _ ranges: [(UInt64, UInt64)], _ outcome: inout AcknowledgementOutcome
  ) throws(AcknowledgementError) -> AcknowledgedAmount {
    let list = ranges.map { CounterRange(first: $0.0, last: $0.1) }
    return try detector.acknowledge(list.span, into: &outcome)
  }

  @Test func `three later arrivals and the usual age make a loss, the timer does without`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<6 { detector.sent(counter: UInt64(counter), byteCount: 1000, token: UInt32(counter), flags: [], at: at(0)) }
    var amount = try acknowledge(&detector, [(2, 4)], &outcome)
    #expect(amount.packetCount == 3 && amount.byteCount == 3000)
    detector.detect(at: at(10), reordering: 20_000_000, timer: 40_000_000, &amount, into: &outcome)
    #expect(outcome.lost.isEmpty)
    detector.detect(at: at(20), reordering: 20_000_000, timer: 40_000_000, &amount, into: &outcome)
    #expect(outcome.lost == [0, 1])
    #expect(detector.lossDeadlineNanoseconds == at(40).nanoseconds)
    detector.detect(at: at(40), reordering: 20_000_000, timer: 40_000_000, &amount, into: &outcome)
    #expect(outcome.lost == [0, 1, 5])
    #expect(detector.inFlightByteCount == 0 && detector.suspendedByteCount == 1000)
  }

  @Test func `without a timer only what was overtaken is lost`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<6 { detector.sent(counter: UInt64(counter), byteCount: 1000, token: UInt32(counter), flags: [], at: at(0)) }
    detector.arm(timer: LossDetector.noTimer, at: at(0))
    #expect(detector.lossDeadlineNanoseconds == .max)
    var amount = AcknowledgedAmount()
    detector.detect(at: at(60_000), reordering: 20_000_000, timer: LossDetector.noTimer, &amount, into: &outcome)
    #expect(outcome.lost.isEmpty && detector.lossDeadlineNanoseconds == .max)
    amount = try acknowledge(&detector, [(4, 4)], &outcome)
    detector.detect(at: at(60_000), reordering: 20_000_000, timer: LossDetector.noTimer, &amount, into: &outcome)
    #expect(outcome.lost == [0, 1])
    #expect(detector.inFlightPacketCount == 3)
  }

  @Test func `packets under new keys overtake none of those before`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<3 { detector.sent(counter: UInt64(counter), byteCount: 1000, token: UInt32(counter), flags: [], at: at(0)) }
    detector.beginSpace()
    for counter in 3..<9 { detector.sent(counter: UInt64(counter), byteCount: 1000, token: UInt32(counter), flags: [], at: at(0)) }
    var amount = try acknowledge(&detector, [(4, 8)], &outcome)
    detector.detect(at: at(20), reordering: 20_000_000, timer: 40_000_000, &amount, into: &outcome)
    #expect(outcome.lost == [3])
    amount = try acknowledge(&detector, [(0, 2)], &outcome)
    #expect(amount.packetCount == 3 && amount.overtakenSentAt == 0)
  }

  @Test func `what the timer lost takes up budget until something later arrives`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    var amount = AcknowledgedAmount()
    for counter in 0..<4 { detector.sent(counter: UInt64(counter), byteCount: 1000, token: 1, flags: [], at: at(0)) }
    detector.detect(at: at(100), reordering: 1, timer: 1, &amount, into: &outcome)
    #expect(detector.suspendedByteCount == 4000)
    _ = try acknowledge(&detector, [(1, 1)], &outcome)
    #expect(detector.suspendedByteCount == 3000 && detector.spuriousCount == 1)
    detector.sent(counter: 4, byteCount: 1000, token: 2, flags: [], at: at(101))
    _ = try acknowledge(&detector, [(4, 4), (1, 1)], &outcome)
    #expect(detector.suspendedByteCount == 0)
    _ = try acknowledge(&detector, [(4, 4), (1, 2)], &outcome)
    #expect(detector.suspendedByteCount == 0 && detector.spuriousCount == 2)
  }

  @Test func `what nobody asked to have acknowledged counts once as carried`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<4 as Range<UInt64> {
      detector.sent(counter: counter, byteCount: 100, token: 1, flags: counter == 3 ? [] : .unacknowledged, at: at(0))
    }
    var amount = try acknowledge(&detector, [(3, 3), (0, 1)], &outcome)
    #expect(amount.byteCount == 100 && amount.overheadByteCount == 200)
    amount = try acknowledge(&detector, [(3, 3)], &outcome)
    amount = try acknowledge(&detector, [(0, 3)], &outcome)
    #expect(amount.byteCount == 0 && amount.overheadByteCount == 100 && outcome.acknowledged == [1])
  }

  @Test(
    arguments: [
      ([(0, 10)], .neverSent), ([(3, 2)], .disordered), ([(5, 6), (6, 6)], .disordered), ([(2, 3), (4, 5)], .disordered),
      ([(0, .max)], .neverSent),
    ] as [([(UInt64, UInt64)], AcknowledgementError)])
  func `hostile acknowledgements are refused whole`(_ ranges: [(UInt64, UInt64)], _ error: AcknowledgementError) {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<10 { detector.sent(counter: UInt64(counter), byteCount: 10, token: 0, flags: [], at: at(0)) }
    var thrown: AcknowledgementError?
    do throws(AcknowledgementError) { _ = try acknowledge(&detector, ranges, &outcome) } catch { thrown = error }
    #expect(thrown == error)
    #expect(outcome.isEmpty && detector.inFlightByteCount == 100)
  }

  @Test func `everything in flight is taken once, and its late arrival is only a hint`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    for counter in 0..<5 { detector.sent(counter: UInt64(counter), byteCount: 100, token: UInt32(counter), flags: [], at: at(0)) }
    detector.takeAll(into: &outcome)
    #expect(outcome.lost == [0, 1, 2, 3, 4] && detector.inFlightByteCount == 0 && detector.silentSince == nil)
    outcome.removeAll()
    detector.takeAll(into: &outcome)
    #expect(outcome.isEmpty)
    _ = try acknowledge(&detector, [(0, 4)], &outcome)
    #expect(outcome.acknowledged.isEmpty && outcome.spurious.count == 5)
  }

  @Test func `silence is counted from the oldest data after the greatest acknowledged counter`() throws {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    #expect(detector.silentSince == nil)
    for counter in 0..<5 { detector.sent(counter: UInt64(counter), byteCount: 100, token: 0, flags: [], at: at(UInt64(counter))) }
    #expect(detector.silentSince == at(0))
    _ = try acknowledge(&detector, [(2, 2)], &outcome)
    #expect(detector.silentSince == at(3))
    _ = try acknowledge(&detector, [(4, 4), (2, 2)], &outcome)
    #expect(detector.silentSince == nil)
    detector.sent(counter: 5, byteCount: 100, token: 0, flags: .control, at: at(9))
    detector.sent(counter: 6, byteCount: 100, token: 0, flags: .unacknowledged, at: at(9))
    #expect(detector.silentSince == nil)
  }

  @Test func `the ring gives up the oldest at its limit and says so`() {
    var detector = LossDetector()
    var outcome = AcknowledgementOutcome()
    var amount = AcknowledgedAmount()
    let limit = SentRing.capacityLimit
    for counter in 0..<(limit + 10) {
      detector.sent(counter: UInt64(counter), byteCount: 1, token: UInt32(counter), flags: [], at: at(0))
    }
    let hasRoom = detector.hasRoom
    #expect(!hasRoom)
    detector.detect(at: at(1), reordering: .max / 4, timer: .max / 4, &amount, into: &outcome)
    #expect(outcome.lost == (0..<10).map { UInt32($0) })
    #expect(detector.inFlightByteCount == limit)
  }

  /// The rules again, with a dictionary and no regard for speed.
  private struct Twin {
    var sent: [UInt64: (at: UInt64, token: UInt32)] = [:]
    var greatest: UInt64?

    mutating func acknowledge(_ counters: Set<UInt64>) -> Set<UInt32> {
      var tokens: Set<UInt32> = []
      for counter in counters { if let record = sent.removeValue(forKey: counter) { tokens.insert(record.token) } }
      if let most = counters.max() { greatest = max(greatest ?? 0, most) }
      return tokens
    }

    mutating func detect(_ now: UInt64, _ reordering: UInt64, _ timer: UInt64) -> Set<UInt32> {
      var tokens: Set<UInt32> = []
      for (counter, record) in sent {
        let overtaken = greatest.map { counter + 3 <= $0 } ?? false
        guard now - record.at >= (overtaken ? reordering : timer) else { continue }
        tokens.insert(record.token)
        sent[counter] = nil
      }
      return tokens
    }
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func `agrees with a naive twin`(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var detector = LossDetector()
    var twin = Twin()
    var received: Set<UInt64> = []
    var counter: UInt64 = 0
    var token: UInt32 = 0
    var now: UInt64 = 1_000_000_000
    for _ in 0..<500 {
      now += UInt64.random(in: 0...2_000_000, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<6:
        if Int.random(in: 0..<20, using: &random) == 0 { counter += UInt64.random(in: 1...5, using: &random) }
        detector.sent(counter: counter, byteCount: 10, token: token, flags: [], at: Instant(nanoseconds: now))
        twin.sent[counter] = (now, token)
        if Int.random(in: 0..<10, using: &random) > 0 { received.insert(counter) }
        counter += 1
        token += 1
      case 6..<8:
        let known = received.filter { $0 + UInt64.random(in: 0...8, using: &random) < counter }.sorted(by: >)
        var ranges: [(UInt64, UInt64)] = []
        for value in known {
          if let last = ranges.last, last.0 == value + 1 { ranges[ranges.count - 1].0 = value } else { ranges.append((value, value)) }
        }
        ranges = Array(ranges.prefix(LossDetector.rangeLimit))
        guard !ranges.isEmpty else { continue }
        var outcome = AcknowledgementOutcome()
        _ = try acknowledge(&detector, ranges, &outcome)
        var counters: Set<UInt64> = []
        for range in ranges { for value in range.0...range.1 { counters.insert(value) } }
        #expect(Set(outcome.acknowledged) == twin.acknowledge(counters))
      default:
        var outcome = AcknowledgementOutcome()
        var amount = AcknowledgedAmount()
        detector.detect(at: Instant(nanoseconds: now), reordering: 20_000_000, timer: 35_000_000, &amount, into: &outcome)
        #expect(Set(outcome.lost) == twin.detect(now, 20_000_000, 35_000_000))
      }
      #expect(detector.inFlightByteCount == twin.sent.count * 10)
    }
  }

  @Test func `acknowledgements under the previous keys still count`() throws {
    let sender = PathSender(id: PathID(0), at: at(0))
    var outcome = AcknowledgementOutcome()
    for counter in 0..<3 { sender.sent(counter: UInt64(counter), byteCount: 100, token: UInt32(counter), at: at(0)) }
    sender.beginCounterSpace()
    sender.sent(counter: 0, byteCount: 100, token: 10, at: at(1))
    let old = [CounterRange(first: 0, last: 2)]
    let new = [CounterRange(first: 0, last: 0)]
    try sender.receiveAcknowledgement(
      PathAcknowledgement(largest: 2, arrivalMicroseconds: 1), ranges: old.span, underPreviousKeys: true, at: at(20), into: &outcome)
    try sender.receiveAcknowledgement(
      PathAcknowledgement(largest: 0, arrivalMicroseconds: 2), ranges: new.span, at: at(21), into: &outcome)
    #expect(outcome.acknowledged.sorted() == [0, 1, 2, 10])
    #expect(throws: AcknowledgementError.neverSent) {
      try sender.receiveAcknowledgement(
        PathAcknowledgement(largest: 2, arrivalMicroseconds: 1), ranges: old.span, at: at(22), into: &outcome)
    }
  }
}
