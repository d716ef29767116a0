import CausewayMessaging

/// Answers each message with its like, by callbacks that are made once.
// @unchecked Sendable: the engine's thread only, after `run`.
final class Echo: @unchecked Sendable {
  private let server: Server
  private let endpoint: Endpoint
  private let buffer: MessageBuffer
  private var received: (@Sendable (Completion) -> Void)!
  private var sent: (@Sendable (Completion) -> Void)!
  private var done: CheckedContinuation<Void, Never>?

  init(_ server: Server, _ endpoint: Endpoint, _ size: Int) {
    self.server = server
    self.endpoint = endpoint
    buffer = MessageBuffer(count: size)
    received = { [unowned self] completion in
      guard completion.isDone else { return finish() }
      self.endpoint.send(buffer, tag: 2, completion: sent)
      self.endpoint.receive(into: buffer, tag: 1, completion: received)
    }
    sent = { _ in }
  }

  private func finish() {
    done?.resume()
    done = nil
  }

  func run() async {
    await withCheckedContinuation { continuation in
      done = continuation
      endpoint.receive(into: buffer, tag: 1, completion: received)
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
  private var index = -100 * tripsPerSample
  private var start: UInt64 = 0
  private var received: (@Sendable (Completion) -> Void)!
  private var sent: (@Sendable (Completion) -> Void)!
  private var done: CheckedContinuation<Void, Never>?

  init(_ client: Client, _ size: Int, _ count: Int) {
    self.client = client
    out = MessageBuffer(count: size)
    back = MessageBuffer(count: size)
    times = [UInt64](repeating: 0, count: max(1, count / tripsPerSample))
    received = { [unowned self] completion in
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
    sent = { _ in }
  }

  private func next() {
    client.receive(into: back, tag: 2, completion: received)
    client.send(out, tag: 1, completion: sent)
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

/// Keeps `window` receives posted.
// @unchecked Sendable: as above.
final class Sink: @unchecked Sendable {
  private let server: Server
  private let buffer: MessageBuffer
  private let window: Int
  private var received: (@Sendable (Completion) -> Void)!

  init(_ server: Server, _ size: Int, _ window: Int) {
    self.server = server
    self.window = window
    buffer = MessageBuffer(count: size)
    received = { [unowned self] completion in
      if completion.isDone { self.server.receive(into: buffer, tag: 1, completion: received) }
    }
  }

  func start() { for _ in 0..<window { server.receive(into: buffer, tag: 1, completion: received) } }
}

/// Keeps `window` sends under way.
// @unchecked Sendable: as above.
final class Source: @unchecked Sendable {
  private let client: Client
  private let buffer: MessageBuffer
  private var left: Int
  private var open = 0
  private let window: Int
  private var sent: (@Sendable (Completion) -> Void)!
  private var done: CheckedContinuation<Void, Never>?

  init(_ client: Client, _ size: Int, _ count: Int, _ window: Int) {
    self.client = client
    self.window = window
    left = count
    buffer = MessageBuffer(count: size)
    sent = { [unowned self] completion in
      open -= 1
      if left > 0 { next() } else if open == 0 { finish() }
    }
  }

  private func next() {
    left -= 1
    open += 1
    client.send(buffer, tag: 1, completion: sent)
  }

  private func finish() {
    done?.resume()
    done = nil
  }

  func run() async {
    await withCheckedContinuation { continuation in
      done = continuation
      // The first one comes from another thread; the rest follow on the engine's.
      for _ in 0..<min(window, left) { next() }
    }
  }
}
