import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

@Suite(.timeLimit(.minutes(1))) struct ExecutorTests {
  actor Elsewhere {
    var count = 0
    func bump() { count += 1 }
  }

  actor Pinned {
    let loop: EventLoop
    var count = 0
    init(_ loop: EventLoop) { self.loop = loop }
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
    /// Whether every look was on the loop's thread.
    func visit(_ other: Elsewhere) async -> Bool {
      var stayed = loop.isCurrent
      for _ in 0..<20 {
        await other.bump()
        stayed = stayed && loop.isCurrent
        count += 1
      }
      return stayed
    }
    func bump() { count += 1 }
  }

  @Test("a task that prefers the loop is on its thread after each await")
  func taskPreference() async throws {
    let stayed = try await onLoop { loop in
      let other = Elsewhere()
      var stayed = loop.isCurrent
      for _ in 0..<20 {
        await other.bump()
        stayed = stayed && loop.isCurrent
      }
      try await Task.sleep(for: .milliseconds(2))
      stayed = stayed && loop.isCurrent
      await Task.yield()
      stayed = stayed && loop.isCurrent
      let child = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<4 { group.addTask { loop.isCurrent } }
        return await group.reduce(true) { $0 && $1 }
      }
      return stayed && child && loop.isCurrent
    }
    #expect(stayed)
  }

  @Test("an actor whose executor is the loop runs on its thread, whoever calls")
  func pinnedActor() async throws {
    let thread = try EventLoopThread(name: "test loop")
    let (pinned, other) = (Pinned(thread.loop), Elsewhere())
    let stayed = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 { group.addTask { await pinned.visit(other) } }
      return await group.reduce(true) { $0 && $1 }
    }
    let (count, otherCount) = (await pinned.count, await other.count)
    #expect(stayed && count == 160 && otherCount == 160)
    await Task.yield()
    thread.stop()
  }

  @Test("handlers may assume an actor's isolation on its loop")
  func assumeIsolated() async throws {
    let thread = try EventLoopThread(name: "test loop")
    let pinned = Pinned(thread.loop)
    thread.sync { pinned.assumeIsolated { $0.count += 5 } }
    #expect(await pinned.count == 5)
    await Task.yield()
    thread.stop()
  }

  @Test("jobs and closures from many threads all run, once")
  func manyThreads() async throws {
    let thread = try EventLoopThread(name: "test loop")
    let pinned = Pinned(thread.loop)
    let closures = Shared(0)
    await withTaskGroup { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<500 {
            await pinned.bump()
            thread.loop.post { closures.value += 1 }
          }
        }
      }
    }
    #expect(await pinned.count == 4000)
    await Task.yield()
    thread.stop()
    #expect(closures.value == 4000)
  }

  @Test("a busy chain of jobs does not keep timers from firing")
  func jobsDoNotStarve() async throws {
    let fired = try await onLoop { loop in
      var fired = false
      let timer = LoopTimer(loop) { _ in fired = true }
      timer.set(after: .milliseconds(1))
      let limit = SystemClock.now + .seconds(20)
      while !fired && SystemClock.now < limit { await Task.yield() }
      timer.cancel()
      return fired
    }
    #expect(fired)
  }
}
