internal import CUCX
internal import CausewayBase
internal import CausewayMessagingCore
internal import Synchronization

/// What receives: a server (from any of its endpoints), a client, or one endpoint of a server.
///
/// A message is received once, by the oldest receive that fits; messages of one sender match in the order they were sent. Each receive
/// has a `timeout` (nil: none) and can be cancelled with its task; past either it never touches its memory again, unless the message's
/// data are on their way already: memory of a `MessageBuffer` is kept until they are there, raw memory delays the call's return till then.
public class MessageReceiver: @unchecked Sendable {  // constants, and atomics below
  public let engine: Engine
  let driver: Driver
  let mailbox: MailboxID
  /// What errors call it.
  let subject: String
  /// The number of the endpoint that it is, of a server; else all bits.
  private let sourceNumber: Atomic<UInt64>

  init(_ engine: Engine, _ mailbox: MailboxID, from source: ConnectionID?, subject: String) {
    self.engine = engine
    driver = engine.driver
    self.mailbox = mailbox
    sourceNumber = Atomic(source.map { UInt64($0.rawValue) } ?? .max)
    self.subject = subject
  }

  /// The connection whose messages it takes: nil for all of its mailbox, `MessagePort.nothing` after its end by us.
  @inline(__always) final var source: ConnectionID? {
    let number = sourceNumber.load(ordering: .relaxed)
    return number == .max ? nil : ConnectionID(rawValue: UInt32(truncatingIfNeeded: number))
  }

  final func forgetSource() {
    if source != nil { sourceNumber.store(UInt64(MessagePort.nothing.rawValue), ordering: .relaxed) }
  }

  /// Whether `endpoint` is one of this server's.
  package final func has(_ endpoint: Endpoint) -> Bool { endpoint.driver === driver && endpoint.mailbox == mailbox }

  /// The connection whose messages a receive takes.
  @inline(__always) final func source(_ endpoint: Endpoint?) -> ConnectionID? {
    guard let endpoint else { return source }
    precondition(has(endpoint), "a receive takes messages of an endpoint of its own server")
    return endpoint.source
  }

  // MARK: Async

  /// Receives into `buffer`: a message that is longer fails the call as `truncated` and stays.
  public final func receive(
    into buffer: MessageBuffer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, timeout: Duration? = nil
  ) async throws(MessagingError) -> Received {
    let completion = await unsafe receive(buffer.base, buffer.count, false, buffer, tag, mask, endpoint, timeout)
    return try completion.get("receive on \(subject)")
  }

  /// The same into memory that is the caller's, and valid until the call returns.
  public final func receive(
    into memory: UnsafeMutableRawBufferPointer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, timeout: Duration? = nil
  ) async throws(MessagingError) -> Received {
    let completion = await unsafe receive(memory.baseAddress, memory.count, false, nil, tag, mask, endpoint, timeout)
    return try completion.get("receive on \(subject)")
  }

  /// Receives a message of any size up to `limit`, in memory made for it.
  public final func receive(
    tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, upTo limit: Int = 1 << 30, timeout: Duration? = nil
  ) async throws(MessagingError) -> (buffer: MessageBuffer, received: Received) {
    let completion = await unsafe receive(nil, max(0, limit), true, nil, tag, mask, endpoint, timeout)
    let received = try completion.get("receive on \(subject)")
    return (completion.takeBuffer() ?? MessageBuffer(count: 0), received)
  }

  private func receive(
    _ base: UnsafeMutableRawPointer?, _ capacity: Int, _ allocates: Bool, _ keeper: AnyObject?, _ tag: Tag, _ mask: TagMask,
    _ endpoint: Endpoint?, _ timeout: Duration?
  ) async -> Completion {
    let driver = driver
    let connection = source(endpoint)
    let deadline = Self.deadline(timeout)
    while true {
      let completion: Completion
      if driver.isOwner {
        switch unsafe driver.receive(
          in: mailbox, from: connection, tag: tag.rawValue, mask: mask.rawValue, base: base, capacity: capacity, allocates: allocates,
          keeper: keeper, deadline: deadline)
        {
        case .done(let done): completion = done
        case .pending(let slot): completion = await driver.wait(.receive, slot)
        }
      } else {
        let operation = unsafe operation(connection, base, capacity, allocates, keeper, tag.rawValue, mask.rawValue, deadline)
        completion = await engine.handOver(operation, .receive)
      }
      guard completion.status == MessagingError.Code.wouldBlock.rawValue else { return completion }
      if let over = await driver.waitForRoom(until: deadline) { return over }
    }
  }

