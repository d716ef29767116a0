internal import CLinux
public import CausewayBase

/// Opens stream connections from one event loop: by name or address, with a deadline, to the first address that answers
/// (happy eyeballs, RFC 8305). The descriptors are non-blocking and have TCP_NODELAY.
public struct Connector {
  /// Runs on the loop, once, never inside the call that started it; not at all after `cancel`.
  public typealias Completion = (consuming Result<FileDescriptor, ConnectError>) -> Void

  public let loop: EventLoop
  public let resolver: Resolver
  /// How long an address has before the next one is tried beside it (RFC 8305 §5).
  public var attemptDelay = Duration.milliseconds(250)

  public init(on loop: EventLoop, resolver: Resolver = .shared) {
    self.loop = loop
    self.resolver = resolver
  }

  /// Resolves `host` (a name or a literal) and connects, all before `deadline`.
  @discardableResult
  public func connect(to host: String, port: UInt16, deadline: Instant, _ completion: @escaping Completion) -> PendingConnection {
    let target = SocketAddress.text(host: host, port: port)
    let pending = PendingConnection(self, target, deadline, completion)
    if let known = Resolver.addressesWithoutQuery(host, port: port) { pending.start(known) } else { pending.resolve(host, port) }
    return pending
  }

  @discardableResult
  public func connect(to address: SocketAddress, deadline: Instant, _ completion: @escaping Completion) -> PendingConnection {
    connect(to: [address], deadline: deadline, completion)
  }

  /// Connects to the first of several addresses of one service that answers; the first one's family is preferred.
  @discardableResult
  public func connect(to addresses: [SocketAddress], deadline: Instant, _ completion: @escaping Completion) -> PendingConnection {
    let pending = PendingConnection(self, addresses.first?.description ?? "no address", deadline, completion)
    pending.start(addresses)
    return pending
  }

  // MARK: For async code on the loop

  /// The same for a task that runs on the loop (by `withTaskExecutorPreference` or an actor's executor); it stays there.
  /// A cancelled task throws `.cancelled`.
  public func connect(to host: String, port: UInt16, timeout: Duration) async throws(ConnectError) -> FileDescriptor {
    try await wait { connect(to: host, port: port, deadline: loop.now + timeout, $0) }
  }

  public func connect(to addresses: [SocketAddress], timeout: Duration) async throws(ConnectError) -> FileDescriptor {
    try await wait { connect(to: addresses, deadline: loop.now + timeout, $0) }
  }

  private func wait(_ start: (@escaping Completion) -> PendingConnection) async throws(ConnectError) -> FileDescriptor {
    precondition(loop.isCurrent, "connect belongs on the connector's loop")
    let (box, loop) = (PendingBox(), self.loop)
    // A bare number crosses the continuation, which takes no ~Copyable value; it is owned again right behind it.
    let result: Result<CInt, ConnectError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        box.pending = start { outcome in
          switch consume outcome {
          case .success(let descriptor): continuation.resume(returning: .success(descriptor.release()))
          case .failure(let error): continuation.resume(returning: .failure(error))
          }
        }
        if box.isCancelled { box.pending?.failAsCancelled() }
      }
    } onCancel: {
      loop.post {
        box.isCancelled = true  // perhaps before there is anything to cancel
        box.pending?.failAsCancelled()
      }
    }
    switch result {
    case .success(let descriptor): return FileDescriptor(adopting: descriptor)
    case .failure(let error): throw error
    }
  }
}

// @unchecked Sendable: touched on the loop's thread only.
private final class PendingBox: @unchecked Sendable {
  var pending: PendingConnection?
  var isCancelled = false
}
