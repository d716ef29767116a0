import CausewayBase
import Testing

@testable import CausewayPaths

@Suite struct SchedulerTests {
  let now = Instant(nanoseconds: 5_000_000_000)

  /// A path of so many Mbit/s and ms of round trip, ready to send.
  private func path(_ megabits: UInt64, _ milliseconds: UInt64, weight: UInt16 = 0, preference: UInt8 = 0) -> PathView {
    var view = PathView()
    view.isUsable = true
    view.capacity = megabits * 125_000
    view.smoothedRoundTrip = milliseconds * 1_000_000
    view.weight = weight
    view.preference = preference
    view.roomByteCount = 1 << 20
    view.nextSend = now
    view.runByteLimit = 1468
    return view
  }

  /// Runs of 1468 bytes for each path, out of `count`.
  private func shares(_ kind: SchedulerKind, _ paths: [PathView], _ count: Int) -> [Int] {
    var scheduler = AnyScheduler(kind)
    var given = paths.map { _ in 0 }
    for _ in 0..<count {
      guard case .path(let index) = scheduler.pick(paths.span, Demand(byteCount: 1468, backlogByteCount: 1 << 20), at: now) else { break }
      given[index] += 1
      scheduler.sent(1468, on: index, paths.span)
    }
    return given
  }

  @Test func `cfs shares by learned capacity`() {
    let given = shares(.cfs, [path(50, 20), path(20, 80), path(30, 5)], 1000)
    #expect(abs(given[0] - 500) <= 2 && abs(given[1] - 200) <= 2 && abs(given[2] - 300) <= 2, "\(given)")
  }

  @Test func `cfs takes fixed weights for the learned ones`() {
    let given = shares(.cfs, [path(50, 20, weight: 1), path(50, 20, weight: 3)], 1000)
    #expect(abs(given[0] - 250) <= 2, "\(given)")
  }

  @Test func `fixed weights divide what their paths carry, beside learned ones`() {
    let given = shares(.cfs, [path(50, 20, weight: 1), path(50, 20, weight: 3), path(100, 20)], 2000)
    #expect(abs(given[0] - 250) <= 3 && abs(given[1] - 750) <= 3 && abs(given[2] - 1000) <= 3, "\(given)")
  }

