import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct EventLoopTests {
  @Test("what was posted before stop() runs, in order, and stop() ends the loop")
  func stopRunsWhatWasPosted() throws {
    let thread = try EventLoopThread(name: "test loop")
    let seen = Shared<[Int]>([])
    for i in 0..<100 { thread.loop.post { seen.value.append(i) } }
    thread.stop()
    thread.stop()
    #expect(seen.value == Array(0..<100))
  }

  @Test("stop() before run() ends that run after one turn; an old stop() does not end a later run")
  func stopBeforeRun() throws {
    let loop = try EventLoop()
    let seen = Shared(0)
    loop.stop()
    loop.post { seen.value += 1 }
    loop.run()
    #expect(seen.value == 1)
    loop.post {
      seen.value += 1
      loop.stop()
      loop.stop()
    }
    loop.run()
    // Each of these posts the next one, so that a run that ended early would leave some behind.
    let chain = Shared(0)
    @Sendable func step(_ left: Int) {
      if left == 0 {
        loop.stop()
      } else {
        loop.post {
          chain.value += 1
          step(left - 1)
        }
      }
    }
    loop.post { step(50) }
    loop.run()
    #expect(chain.value == 50)
  }

  @Test("runSoon means the next turn: after this turn's end, before the loop sleeps")
  func runSoonIsNextTurn() async throws {
    let order = try await onLoop { loop in
      var order: [String] = []
      let done = Mailbox<Bool>()
      let soon = ClosureHandler {
        order.append("soon \($0.isEmpty)")
        done.put(true)
      }
      let end = ClosureTurnEnd { order.append("end") }
      loop.runSoon(soon)
      loop.atTurnEnd(end)
      order.append("asked")
      _ = await done.next()
      return order
    }
    #expect(order == ["asked", "end", "soon true"])
  }

  @Test("an event already fetched for a deregistered descriptor is dropped, also when its slot has a new owner")
  func staleEvents() async throws {
    let calls = try await onLoop { loop in
      let pairs = (0..<3).map { _ in socketPair() }
      var registrations: [EventLoop.Registration?] = [nil, nil]
      var calls: [String] = []
      let newcomer = ClosureHandler { _ in calls.append("newcomer") }
      var third: EventLoop.Registration?
      let done = Mailbox<Bool>()
      for index in 0..<2 {
        let handler = ClosureHandler { _ in
          calls.append("first")
          let other = 1 - index
          loop.deregister(registrations[other]!)
          registrations[other] = nil
          // Takes the slot just freed; nothing is readable there.
          third = try! loop.register(pairs[2].0, newcomer, levelTriggered: true)
          done.put(true)
        }
        var byte: UInt8 = 1
        _ = unsafe write(pairs[index].1, &byte, 1)
        registrations[index] = try loop.register(pairs[index].0, handler, levelTriggered: true)
      }
      _ = await done.next()
      for registration in registrations { if let registration { loop.deregister(registration) } }
      await loop.turnTwice()
      loop.deregister(third!)
      for pair in pairs { _ = (close(pair.0), close(pair.1)) }
      return calls
    }
    #expect(calls == ["first"])
  }

  @Test("the last reference to a handler may die in deregister and deregister another one")
  func deregisterInDeinit() async throws {
    final class Chained: EventHandler {
      let loop: EventLoop
      var next: EventLoop.Registration?
      init(_ loop: EventLoop) { self.loop = loop }
      func handle(_ readiness: Readiness) {}
      deinit { if let next { loop.deregister(next) } }
    }
    let isGone = try await onLoop { loop in
      let pair = socketPair()
      weak var second: Chained?
      var registration: EventLoop.Registration
      do {
        let (a, b) = (Chained(loop), Chained(loop))
        second = b
        a.next = try loop.register(pair.0, b)
        registration = try loop.register(pair.1, a)
      }
      let wasAlive = second != nil
      loop.deregister(registration)
      _ = (close(pair.0), close(pair.1))
      return wasAlive && second == nil
    }
    #expect(isGone)
  }

  @Test("edge-triggered readiness comes once for each change; level-triggered until read; a paused one not at all")
  func triggering() async throws {
    let (edges, levels, paused) = try await onLoop { loop in
      let pair = socketPair()
      var edges = 0
      let edge = ClosureHandler { if $0.contains(.readable) { edges += 1 } }
      let registration = try loop.register(pair.0, edge)
      var byte: UInt8 = 1
      _ = unsafe write(pair.1, &byte, 1)
      for _ in 0..<5 { await loop.turnTwice() }
      loop.deregister(registration)
      var levels = 0
      let level = ClosureHandler { _ in levels += 1 }
      let second = try loop.register(pair.0, level, levelTriggered: true)
      for _ in 0..<5 { await loop.turnTwice() }
      loop.setPaused(second, true)
      let before = levels
      for _ in 0..<5 { await loop.turnTwice() }
      let paused = levels - before
      loop.deregister(second)
      _ = (close(pair.0), close(pair.1))
      return (edges, before, paused)
    }
    #expect(edges == 1)
    #expect(levels >= 5)
    #expect(paused == 0)
  }
}
