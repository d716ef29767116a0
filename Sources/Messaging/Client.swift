internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Synchronization

/// One connection to a server, for one `connect`: what it sends goes there, what it receives comes from there.
public final class Client: MessagePort, @unchecked Sendable {
  let core: ClientCore

  public init(on engine: Engine) throws(MessagingError) {
    try engine.checkFork("client")
    let driver = engine.driver
    let mailbox = driver.asGuest { unsafe driver.core.pointee.openMailbox(.client) }
    core = ClientCore(engine, mailbox)
    super.init(engine, mailbox, from: nil, subject: "client")
  }

  deinit { engine.end(core) }

  /// Connects to a server by name or address.
  public func connect(to host: String, port: UInt16, key: MessagingKey? = nil, timeout: Duration = .seconds(10))
    async throws(MessagingError)
  {
    try await connect(.host(host, port), key, timeout)
  }

  /// Connects to a server by the bytes of its `listenAddress`.
  public func connect(toAddress blob: [UInt8], key: MessagingKey? = nil, timeout: Duration = .seconds(10)) async throws(MessagingError) {
    try await connect(.blob(blob), key, timeout)
  }

  /// The same with a callback on the engine's thread.
  public func connect(
    to host: String, port: UInt16, key: MessagingKey? = nil, timeout: Duration = .seconds(10),
    completion: @escaping @Sendable (MessagingError?) -> Void
  ) { start(.host(host, port), key, timeout, completion) }

  public func connect(
    toAddress blob: [UInt8], key: MessagingKey? = nil, timeout: Duration = .seconds(10),
    completion: @escaping @Sendable (MessagingError?) -> Void
  ) { start(.blob(blob), key, timeout, completion) }

  private func connect(_ target: ClientCore.Target, _ key: MessagingKey?, _ timeout: Duration) async throws(MessagingError) {
    try engine.checkFork("connect")
    let (core, engine) = (core, engine)
    let error: MessagingError? = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in start(target, key, timeout) { continuation.resume(returning: $0) } }
    } onCancel: {
      engine.onThread { core.cancel() }
    }
    if let error { throw error }
  }

  private func start(
    _ target: ClientCore.Target, _ key: MessagingKey?, _ timeout: Duration, _ completion: @escaping @Sendable (MessagingError?) -> Void
  ) {
    if engine.isForked { return completion(Completion(.forked).error("connect")) }
    let (core, deadline) = (core, Self.deadline(timeout))
    engine.onThread {
      core.connect(target, key, deadline) { link, error in
        if let link, let connection = link.connection {
          self.facts = link.facts
          self.setConnection(connection)
        }
        completion(error)
      }
    }
  }

  /// Flushes for at most `timeout`, then ends the connection. What waits ends as `closed`. Again does nothing.
  /// - Throws: Why the flush failed; the client is closed all the same.
  public func close(timeout: Duration? = .seconds(5)) async throws(MessagingError) { try await closePort(timeout) }

  override func closeLink(_ completion: @escaping @Sendable () -> Void) {
    engine.end(core, completion)
  }
}

/// A client's way to its link. The engine's thread only.
// @unchecked Sendable: see above.
final class ClientCore: LinkOwner, Closable, @unchecked Sendable {
  enum Target {
    case host(String, UInt16)
    case blob([UInt8])
  }
  typealias Completion = @Sendable (Link?, MessagingError?) -> Void

  // Whoever uses a client holds its engine; at the end of both there is none to come back to.
  private weak var engine: Engine?
  private let registry: Registry
  private let driver: Driver
  private let mailbox: MailboxID
  private var key: MessagingKey?
  private var pending: PendingConnection?
  private var link: Link?
  private var completion: Completion?
  private var wasUsed = false
  private var wasCancelled = false
  private var hasEnded = false

  init(_ engine: Engine, _ mailbox: MailboxID) {
    self.engine = engine
    registry = engine.registry
    driver = engine.driver
    self.mailbox = mailbox
    let driver = driver
    let registry = engine.registry
    driver.loop.post { registry.add(self) }
  }

  func connect(_ target: Target, _ key: MessagingKey?, _ deadline: Instant, _ completion: @escaping Completion) {
    let isOver = hasEnded || driver.isShutDown
    guard !isOver, !wasUsed, let engine else {
      let cause = isOver ? "the client was closed; make another one" : "a client connects once; make another one"
      return completion(nil, MessagingError(.closed, "connect", cause: cause))
    }
    wasUsed = true
    if wasCancelled { return completion(nil, MessagingError(.cancelled, "connect")) }
    self.key = key
    self.completion = completion
    var connector = Connector(on: driver.loop)
    connector.attemptDelay = .milliseconds(250)
    switch target {
    case .host(let host, let port):
      let subject = SocketAddress.text(host: host, port: port)
      pending = connector.connect(to: host, port: port, deadline: deadline) { [unowned self] in connected($0, subject, .none, deadline) }
    case .blob(let bytes):
      let blob: AddressBlob
      switch AddressBlob.decode(bytes) {
      case .success(let decoded): blob = decoded
      case .failure(let error): return fail(error)
      }
      let subject = "server \(blob.name)"
      if blob.ucxMajor != engine.library.major || blob.ucxMinor != engine.library.minor {
        let text = "client: UCX \(engine.library.version) at \(engine.library.path); server: UCX \(blob.ucxMajor).\(blob.ucxMinor)"
        return fail(MessagingError(.versionMismatch, subject, cause: text))
      }
      guard !blob.targets.isEmpty else {
        return fail(MessagingError(.notConnected, subject, cause: "its address is for clients of its own host only"))
      }
      pending = connector.connect(to: blob.targets, deadline: deadline) { [unowned self] in connected($0, subject, blob.server, deadline) }
    }
  }

  private func connected(
    _ outcome: consuming Result<FileDescriptor, ConnectError>, _ subject: String, _ server: ServerID, _ deadline: Instant
  ) {
    pending = nil
    switch consume outcome {
    case .failure(let error):
      let code: MessagingError.Code =
        switch error.stage {
        case .deadline: .deadlineExceeded
        case .cancelled: .cancelled
        case .resolve, .connect: .notConnected
        }
      fail(MessagingError(code, subject, cause: error.description))
    case .success(let descriptor):
      guard let engine else { return }
      do throws(SystemError) {
        link = try Link(
          descriptor, .client(expected: server), subject: subject, engine: engine, mailbox: mailbox, key: key, owner: self,
          deadline: deadline)
      } catch {
        fail(MessagingError(.notConnected, subject, cause: error.description))
      }
    }
  }

  private func fail(_ error: MessagingError) {
    let completion = completion
    self.completion = nil
    completion?(nil, error)
  }

  func cancel() {
    wasCancelled = true
    guard completion != nil else { return }
    pending?.cancel()
    pending = nil
    let link = link
    self.link = nil
    fail(MessagingError(.cancelled, "connect"))
    link?.close()
  }

  func linkWasEstablished(_ link: Link) {
    let completion = completion
    self.completion = nil
    completion?(link, nil)
  }

  func linkEnded(_ link: Link, _ error: MessagingError) {
    if self.link === link { self.link = nil }
    fail(error)
  }

  func closeNow() {
    guard !hasEnded else { return }
    hasEnded = true
    pending?.cancel()
    pending = nil
    link?.close()
    link = nil
    if !driver.isShutDown {
      unsafe driver.core.pointee.closeMailbox(mailbox)
      driver.settle()
    }
    fail(MessagingError(.closed, "connect", cause: "the client was closed"))
    registry.remove(self)
  }
}