  @Test func `a path that comes back starts one run behind and gets no arrears`() {
    var scheduler = CompletelyFairScheduler()
    var paths = [path(10, 20), path(10, 20)]
    paths[1].isUsable = false
    for _ in 0..<500 {
      #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .path(0))
      scheduler.sent(1468, on: 0, paths.span)
    }
    paths[1].isUsable = true
    var given = [0, 0]
    for _ in 0..<20 {
      guard case .path(let index) = scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) else { continue }
      given[index] += 1
      scheduler.sent(1468, on: index, paths.span)
    }
    #expect(given[1] <= 11 && given[1] >= 10, "\(given)")
  }

  @Test func `a path whose pace or budget forbids it is passed over, and the wait is until the first turn`() {
    var scheduler = AnyScheduler(.cfs)
    var paths = [path(50, 20), path(50, 20)]
    paths[0].nextSend = now + .milliseconds(3)
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .path(1))
    paths[1].roomByteCount = 0
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .wait(now + .milliseconds(3)))
    paths[0].roomByteCount = 0
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .wait(.distantFuture))
  }

  @Test(arguments: SchedulerKind.allCases)
  func `without a usable path there is none`(_ kind: SchedulerKind) {
    var scheduler = AnyScheduler(kind)
    var views = [path(50, 20)]
    views[0].isUsable = false
    #expect(scheduler.pick(views.span, Demand(byteCount: 100), at: now) == .none)
    let empty: [PathView] = []
    #expect(scheduler.pick(empty.span, Demand(byteCount: 100), at: now) == .none)
  }

  @Test func `earliest takes the path on which the packet arrives first, by one-way delays of any offset`() {
    var scheduler = EarliestScheduler()
    var paths = [path(50, 60), path(50, 60)]
    for offset in [Int64(-900_000_000_000), 0, 900_000_000_000] {
      paths[0].hasOneWayDelay = true
      paths[1].hasOneWayDelay = true
      paths[0].oneWayDelay = 40_000_000 + offset
      paths[1].oneWayDelay = 20_000_000 + offset
      #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .path(1))
    }
  }

  @Test func `earliest waits for the better path while the backlog is short and opens the slower when it is long`() {
    var scheduler = EarliestScheduler()
    var paths = [path(50, 20), path(20, 200)]
    paths[0].nextSend = now + .milliseconds(1)
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468, backlogByteCount: 1468), at: now) == .wait(now + .milliseconds(1)))
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468, backlogByteCount: 400_000), at: now) == .path(1))
  }

  @Test func `backup keeps to the lowest preference that lives`() {
    var scheduler = AnyScheduler(.backup)
    var paths = [path(50, 20, preference: 2), path(10, 50, preference: 1), path(100, 1, preference: 3)]
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468, backlogByteCount: 1 << 20), at: now) == .path(1))
    paths[1].nextSend = now + .milliseconds(4)
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .wait(now + .milliseconds(4)))
    paths[1].isUsable = false
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .path(0))
  }

  @Test func `redundant sends on every path that is ready`() {
    var scheduler = AnyScheduler(.redundant)
    var paths = [path(50, 20), path(10, 50), path(100, 1)]
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .paths(0b111))
    paths[1].nextSend = now + .milliseconds(1)
    #expect(scheduler.pick(paths.span, Demand(byteCount: 1468), at: now) == .paths(0b101))
  }

  @Test func `redundant sends what is urgent on full paths too, but not on overdrawn ones`() {
    var scheduler = AnyScheduler(.redundant)
    var paths = [path(50, 20), path(10, 50), path(100, 1)]
    let urgent = Demand(byteCount: 100, isUrgent: true)
    paths[0].roomByteCount = 0
    paths[1].nextSend = now + .milliseconds(4)
    #expect(scheduler.pick(paths.span, urgent, at: now) == .paths(0b111))
    paths[1].nextSend = now + .milliseconds(5)
    #expect(scheduler.pick(paths.span, urgent, at: now) == .paths(0b101))
    for index in paths.indices { paths[index].nextSend = now + .milliseconds(6 + index) }
    #expect(scheduler.pick(paths.span, urgent, at: now) == .wait(now + .milliseconds(4)), "until the fastest is not")
    for index in paths.indices { paths[index].isUsable = false }
    #expect(scheduler.pick(paths.span, urgent, at: now) == .none)
  }

  @Test func `auto sends urgent packets the fastest way and spreads bulk`() {
    var scheduler = AnyScheduler(.auto)
    let paths = [path(10, 100), path(10, 10)]
    var given = [0, 0]
    for _ in 0..<100 {
      #expect(scheduler.pick(paths.span, Demand(byteCount: 100, isUrgent: true, backlogByteCount: 1 << 20), at: now) == .path(1))
      guard case .path(let index) = scheduler.pick(paths.span, Demand(byteCount: 1468, backlogByteCount: 1 << 20), at: now) else {
        continue
      }
      given[index] += 1
      scheduler.sent(1468, on: index, paths.span)
    }
    #expect(abs(given[0] - 50) <= 1, "\(given)")
  }

  @Test(arguments: [SchedulerKind.auto, .cfs, .earliest])
  func `an urgent packet runs ahead of the fastest path's pace and budget rather than take a slow one`(_ kind: SchedulerKind) {
    var scheduler = AnyScheduler(kind)
    var paths = [path(50, 20), path(20, 80)]
    paths[0].nextSend = now + .milliseconds(2)
    paths[0].roomByteCount = 0
    let ping = Demand(byteCount: 152, isUrgent: true, backlogByteCount: 1 << 20)
    #expect(scheduler.pick(paths.span, ping, at: now) == .path(0))
    paths[0].nextSend = now + .milliseconds(6)
    #expect(scheduler.pick(paths.span, ping, at: now) == .wait(now + .milliseconds(2)), "a path so overdrawn is paced")
    paths[0].isUsable = false
    #expect(scheduler.pick(paths.span, ping, at: now) == .path(1))
  }

  @Test func `an urgent packet avoids a path on which packets lately waited for one that was repeated`() {
    for kind in [SchedulerKind.auto, .cfs, .earliest] {
      var scheduler = AnyScheduler(kind)
      var paths = [path(50, 10), path(50, 20)]
      let ping = Demand(byteCount: 152, isUrgent: true, backlogByteCount: 1 << 20)
      #expect(scheduler.pick(paths.span, ping, at: now) == .path(0))
      paths[0].lateness = 30_000_000
      #expect(scheduler.pick(paths.span, ping, at: now) == .path(1))
    }
  }

  @Test func `auto keeps a transfer that falls quiet on the slowest path, unless that is far slower`() {
    var scheduler = AnyScheduler(.auto)
    var demand = Demand(byteCount: 1468, backlogByteCount: 1468)
    demand.isSparse = true
    let near = [path(50, 20), path(20, 80)]
    #expect(scheduler.pick(near.span, demand, at: now) == .path(0), "the beginning of a flow")
    (demand.isBulk, demand.isQuiet) = (true, true)
    #expect(scheduler.pick(near.span, demand, at: now) == .path(1))
    let far = [path(50, 20), path(20, 600)]
    #expect(scheduler.pick(far.span, demand, at: now) == .path(0))
  }

  /// The answer to a SYN, and the data of a connection that was opened a moment ago.
  private func beginning(isUrgent: Bool) -> Demand {
    var demand = Demand(byteCount: isUrgent ? 128 : 1468, isUrgent: isUrgent, backlogByteCount: 1468)
    (demand.isSparse, demand.isBeginning) = (true, true)
    return demand
  }

  @Test func `auto lets connections begin where the middle byte of a transfer travels`() {
    for (paths, place) in [
      ([path(13, 5), path(28, 53)], 1),  // the slow one carries more
      ([path(50, 5), path(20, 53)], 0),  // less
      ([path(20, 5), path(20, 50), path(20, 90)], 1),
      ([path(13, 5), path(28, 600)], 0),  // too far off
    ] {
      for isUrgent in [true, false] {
        var scheduler = AnyScheduler(.auto)
        #expect(scheduler.pick(paths.span, beginning(isUrgent: isUrgent), at: now) == .path(place), "\(paths.map(\.capacity))")
      }
      var scheduler = AnyScheduler(.auto)
      let ping = Demand(byteCount: 128, isUrgent: true, backlogByteCount: 128)
      #expect(scheduler.pick(paths.span, ping, at: now) == .path(0), "whatever else is urgent goes where it arrives first")
    }
  }

  @Test func `before anything is known connections begin on the slowest path, and stay where they began`() {
    var scheduler = AnyScheduler(.auto)
    var paths = [path(10, 5), path(10, 40)]
    for index in paths.indices { paths[index].isStarting = true }
    #expect(scheduler.pick(paths.span, beginning(isUrgent: true), at: now) == .path(1))
    paths[1].isStarting = false
    #expect(scheduler.pick(paths.span, beginning(isUrgent: false), at: now) == .path(1), "the decision holds")
    #expect(scheduler.pick(paths.span, beginning(isUrgent: true), at: now) == .path(0), "half known: no reason to be slow")
    #expect(scheduler.pick(paths.span, beginning(isUrgent: false), at: now) == .path(0))
  }

  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func `the heap agrees with a sorted list`(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var heap = VirtualByteHeap()
    var twin: [Int: Double] = [:]
    for _ in 0..<2000 {
      let index = Int.random(in: 0..<64, using: &random)
      let key = Double.random(in: 0..<1000, using: &random)
      switch Int.random(in: 0..<3, using: &random) {
      case 0 where !heap.contains(index):
        heap.insert(index, key: key)
        twin[index] = key
      case 1:
        heap.remove(index)
        twin[index] = nil
      default:
        if heap.contains(index) { twin[index] = key }
        heap.update(index, key: key)
      }
      let count = heap.count
      let least = heap.first.map { heap.key($0) }
      #expect(count == twin.count && least == twin.values.min())
    }
  }
}
