internal import CausewayMessaging

/// Rounds written as a program would: one `await` after the other, on the engine's own thread.
struct AsyncRounds: Sendable {
  private let round: Round
  /// A short message is gone when `send` returns, so that the receive may follow; long ones go both ways at once.
  private let isShort: Bool

  init(_ round: Round) {
    self.round = round
    isShort = round.sends.allSatisfy { $0.count <= round.port.engine.eagerByteLimit }
  }

  func run(_ count: Int, _ progress: RoundProgress) async throws(MessagingError) -> [UInt64] {
    let task = Task(executorPreference: round.port.engine) { () async -> Result<[UInt64], MessagingError> in
      do throws(MessagingError) {
        var times = [UInt64](repeating: 0, count: count)
        for index in 0..<count {
          let start = MonotonicClock.now
          try await once()
          times[index] = MonotonicClock.now &- start
          progress.set(index + 1)
        }
        return .success(times)
      } catch {
        return .failure(error)
      }
    }
    return try await task.value.get()
  }

  private func once() async throws(MessagingError) {
    if round.order == .receivesFirst {
      try await receive()
      try await send()
    } else if isShort || round.receives.isEmpty {
      try await send()
      try await receive()
    } else {
      async let sending = failure { () async throws(MessagingError) in try await send() }
      try await receive()
      if let error = await sending { throw error }
    }
    if round.flushes { try await round.port.flush() }
  }

  private func send() async throws(MessagingError) {
    if round.sends.isEmpty { return }
    if round.sends.count == 1 {
      return try await round.port.send(round.sends[0].buffer, count: round.sends[0].count, tag: round.sends[0].tag)
    }
    for completion in await round.port.sendMany(round.sends) where !completion.isDone { throw completion.error("send") }
  }

  private func receive() async throws(MessagingError) {
    if round.receives.isEmpty { return }
    if round.receives.count == 1 {
      _ = try await round.port.receive(into: round.receives[0].buffer, tag: round.receives[0].tag)
      return
    }
    for completion in await round.port.receiveMany(round.receives) where !completion.isDone { throw completion.error("receive") }
  }

  private func failure(_ body: () async throws(MessagingError) -> Void) async -> MessagingError? {
    do throws(MessagingError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }
}
