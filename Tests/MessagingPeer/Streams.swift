import CausewayMessaging

/// Keeps `window` receives posted; `count` in all, or for ever.
// @unchecked Sendable: the engine's thread only, after the start.
final class Sink: @unchecked Sendable {
  private let port: MessageReceiver
  private let tag: Tag
  private let buffer: MessageBuffer
  private let window: Int
  /// To be posted, and to come.
  private var left: Int
  private var open: Int
  private var received: Callback?
  private var done: CheckedContinuation<Void, Never>?

  init(_ port: MessageReceiver, tag: Tag, _ size: Int, _ count: Int?, _ window: Int) {
    self.port = port
    self.tag = tag
    self.window = min(window, count ?? window)
    left = (count ?? .max) - self.window
    open = self.window
    buffer = MessageBuffer(count: size)
    received = Callback { [self] completion in
      guard completion.isDone else { return }
      if left > 0 {
        left -= 1
        self.port.receive(into: buffer, tag: tag, completion: received!.call)
      } else {
        open -= 1
        if open == 0 { done?.resume() }
      }
    }
  }

  func start() { for _ in 0..<window { port.receive(into: buffer, tag: tag, completion: received!.call) } }

  func run() async {
    await withCheckedContinuation { continuation in
      done = continuation
      start()
    }
  }
}

/// Keeps `window` sends under way.
// @unchecked Sendable: as above.
final class Source: @unchecked Sendable {
  private let port: MessagePort
  private let tag: Tag
  private let buffer: MessageBuffer
  private var left: Int
  private var open = 0
  private let window: Int
  private var sent: Callback?
  private var done: CheckedContinuation<Void, Never>?

  init(_ port: MessagePort, tag: Tag, _ buffer: MessageBuffer, _ count: Int, _ window: Int) {
    self.port = port
    self.tag = tag
    self.window = min(window, count)
    left = count
    self.buffer = buffer
    sent = Callback { [self] completion in
      open -= 1
      if left > 0 { next() } else if open == 0 { finish() }
    }
  }

  private func next() {
    left -= 1
    open += 1
    port.send(buffer, tag: tag, completion: sent!.call)
  }

  private func finish() {
    done?.resume()
    done = nil
  }

  func run() async {
    await withCheckedContinuation { continuation in
      done = continuation
      for _ in 0..<window { next() }
    }
  }
}

/// Memory of `size` bytes that are there: a page that was never written is read from one that all share.
func filledBuffer() -> MessageBuffer {
  let buffer = MessageBuffer(count: size)
  unsafe buffer.withUnsafeMutableBytes { unsafe _ = $0.initializeMemory(as: UInt8.self, repeating: 0x5A) }
  return buffer
}

/// `count` messages each way at once. Returns the nanoseconds until the last one came and the peer has the last one.
func duplex(_ port: MessagePort, sends: Tag, receives: Tag) async throws -> UInt64 {
  let (out, back) = (filledBuffer(), filledBuffer())
  try await exchange(port, warmup, out, sends, back, receives)
  let start = now()
  try await exchange(port, count, out, sends, back, receives)
  return now() - start
}

private func exchange(_ port: MessagePort, _ count: Int, _ out: MessageBuffer, _ sends: Tag, _ back: MessageBuffer, _ receives: Tag)
  async throws
{
  if command.hasSuffix("callback") {
    let sink = Sink(port, tag: receives, size, count, window)
    let source = Source(port, tag: sends, out, count, window)
    async let received: Void = Task(executorPreference: port.engine) { await sink.run() }.value
    await Task(executorPreference: port.engine) { await source.run() }.value
    await received
  } else {
    let receiving = Task(executorPreference: port.engine) {
      for _ in 0..<count { _ = try await port.receive(into: back, tag: receives) }
    }
    try await Task(executorPreference: port.engine) { for _ in 0..<count { try await port.send(out, tag: sends) } }.value
    try await receiving.value
  }
  try await port.flush()
}
