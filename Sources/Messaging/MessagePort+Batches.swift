internal import CausewayBase
internal import CausewayMessagingCore

/// One of several receives started together.
public struct ReceiveRequest: Sendable {
  public var buffer: MessageBuffer
  public var tag: Tag
  public var mask: TagMask
  public var endpoint: Endpoint?

  public init(into buffer: MessageBuffer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil) {
    self.buffer = buffer
    self.tag = tag
    self.mask = mask
    self.endpoint = endpoint
  }
}

/// One of several sends started together.
public struct SendRequest: Sendable {
  public var buffer: MessageBuffer
  /// The first so many bytes.
  public var count: Int
  public var tag: Tag

  public init(_ buffer: MessageBuffer, count: Int? = nil, tag: Tag) {
    self.buffer = buffer
    self.count = count ?? buffer.count
    self.tag = tag
    precondition((0...buffer.count).contains(self.count), "more bytes than the buffer has")
  }
}

extension MessageReceiver {
  /// Starts all receives at once and waits for all: one suspension for the lot. Each has its own end. A timeout or a cancellation ends
  /// those that are not over. Those beyond the limit of operations in flight end as `wouldBlock`.
  public final func receiveMany(_ requests: [ReceiveRequest], timeout: Duration? = nil) async -> [Completion] {
    let batch = OperationBatch(count: requests.count)
    // Numbers of a batch follow each other, so that each can be cancelled.
    let first = engine.nextOperations(requests.count)
    let count = requests.count
    return await batch.run(engine, .receive, first, count) { base in
      for index in base..<count {
        let request = requests[index]
        unsafe self.post(
          request.buffer.base, request.buffer.count, false, request.buffer, request.tag, request.mask, request.endpoint, timeout,
          .batch(batch, index), number: first &+ UInt64(index) &* 2)
      }
    }
  }
}

extension MessagePort {
  /// Starts all sends at once, in order, and waits for all. As `receiveMany`.
  public final func sendMany(_ requests: [SendRequest], synchronous isSynchronous: Bool = false, timeout: Duration? = nil) async
    -> [Completion]
  {
    let batch = OperationBatch(count: requests.count)
    let first = engine.nextOperations(requests.count)
    let count = requests.count
    return await batch.run(engine, .send, first, count) { base in
      for index in base..<count {
        let request = requests[index]
        unsafe self.start(
          .contiguous(request.buffer.base, request.count), request.count, request.buffer, request.tag, isSynchronous, timeout,
          .batch(batch, index), number: first &+ UInt64(index) &* 2)
      }
    }
  }
}

extension OperationBatch {
  /// Starts the operations and suspends until the last one is over.
  fileprivate func run(
    _ engine: Engine, _ kind: Operation.Cancellable, _ first: UInt64, _ count: Int, _ start: @Sendable (Int) -> Void
  ) async -> [Completion] {
    if count == 0 { return [] }
    if engine.isForked { return [Completion](repeating: Completion(.forked), count: count) }
    let driver = engine.driver
    if driver.isOwner {
      start(0)
      if isDone { return completions }
    }
    let isStarted = driver.isOwner
    await withTaskCancellationHandler {
      await unsafe withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        if isStarted { return unsafe wait(continuation) }
        // Nobody has the batch yet.
        unsafe wait(continuation)
        start(0)
        if Task.isCancelled { cancel(driver, kind, first, count) }
      }
    } onCancel: {
      cancel(driver, kind, first, count)
    }
    return completions
  }

  private func cancel(_ driver: Driver, _ kind: Operation.Cancellable, _ first: UInt64, _ count: Int) {
    for index in 0..<count { driver.submitCancel(kind, nil, first &+ UInt64(index) &* 2) }
  }
}
