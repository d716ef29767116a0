internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Synchronization

/// What sends and receives: a client, or one endpoint of a server.
///
/// A send ends when its memory is free again. A `MessageBuffer` is kept until UCX has let go of it, so that a deadline or a
/// cancellation ends the call at once; raw memory delays its return till then.
public class MessagePort: MessageReceiver, @unchecked Sendable {
  static let nothing = ConnectionID(rawValue: .max)
  private let current = Atomic<UInt32>(.max)

  @inline(__always) final var connection: ConnectionID { ConnectionID(rawValue: current.load(ordering: .relaxed)) }
  final func setConnection(_ connection: ConnectionID) { current.store(connection.rawValue, ordering: .releasing) }

  /// It was closed here: whatever comes is told so.
  final func forgetConnection() {
    setConnection(Self.nothing)
    forgetSource()
  }

  private let knownFacts = Mutex<ConnectionFacts?>(nil)
  /// From its establishment on, its end included.
  final var facts: ConnectionFacts? {
    get { knownFacts.withLock { $0 } }
    set { knownFacts.withLock { $0 = newValue } }
  }

  // MARK: Async

  /// - Parameter isSynchronous: Ends only when the peer has matched the message.
  public final func send(_ buffer: MessageBuffer, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    async throws(MessagingError)
  {
    let completion = await unsafe send(.contiguous(buffer.base, buffer.count), buffer.count, buffer, tag, isSynchronous, timeout)
    try completion.check("send to \(subject)")
  }

  /// The first bytes of a buffer.
  public final func send(_ buffer: MessageBuffer, count: Int, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    async throws(MessagingError)
  {
    precondition((0...buffer.count).contains(count), "more bytes than the buffer has")
    let completion = await unsafe send(.contiguous(buffer.base, count), count, buffer, tag, isSynchronous, timeout)
    try completion.check("send to \(subject)")
  }

  /// Memory that is the caller's, and valid until the call returns.
  public final func send(_ memory: UnsafeRawBufferPointer, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    async throws(MessagingError)
  {
    let completion = await unsafe send(.contiguous(memory.baseAddress, memory.count), memory.count, nil, tag, isSynchronous, timeout)
    try completion.check("send to \(subject)")
  }

  /// A copy of the bytes.
  public final func send(_ bytes: [UInt8], tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    async throws(MessagingError)
  {
    try await send(MessageBuffer(bytes), tag: tag, synchronous: isSynchronous, timeout: timeout)
  }

  /// Several buffers as one message.
  public final func send(_ pieces: [MessageBuffer], tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil)
    async throws(MessagingError)
  {
    let list = PieceList(pieces)
    let completion = await unsafe send(.pieces(list.pieces, pieces.count), list.byteCount, list, tag, isSynchronous, timeout)
    try completion.check("send to \(subject)")
  }

  private func send(
    _ bytes: SendBytes, _ count: Int, _ keeper: AnyObject?, _ tag: Tag, _ isSynchronous: Bool, _ timeout: Duration?
  ) async -> Completion {
    let driver = driver
    let deadline = Self.deadline(timeout)
    while true {
      let connection = connection
      if connection == Self.nothing { return Completion(.closed) }
      let completion: Completion
      if driver.isOwner {
        switch driver.send(
          on: connection, bytes, count: count, tag: tag.rawValue, synchronous: isSynchronous, keeper: keeper, deadline: deadline)
        {
        case .done(let done): completion = done
        case .pending(let slot): completion = await driver.wait(.send, slot)
        }
      } else {
        let operation = operation(connection, bytes, count, keeper, tag.rawValue, isSynchronous, deadline)
        completion = await engine.handOver(operation, .send)
      }
      guard completion.status == MessagingError.Code.wouldBlock.rawValue else { return completion }
      if let over = await driver.waitForRoom(until: deadline) { return over }
    }
  }

  /// A send for the driver's owner to start.
  final func operation(
    _ connection: ConnectionID, _ bytes: SendBytes, _ count: Int, _ keeper: AnyObject?, _ tag: UInt64, _ isSynchronous: Bool,
    _ deadline: Instant
  ) -> Operation {
    var operation = Operation(.send(connection, synchronous: isSynchronous))
    switch bytes {
    case .contiguous(let base, _): unsafe operation.base = UnsafeMutableRawPointer(mutating: base)
    case .pieces(let pieces, let number):
      unsafe operation.pieces = pieces
      operation.pieceCount = number
    }
    operation.count = count
    operation.keeper = keeper
    operation.tag = tag
    operation.deadline = deadline
    return operation
  }

  // MARK: Callbacks

  /// With a callback, which runs on the engine's thread once, never inside this call. `buffer` is kept alive until UCX lets go.
  /// Beyond the limit of operations in flight it ends as `wouldBlock`.
  public final func send(
    _ buffer: MessageBuffer, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil,
    completion: @escaping @Sendable (Completion) -> Void
  ) {
    unsafe start(.contiguous(buffer.base, buffer.count), buffer.count, buffer, tag, isSynchronous, timeout, .callback(completion))
  }

  /// The same of memory that the caller keeps valid until the callback.
  public final func send(
    _ memory: UnsafeRawBufferPointer, tag: Tag, synchronous isSynchronous: Bool = false, timeout: Duration? = nil,
    completion: @escaping @Sendable (Completion) -> Void
  ) {
    unsafe start(.contiguous(memory.baseAddress, memory.count), memory.count, nil, tag, isSynchronous, timeout, .callback(completion))
  }

  @inline(__always) final func start(
    _ bytes: SendBytes, _ count: Int, _ keeper: AnyObject?, _ tag: Tag, _ isSynchronous: Bool, _ timeout: Duration?,
    _ target: consuming CompletionTarget, number: UInt64 = 0
  ) {
    let deadline = Self.deadline(timeout)
    let connection = connection
    if driver.isOwner {
      if connection == Self.nothing { return driver.tell(target, Completion(.closed)) }
      let started = driver.send(
        on: connection, bytes, count: count, tag: tag.rawValue, synchronous: isSynchronous, keeper: keeper, deadline: deadline)
      return driver.settle(started, target, number)
    }
    var operation = operation(connection, bytes, count, keeper, tag.rawValue, isSynchronous, deadline)
    operation.number = number
    operation.target = target
    engine.submit(operation)
  }

  // MARK: Close

  private let isClosed = Atomic<Bool>(false)

  final func closePort(_ timeout: Duration?) async throws(MessagingError) {
    try engine.checkFork("close of \(subject)")
    if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    let connection = connection
    var failure: MessagingError?
    if connection != Self.nothing {
      do throws(MessagingError) { try await flush(connection, timeout) } catch { failure = error }
    }
    forgetConnection()
    await withCheckedContinuation { continuation in closeLink { continuation.resume() } }
    // A peer that is gone has nothing left to wait for.
    if let failure, failure.code != .peerLost, failure.code != .closed { throw failure }
  }

  /// Ends the connection without a flush, on the engine's thread.
  func closeLink(_ completion: @escaping @Sendable () -> Void) {}
}

/// Pieces of one message in the form that UCX takes, and what keeps them alive.
// @unchecked Sendable: never changes.
@safe final class PieceList: @unchecked Sendable {
  let pieces: UnsafeMutablePointer<ucp_dt_iov_t>
  let byteCount: Int
  private let buffers: [MessageBuffer]
  private(set) var keeper: AnyObject?

  init(_ buffers: [MessageBuffer]) {
    self.buffers = buffers
    // SAFETY: freed in deinit; the buffers live as long.
    unsafe pieces = .allocate(capacity: max(1, buffers.count))
    var total = 0
    for (index, buffer) in buffers.enumerated() {
      unsafe (pieces + index).initialize(to: ucp_dt_iov_t(buffer: buffer.base, length: buffer.count))
      total += buffer.count
    }
    byteCount = total
  }

  /// Of memory that `keeper`, or the caller, keeps.
  init(unowned memory: [UnsafeRawBufferPointer], keeper: AnyObject?) {
    buffers = []
    self.keeper = keeper
    // SAFETY: as above.
    unsafe pieces = .allocate(capacity: max(1, memory.count))
    var total = 0
    for index in unsafe memory.indices {
      let piece = unsafe memory[index]
      unsafe (pieces + index).initialize(
        to: ucp_dt_iov_t(buffer: UnsafeMutableRawPointer(mutating: piece.baseAddress), length: piece.count))
      total += piece.count
    }
    byteCount = total
  }

  deinit { unsafe pieces.deallocate() }
}
