import CausewayLinuxIO
import CausewayRelayCore
import Foundation
import Synchronization
import Testing

@testable import CausewayRelay

/// An event loop that runs on a thread of its own.
final class RunningLoop {
  let loop: EventLoop
  private let ended = DispatchSemaphore(value: 0)

  init(_ loop: EventLoop) {
    self.loop = loop
    let ended = ended
    Thread.detachNewThread {
      loop.run()
      ended.signal()
    }
  }

  func stop() {
    loop.stop()
    ended.wait()
  }
}

final class Recorder<Value: Sendable>: Sendable {
  private let state = Mutex<[Value]>([])
  var values: [Value] { state.withLock { $0 } }
  func append(_ value: Value) { state.withLock { $0.append(value) } }
  func append(contentsOf values: [Value]) { state.withLock { $0 += values } }
}

@Suite struct StoreThreadTests {
  let folder = TemporaryFolder()

  private func makeThread() throws -> StoreThread { try StoreThread(try SQLiteStore(path: folder.path + "/relay.db")) }

  @Test("answers come on the loop's thread, in the order of the questions")
  func answersOnLoop() throws {
    let thread = try makeThread()
    let loop = try EventLoop()
    let running = RunningLoop(loop)
    let answers = Recorder<Int>()
    let wrongThread = Recorder<Int>()
    let done = DispatchSemaphore(value: 0)
    for index in 0..<100 {
      let isAccepted = thread.submit(on: loop) { _ in
        if loop.isCurrent { wrongThread.append(index) }
        return index
      } _: { answer in
        if !loop.isCurrent { wrongThread.append(index) }
        answers.append(answer)
        if answer == 99 { done.signal() }
      }
      #expect(isAccepted)
    }
    done.wait()
    running.stop()
    #expect(answers.values == Array(0..<100))
    #expect(wrongThread.values.isEmpty)
    thread.stop()
  }

  @Test("a full queue refuses at once, and all that was accepted is done")
  func bound() async throws {
    let thread = try makeThread()
    let started = DispatchSemaphore(value: 0)
    let gate = DispatchSemaphore(value: 0)
    let finished = Recorder<Int>()
    var accepted = 0
    if thread.submit({ _ in
      started.signal()
      gate.wait()
      finished.append(0)
    }) {
      accepted += 1
    }
    started.wait()
    for index in 1..<2 * StoreThread.queueLimit where thread.submit({ _ in finished.append(index) }) { accepted += 1 }
    #expect(accepted == StoreThread.queueLimit)
    await #expect(throws: StoreError.busy) { try await thread.perform { _ in 1 } }
    gate.signal()
    thread.stop()
    #expect(finished.values == Array(0..<StoreThread.queueLimit))
  }

  @Test("after stop nothing is accepted")
  func stopped() async throws {
    let thread = try makeThread()
    thread.stop()
    let isAccepted = thread.submit { _ in }
    #expect(!isAccepted)
    await #expect(throws: StoreError.busy) { try await thread.perform { _ in 1 } }
  }

  @Test("async calls return what the store says, errors too, and a sign-in is written down after its answer")
  func performs() async throws {
    let thread = try makeThread()
    let token = Token.make().hash
    let account = try await thread.perform { (store) throws(StoreError) in
      try store.addAccount(email("me@example.org"), token: token, at: start)
    }
    await #expect(throws: StoreError.accountExists("me@example.org")) {
      try await thread.perform { (store) throws(StoreError) in try store.addAccount(email("me@example.org"), token: nil, at: start) }
    }
    #expect(try await thread.authenticate(token, at: start) == .accepted(account, usedAt: nil))
    #expect(try await thread.authenticate(token, at: start + 10) == .accepted(account, usedAt: start))
    #expect(try await thread.authenticate(TokenHash(of: "no"), at: start) == .unknownToken)
    thread.stop()
  }
}
