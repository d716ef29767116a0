import CausewayBase
import CausewayPaths
import Testing

@testable import CausewayBondCore

@Suite struct AckTrackerTests {
  private func at(_ microseconds: UInt64) -> Instant { Instant(nanoseconds: 1_000_000_000 + microseconds * 1000) }

  private func block(_ tracker: inout AckTracker, at now: Instant, capacity: Int = 500) throws -> (
    AcknowledgementBlock, [ClosedRange<UInt64>]
  ) {
    let bytes = [UInt8](capacity: capacity) { out in
      AcknowledgementWriter.begin(blockCount: 1, into: &out)
      _ = tracker.writeBlock(path: PathID(7), keyTag: 2, into: &out, at: now)
    }
    guard case .acknowledgement(var list) = try frames(bytes).get().first else { throw FrameError.notAFrame }
    guard let block = list.next(bytes.span) else { throw FrameError.truncated }
    var ranges: [ClosedRange<UInt64>] = []
    block.ranges(in: bytes.span) { ranges.append($0) }
    return (block, ranges)
  }

  @Test("the block tells ranges, arrival, delay and marks")
  func tells() throws {
    var tracker = AckTracker()
    for counter: UInt64 in [0, 1, 5, 3, 2, 9] {
      tracker.record(counter, wantsAcknowledgement: true, isCongested: counter == 5, at: at(counter * 10))
    }
    let (block, ranges) = try block(&tracker, at: at(90 + 805))
    #expect(ranges == [9...9, 5...5, 0...3])
    #expect(block.path == PathID(7))
    #expect(block.keyTag == 2)
    #expect(block.largest == 9)
    #expect(block.arrivalMicroseconds == 1_000_090)
    #expect(block.delayMicroseconds == 800)
    #expect(block.congestionCount == 1)
  }

  @Test("ranges are those of a set, whatever the order of arrival", arguments: UInt64(1)...40)
  func naiveTwin(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var tracker = AckTracker()
    var twin = Set<UInt64>()
    var counters = Array(UInt64(0)..<200).filter { _ in UInt8.random(in: 0...19, using: &random) > 0 }
    for i in counters.indices.dropLast(8) {
      counters.swapAt(i, i + Int.random(in: 0...7, using: &random))
    }
    for (i, counter) in counters.enumerated() {
      tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(UInt64(i)))
      twin.insert(counter)
    }
    let (block, ranges) = try block(&tracker, at: at(1000))
    #expect(block.largest == twin.max())
    for range in ranges { for counter in range { #expect(twin.contains(counter), "seed \(seed), \(counter)") } }
    for pair in zip(ranges, ranges.dropFirst()) {
      for counter in (pair.1.upperBound + 1)..<pair.0.lowerBound { #expect(!twin.contains(counter), "seed \(seed), \(counter)") }
    }
    if ranges.count < 32 { #expect(ranges.map(\.count).reduce(0, +) == twin.count) }
  }

  @Test("a range is told eight times, the newest always, and no more than fit")
  func reports() throws {
    var tracker = AckTracker()
    for counter: UInt64 in [0, 2, 4] { tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(0)) }
    for _ in 0..<8 { #expect(try block(&tracker, at: at(1)).1 == [4...4, 2...2, 0...0]) }
    #expect(try block(&tracker, at: at(1)).1 == [4...4])
    tracker.record(3, wantsAcknowledgement: true, isCongested: false, at: at(2))
    #expect(try block(&tracker, at: at(3)).1 == [2...4])
    for counter: UInt64 in [10, 12, 14] { tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(4)) }
    #expect(try block(&tracker, at: at(5), capacity: 2 + 18 + 11).1 == [14...14, 12...12])
    let little = [UInt8](capacity: 21) { out in _ = tracker.writeBlock(path: PathID(0), into: &out, at: at(6)) }
    #expect(little.isEmpty)
  }

  @Test("memory is 32 ranges, the oldest go first")
  func memory() throws {
    var tracker = AckTracker()
    for counter: UInt64 in 0..<50 { tracker.record(counter * 2, wantsAcknowledgement: true, isCongested: false, at: at(counter)) }
    tracker.record(1, wantsAcknowledgement: true, isCongested: false, at: at(60))
    #expect(tracker.forgottenCount == 1)
    let ranges = try block(&tracker, at: at(70)).1
    #expect(ranges.count == 32)
    #expect(ranges.first == 98...98)
    #expect(ranges.last == 36...36)
  }

  @Test("a long range and a wide gap are cut to what 16 bits hold")
  func wide() throws {
    var tracker = AckTracker()
    for counter in UInt64(0)..<70_000 { tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(0)) }
    #expect(try block(&tracker, at: at(1)).1 == [4_465...69_999])
    tracker.record(200_000, wantsAcknowledgement: true, isCongested: false, at: at(2))
    #expect(try block(&tracker, at: at(3)).1 == [200_000...200_000])
  }

  @Test("the first packet after a pause is acknowledged at once, others after 32 or an interval")
  func when() throws {
    var tracker = AckTracker()
    #expect(tracker.dueTime == .distantFuture)
    tracker.record(0, wantsAcknowledgement: true, isCongested: false, at: at(0))
    #expect(tracker.dueTime == at(0))
    _ = try block(&tracker, at: at(0))
    #expect(tracker.dueTime == .distantFuture)
    tracker.record(1, wantsAcknowledgement: true, isCongested: false, at: at(500))
    #expect(tracker.dueTime == at(2500))
    for counter: UInt64 in 2..<32 { tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(500 + counter)) }
    #expect(tracker.dueTime == at(2500))
    tracker.record(32, wantsAcknowledgement: true, isCongested: false, at: at(600))
    #expect(tracker.dueTime == at(600))
    tracker.update(roundTrip: 40_000_000)
    _ = try block(&tracker, at: at(600))
    tracker.record(33, wantsAcknowledgement: true, isCongested: false, at: at(700))
    #expect(tracker.dueTime == at(5700))
    #expect(tracker.pendingCount == 1)
  }

