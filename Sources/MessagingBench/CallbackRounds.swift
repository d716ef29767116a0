internal import CausewayMessaging

/// The same rounds by callbacks that are made once.
// @unchecked Sendable: after `init` the engine's thread only.
final class CallbackRounds: @unchecked Sendable {
  private let round: Round
  private let progress: RoundProgress
  private var times: [UInt64]
  private var index = 0
  private var start: UInt64 = 0
  /// Operations of this round that are not over.
  private var open = 0
  private var hasAnswered = false
  private var isFlushed = false
  private var ended: (@Sendable (Completion) -> Void)!
  private var done: CheckedContinuation<Result<[UInt64], MessagingError>, Never>?

  init(_ round: Round, _ count: Int, _ progress: RoundProgress) {
    self.round = round
    self.progress = progress
    times = [UInt64](repeating: 0, count: count)
    // A cycle until `finish`: operations that are still under way then come back to somebody.
    ended = { completion in self.operationEnded(completion) }
  }

  func run() async throws(MessagingError) -> [UInt64] {
    let engine = round.port.engine
    let task = Task(executorPreference: engine) {
      await withCheckedContinuation { continuation in
        self.done = continuation
        self.begin()
      }
    }
    return try await task.value.get()
  }

  private func begin() {
    if index == times.count { return finish(.success(times)) }
    start = MonotonicClock.now
    hasAnswered = round.order == .together
    isFlushed = !round.flushes
    open = round.receives.count + (hasAnswered ? round.sends.count : 0)
    for receive in round.receives { round.port.receive(into: receive.buffer, tag: receive.tag, completion: ended) }
    if hasAnswered { send() }
  }

  private func send() { for send in round.sends { round.port.send(send.buffer, tag: send.tag, completion: ended) } }

  private func operationEnded(_ completion: Completion) {
    if done == nil { return }
    guard completion.isDone else { return finish(.failure(completion.error("round \(index + 1)"))) }
    open -= 1
    if open > 0 { return }
    if !hasAnswered {
      hasAnswered = true
      open = round.sends.count
      send()
    } else if !isFlushed {
      isFlushed = true
      open = 1
      round.port.flush(completion: ended)
    } else {
      times[index] = MonotonicClock.now &- start
      index += 1
      progress.set(index)
      begin()
    }
  }

  private func finish(_ result: Result<[UInt64], MessagingError>) {
    done?.resume(returning: result)
    done = nil
    ended = { _ in }
  }
}
