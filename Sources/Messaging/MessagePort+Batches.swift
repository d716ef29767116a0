internal import CUCX
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
  /// Starts all receives at once, in order, and waits for all: one suspension for the lot. Each has its own end. A timeout or a
  /// cancellation ends those that are not over. Those beyond the limit of operations in flight start when the others are over.
  public final func receiveMany(_ requests: [ReceiveRequest], timeout: Duration? = nil) async -> [Completion] {
    await inPasses(requests.count, timeout) { rest, timeout, batch, first in
      await batch.run(self.engine, .receive, first) { index in
        let request = requests[rest + index]
        unsafe self.post(
          request.buffer.base, request.buffer.count, false, request.buffer, request.tag, request.mask, request.endpoint, timeout,
          .batch(batch, index), number: first &+ UInt64(index) &* 2)
      }
    }
  }

  /// One pass, unless the engine has no room for all: then another one for the rest, when there is some.
  /// - Parameter pass: Runs a batch of those from an index on, in so much time. The batch's numbers begin with the last argument and follow
  ///   each other, so that each operation can be cancelled.
  fileprivate func inPasses(_ count: Int, _ timeout: Duration?, _ pass: (Int, Duration?, OperationBatch, UInt64) async -> Void) async
    -> [Completion]
  {
    if count == 0 { return [] }
    if engine.isForked { return [Completion](repeating: Completion(.forked), count: count) }
    let deadline = Self.deadline(timeout)
    var ends: [Completion] = []
    var left = timeout
    while true {
      let batch = OperationBatch(count: count - ends.count)
      await pass(ends.count, left, batch, engine.nextOperations(count - ends.count))
      guard let refused = batch.firstRefused else { return ends.isEmpty ? batch.completions : ends + batch.completions }
      ends += batch.completions[..<refused]
      if let over = await driver.waitForRoom(until: deadline) { return ends + [Completion](repeating: over, count: count - ends.count) }
      if timeout != nil { left = max(.zero, deadline - Instant(nanoseconds: cucx_boot_ns())) }
    }
  }
}

extension MessagePort {
  /// Starts all sends at once, in order, and waits for all. As `receiveMany`.
  public final func sendMany(_ requests: [SendRequest], synchronous isSynchronous: Bool = false, timeout: Duration? = nil) async
    -> [Completion]
  {
    await inPasses(requests.count, timeout) { rest, timeout, batch, first in
      await batch.run(self.engine, .send, first) { index in
        let request = requests[rest + index]
        unsafe self.start(
          .contiguous(request.buffer.base, request.count), request.count, request.buffer, request.tag, isSynchronous, timeout,
          .batch(batch, index), number: first &+ UInt64(index) &* 2)
      }
    }
  }
}

extension OperationBatch {
  /// Starts the operations and suspends until the last one is over.
  fileprivate func run(_ engine: Engine, _ kind: Operation.Cancellable, _ first: UInt64, _ start: @Sendable (Int) -> Void) async {
    let driver = engine.driver
    let count = completions.count
    if driver.isOwner {
      for index in 0..<count { if isRefused { set(index, Completion(.wouldBlock)) } else { start(index) } }
      if isDone { return }
    }
    let isStarted = driver.isOwner
    await withTaskCancellationHandler {
      await unsafe withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
        if isStarted { return unsafe wait(continuation) }
        // Nobody has the batch yet.
        unsafe wait(continuation)
        for index in 0..<count { start(index) }
        if Task.isCancelled { cancel(driver, kind, first, count) }
      }
    } onCancel: {
      cancel(driver, kind, first, count)
    }
  }

  private func cancel(_ driver: Driver, _ kind: Operation.Cancellable, _ first: UInt64, _ count: Int) {
    for index in 0..<count { driver.submitCancel(kind, nil, first &+ UInt64(index) &* 2) }
  }
}
