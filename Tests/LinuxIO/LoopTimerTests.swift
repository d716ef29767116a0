import CausewayBase
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct LoopTimerTests {
  @Test("timers fire in the order of their deadlines, never early")
  func order() async throws {
    let (order, early) = try await onLoop { loop in
      var (order, early): ([Int], Bool) = ([], false)
      let done = Mailbox<Bool>()
      let start = SystemClock.now
      let delays = [30, 10, 20, 0, 10]
      let timers = delays.map { delay in
        LoopTimer(loop) { now in
          order.append(delay)
          early = early || now < start + .milliseconds(delay)
          if order.count == delays.count { done.put(true) }
        }
      }
      for (timer, delay) in zip(timers, delays) { timer.set(at: start + .milliseconds(delay)) }
      _ = await done.next()
      return (order, early)
    }
    #expect(order == [0, 10, 10, 20, 30])
    #expect(!early)
  }

  @Test("a timer can be moved later, moved earlier, cancelled, and armed again in its own action")
  func moves() async throws {
    let log = try await onLoop { loop in
      var log: [String] = []
      let done = Mailbox<Bool>()
      let start = SystemClock.now
      let later = LoopTimer(loop) { log.append($0 >= start + .milliseconds(40) ? "later" : "too early") }
      later.set(at: start + .milliseconds(5))
      later.set(at: start + .milliseconds(40))
      let earlier = LoopTimer(loop) { log.append($0 < start + .seconds(9) ? "earlier" : "too late") }
      earlier.set(at: start + .seconds(10))
      earlier.set(at: start + .milliseconds(5))
      let cancelled = LoopTimer(loop) { _ in log.append("cancelled") }
      cancelled.set(at: start + .milliseconds(5))
      cancelled.cancel()
      var again: LoopTimer!
      var rounds = 0
      again = LoopTimer(loop) { now in
        rounds += 1
        if rounds == 3 { log.append("three times") } else { again.set(at: now + .milliseconds(1)) }
      }
      again.set(at: start + .milliseconds(10))
      let last = LoopTimer(loop) { _ in done.put(true) }
      last.set(at: start + .milliseconds(60))
      _ = await done.next()
      again = nil
      _ = (later.deadline, earlier.deadline, cancelled.deadline)
      return log
    }
    #expect(log == ["earlier", "three times", "later"])
  }

  @Test("a dropped timer does not fire and leaves nothing in the heap")
  func dropped() async throws {
    let (fired, wasAlive, isGone) = try await onLoop { loop in
      var fired = false
      weak var timer: LoopTimer?
      var wasAlive = false
      do {
        let armed = LoopTimer(loop) { _ in fired = true }
        armed.set(after: .milliseconds(1))
        timer = armed
        wasAlive = timer != nil
      }
      let isGone = timer == nil
      await loop.pause(.milliseconds(10))
      return (fired, wasAlive, isGone)
    }
    #expect(!fired && wasAlive && isGone)
  }

  @Test("a timer may cancel or move another one of the same turn, and one that is always due starves nobody")
  func sameTurn() async throws {
    let log = try await onLoop { loop in
      var log: [String] = []
      let done = Mailbox<Bool>()
      let due = loop.now + .milliseconds(1)
      var victims: [LoopTimer] = []
      let first = LoopTimer(loop) { now in
        victims[0].cancel()
        victims[1].set(at: now + .milliseconds(5))
        log.append("first")
      }
      first.set(at: due)
      victims = [LoopTimer(loop) { _ in log.append("cancelled") }, LoopTimer(loop) { _ in done.put(true) }]
      // Later by a nanosecond: behind the first in the heap, in the same turn.
      for victim in victims { victim.set(at: Instant(nanoseconds: due.nanoseconds + 1)) }
      var greedy: LoopTimer!
      var spins = 0
      greedy = LoopTimer(loop) { now in
        spins += 1
        greedy.set(at: now)
      }
      greedy.set(at: due)
      _ = await done.next()
      greedy.cancel()
      greedy = nil
      victims = []
      return log + [spins > 1 ? "spun" : "did not spin"]
    }
    #expect(log == ["first", "spun"])
  }

  @Test("the heap agrees with a sorted list", arguments: [UInt64(1), 2, 3])
  func heapTwin(seed: UInt64) throws {
    let loop = try EventLoop()
    var random = SeededRandom(seed: seed)
    let timers = (0..<64).map { _ in LoopTimer(loop) { _ in } }
    var heap = TimerHeap()
    var twin: [ObjectIdentifier: Instant] = [:]
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      let timer = timers[Int(random.next() % 64)]
      switch random.next() % 4 {
      case 0, 1:
        // Only the earliest wish counts in the heap; `LoopTimer` itself keeps the later one.
        let deadline = Instant(nanoseconds: now + random.next() % 1000)
        heap.schedule(timer, deadline)
        twin[ObjectIdentifier(timer)] = min(twin[ObjectIdentifier(timer)] ?? deadline, deadline)
      case 2:
        heap.remove(timer)
        twin[ObjectIdentifier(timer)] = nil
      default:
        now += random.next() % 50
        // These timers are not armed, so `popDue` drops what is due.
        let popped = heap.popDue(Instant(nanoseconds: now))
        #expect(popped == nil)
        twin = twin.filter { $0.value > Instant(nanoseconds: now) }
      }
      let (next, count) = (heap.nextDeadline, heap.count)
      try #require(next == twin.values.min() && count == twin.count)
    }
    for timer in timers { heap.remove(timer) }
    #expect(heap.count == 0)
  }
}