  /// A receive for the driver's owner to start.
  @inline(__always) final func operation(
    _ connection: ConnectionID?, _ base: UnsafeMutableRawPointer?, _ capacity: Int, _ allocates: Bool, _ keeper: AnyObject?, _ tag: UInt64,
    _ mask: UInt64, _ deadline: Instant
  ) -> Operation {
    var operation = Operation(.receive(mailbox, from: connection))
    unsafe operation.base = base
    operation.count = capacity
    operation.allocates = allocates
    operation.keeper = keeper
    operation.tag = tag
    operation.mask = mask
    operation.deadline = deadline
    return operation
  }

  // MARK: Callbacks

  /// The same with a callback, which runs on the engine's thread once, never inside this call. `buffer` is kept alive until then.
  /// Beyond the limit of operations in flight it ends as `wouldBlock`.
  public final func receive(
    into buffer: MessageBuffer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, timeout: Duration? = nil,
    completion: @escaping @Sendable (Completion) -> Void
  ) {
    unsafe post(buffer.base, buffer.count, false, buffer, tag, mask, endpoint, timeout, .callback(completion))
  }

  /// The same in memory that the caller keeps valid until the callback.
  public final func receive(
    into memory: UnsafeMutableRawBufferPointer, tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil, timeout: Duration? = nil,
    completion: @escaping @Sendable (Completion) -> Void
  ) {
    unsafe post(memory.baseAddress, memory.count, false, nil, tag, mask, endpoint, timeout, .callback(completion))
  }

  @inline(__always) func post(
    _ base: UnsafeMutableRawPointer?, _ capacity: Int, _ allocates: Bool, _ keeper: AnyObject?, _ tag: Tag, _ mask: TagMask,
    _ endpoint: Endpoint?, _ timeout: Duration?, _ target: consuming CompletionTarget, number: UInt64 = 0
  ) {
    let deadline = Self.deadline(timeout)
    let connection = source(endpoint)
    if driver.isOwner {
      let started = unsafe driver.receive(
        in: mailbox, from: connection, tag: tag.rawValue, mask: mask.rawValue, base: base, capacity: capacity, allocates: allocates,
        keeper: keeper, deadline: deadline)
      return driver.wait(started, target, number)
    }
    var operation = unsafe operation(connection, base, capacity, allocates, keeper, tag.rawValue, mask.rawValue, deadline)
    operation.number = number
    operation.target = target
    engine.submit(operation)
  }

  // MARK: Probe and flush

  /// The oldest message that such a receive would take now; it stays. From any thread.
  public final func probe(tag: Tag, mask: TagMask = .exact, from endpoint: Endpoint? = nil) throws(MessagingError) -> Received? {
    try engine.checkFork("probe of \(subject)")
    let connection = source(endpoint)
    let (driver, mailbox) = (driver, mailbox)
    let answer: Received?? = driver.asGuest {
      guard !driver.isShutDown, connection != MessagePort.nothing, unsafe driver.core.pointee.isOpen(mailbox) else { return nil }
      let info = unsafe driver.core.pointee.probe(in: mailbox, from: connection, tag: tag.rawValue, mask: mask.rawValue)
      return .some(
        info.map { Received(tag: Tag($0.tag), byteCount: $0.length, sender: EndpointID(rawValue: $0.connection.rawValue)) })
    }
    guard let answer else { throw Completion(.closed).error("probe of \(subject)") }
    return answer
  }

  /// Completes when every earlier send of all its connections is in the peers' memory, or read by them: this side may exit then.
  public final func flush(timeout: Duration? = nil) async throws(MessagingError) {
    try await flush(source, timeout)
  }

  final func flush(_ connection: ConnectionID?, _ timeout: Duration?) async throws(MessagingError) {
    var operation = Operation(connection.map { .flushConnection($0) } ?? .flush(mailbox))
    operation.deadline = Self.deadline(timeout)
    let completion = await engine.handOver(operation, .flush)
    try completion.check("flush of \(subject)")
  }

  /// The same with a callback.
  public final func flush(timeout: Duration? = nil, completion: @escaping @Sendable (Completion) -> Void) {
    var operation = Operation(source.map { .flushConnection($0) } ?? .flush(mailbox))
    operation.deadline = Self.deadline(timeout)
    operation.target = .callback(completion)
    engine.submit(operation)
  }

  static func deadline(_ timeout: Duration?) -> Instant {
    guard let timeout else { return .distantFuture }
    return Instant(nanoseconds: cucx_boot_ns()) + timeout
  }
}