  @Test("above 1 Gbit/s every 128 packets")
  func fast() throws {
    var tracker = AckTracker()
    tracker.record(0, wantsAcknowledgement: true, isCongested: false, at: at(0))
    _ = try block(&tracker, at: at(0))
    var acknowledged: [UInt64] = []
    for counter: UInt64 in 1...512 {
      tracker.record(counter, wantsAcknowledgement: true, isCongested: false, at: at(counter * 5))
      if tracker.dueTime <= at(counter * 5) {
        acknowledged.append(counter)
        _ = try block(&tracker, at: at(counter * 5))
      }
    }
    #expect(acknowledged == [128, 256, 384, 512])
  }

  @Test("a gap, a late packet and a mark hurry, once a millisecond")
  func urgent() throws {
    for (counter, isCongested) in [(UInt64(5), false), (2, true)] {
      var tracker = AckTracker()
      tracker.record(0, wantsAcknowledgement: true, isCongested: false, at: at(0))
      _ = try block(&tracker, at: at(0))
      tracker.record(1, wantsAcknowledgement: true, isCongested: false, at: at(1500))
      tracker.record(counter, wantsAcknowledgement: true, isCongested: isCongested, at: at(1600))
      #expect(tracker.dueTime == at(1600))
      _ = try block(&tracker, at: at(1600))
      tracker.record(counter + 5, wantsAcknowledgement: true, isCongested: false, at: at(1700))
      #expect(tracker.dueTime == at(2600))
    }
  }

  @Test("acknowledgements alone are recorded and ask for none")
  func quiet() throws {
    var tracker = AckTracker()
    for counter: UInt64 in 0..<200 { tracker.record(counter, wantsAcknowledgement: false, isCongested: false, at: at(counter)) }
    #expect(tracker.dueTime == .distantFuture)
    tracker.record(200, wantsAcknowledgement: true, isCongested: false, at: at(10_000))
    #expect(tracker.dueTime == at(10_000))
    #expect(try block(&tracker, at: at(10_000)).1 == [0...200])
  }

  @Test("new keys forget the counters")
  func reset() throws {
    var tracker = AckTracker()
    tracker.record(100, wantsAcknowledgement: true, isCongested: true, at: at(0))
    tracker.reset()
    #expect(tracker.largest == nil)
    tracker.record(0, wantsAcknowledgement: true, isCongested: false, at: at(100))
    #expect(try block(&tracker, at: at(100)).1 == [0...0])
  }
}
