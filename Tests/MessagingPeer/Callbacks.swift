import CausewayMessaging

/// A callback in a box of its own: an optional closure would be wrapped anew at each use.
struct Callback { let call: @Sendable (Completion) -> Void }

/// Answers each message with its like, by callbacks that are made once.
// @unchecked Sendable: the engine's thread only, after `run`.
final class Echo: @unchecked Sendable {
  private let server: Server
  private let endpoint: Endpoint
  private let buffer: MessageBuffer
  private var received: Callback?
  private var sent: Callback?
  private var done: CheckedContinuation<Void, Never>?

  init(_ server: Server, _ endpoint: Endpoint, _ size: Int) {
    self.server = server
    self.endpoint = endpoint
    buffer = MessageBuffer(count: size)
    received = Callback { [self] completion in
      guard completion.isDone else { return finish() }
      self.endpoint.send(buffer, tag: 2, completion: sent!.call)
      self.endpoint.receive(into: buffer, tag: 1, completion: received!.call)
    }
    sent = Callback { _ in }
  }

  private func finish() {
    done?.resume()
    done = nil
  }

  func start() { endpoint.receive(into: buffer, tag: 1, completion: received!.call) }

  func run() async {
    await withCheckedContinuation { continuation in
      done = continuation
      start()
    }
  }
}

/// Measures round trips.
// @unchecked Sendable: as above.
final class Ping: @unchecked Sendable {
  private let client: Client
  private let out: MessageBuffer
  private let back: MessageBuffer
  private var times: [UInt64]
  private var index: Int
  private var start: UInt64 = 0
  private var received: Callback?
  private var sent: Callback?
  private var done: CheckedContinuation<Void, Never>?

  init(_ client: Client, _ size: Int, _ count: Int, warmup: Int = 100 * tripsPerSample) {
    self.client = client
    index = -warmup
    out = MessageBuffer(count: size)
    back = MessageBuffer(count: size)
    times = [UInt64](repeating: 0, count: max(1, count / tripsPerSample))
    received = Callback { [self] completion in
      guard completion.isDone else { return finish() }
      index += 1
      if index % tripsPerSample == 0 {
        let time = now()
        if index > 0 { times[index / tripsPerSample - 1] = time - start }
        if index == times.count * tripsPerSample { return finish() }
        start = time
      }
      next()
    }
    sent = Callback { _ in }
  }

  private func next() {
    // As ucx_perftest does: the receive is posted while the message is on its way.
    client.send(out, tag: 1, completion: sent!.call)
    client.receive(into: back, tag: 2, completion: received!.call)
  }

  private func finish() {
    done?.resume()
    done = nil
  }

  func run() async -> [UInt64] {
    await withCheckedContinuation { continuation in
      done = continuation
      next()
    }
    return times
  }
}
