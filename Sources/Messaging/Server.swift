internal import CausewayBase
internal import CausewayLinuxIO
internal import CausewayMessagingCore
internal import Synchronization

/// Accepts clients. Its receives take messages of any of its endpoints.
public final class Server: MessageReceiver, @unchecked Sendable {
  let core: ServerCore

  public init(on engine: Engine) throws(MessagingError) {
    try engine.checkFork("server")
    let driver = engine.driver
    let mailbox = driver.asGuest { unsafe driver.core.pointee.openMailbox(.server) }
    core = ServerCore(engine, mailbox)
    super.init(engine, mailbox, from: nil, subject: "server")
  }

  deinit { engine.end(core) }

  /// Listens on a name or an address; port 0 lets the system choose. Returns the port.
  /// - Parameter key: What clients must know.
  @discardableResult
  public func listen(on host: String, port: UInt16 = 0, key: MessagingKey? = nil) async throws(MessagingError) -> UInt16 {
    try engine.checkFork("listen on \(SocketAddress.text(host: host, port: port))")
    let (core, engine) = (core, engine)
    let result: Result<UInt16, MessagingError> = await withCheckedContinuation { continuation in
      engine.onThread { core.listen(host, port, key) { continuation.resume(returning: $0) } }
    }
    return try result.get()
  }

  /// The same with a callback on the engine's thread.
  public func listen(
    on host: String, port: UInt16 = 0, key: MessagingKey? = nil, completion: @escaping @Sendable (Result<UInt16, MessagingError>) -> Void
  ) {
    let core = core
    if engine.isForked { return completion(.failure(Completion(.forked).error("listen"))) }
    engine.onThread { core.listen(host, port, key, completion) }
  }

  /// Listens where only somebody with the returned bytes looks: on an abstract unix socket for clients of this host and, with `tcp`, on
  /// a port of the system's choice for others. The bytes go to `Client.connect(toAddress:)` by whatever way the program has.
  public func listenAddress(tcp: Bool = true, key: MessagingKey? = nil) async throws(MessagingError) -> [UInt8] {
    try engine.checkFork("listenAddress")
    let (core, engine) = (core, engine)
    let result: Result<[UInt8], MessagingError> = await withCheckedContinuation { continuation in
      engine.onThread { continuation.resume(returning: core.listenAddress(tcp, key)) }
    }
    return try result.get()
  }

  /// The endpoints that are connected now, in no order.
  public var clients: [Endpoint] { core.clients.withLock { Array($0.values) } }

  public func endpoint(_ id: EndpointID) -> Endpoint? { core.clients.withLock { $0[id] } }

  /// Endpoints as they are accepted, those from before the first `for await` too; of those that nobody takes the newest
  /// `ServerCore.untakenLimit`. For one consumer. It ends when the server is closed.
  public var endpoints: AsyncStream<Endpoint> { core.stream }

  /// Called on the engine's thread for each accepted endpoint, beside `endpoints`.
  public func onAccept(_ callback: (@Sendable (Endpoint) -> Void)?) { core.onAccept.withLock { $0 = callback } }

  /// Flushes for at most `timeout`, then closes listeners and endpoints. What waits ends as `closed`. Again does nothing.
  public func close(timeout: Duration? = .seconds(5)) async throws(MessagingError) {
    try engine.checkFork("close of the server")
    if core.isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    var failure: MessagingError?
    if core.clients.withLock({ !$0.isEmpty }) {
      do throws(MessagingError) { try await flush(nil, timeout) } catch { failure = error }
    }
    await withCheckedContinuation { continuation in engine.end(core) { continuation.resume() } }
    // Peers that are gone have nothing left to wait for.
    if let failure, failure.code != .peerLost, failure.code != .closed { throw failure }
  }
}

/// A server's listeners and links. Everything but the atomics and mutexes is of the engine's thread.
// @unchecked Sendable: see above.
final class ServerCore: LinkOwner, Closable, @unchecked Sendable {
  /// Connections without a proof yet, of all and of one address; the oldest makes room.
  static let strangerLimit = 64
  static let strangersOfOneAddress = 16
  /// Accepted endpoints that wait for a consumer of `endpoints`; the oldest makes room, and is among `clients` all the same.
  static let untakenLimit = 1024

  let clients = Mutex<[EndpointID: Endpoint]>([:])
  let onAccept = Mutex<(@Sendable (Endpoint) -> Void)?>(nil)
  let isClosed = Atomic<Bool>(false)
  let stream: AsyncStream<Endpoint>
  private let accepted: AsyncStream<Endpoint>.Continuation
  // Whoever uses a server holds its engine; at the end of both there is none to come back to.
  private weak var engine: Engine?
  private let registry: Registry
  private let driver: Driver
  private let mailbox: MailboxID
  private let id = ServerID.random()
  private var listening: [PendingListen] = []
  private var listeners: [Listener] = []
  private var strangers: [(link: Link, host: String)] = []
  private var links: [ObjectIdentifier: Link] = [:]
  private var hasEnded = false

  init(_ engine: Engine, _ mailbox: MailboxID) {
    self.engine = engine
    registry = engine.registry
    driver = engine.driver
    self.mailbox = mailbox
    (stream, accepted) = AsyncStream.makeStream(of: Endpoint.self, bufferingPolicy: .bufferingNewest(Self.untakenLimit))
    let driver = driver
    let registry = engine.registry
    driver.loop.post { registry.add(self) }
  }

  func listen(
    _ host: String, _ port: UInt16, _ key: MessagingKey?, _ completion: @escaping @Sendable (Result<UInt16, MessagingError>) -> Void
  ) {
    let subject = "listen on \(SocketAddress.text(host: host, port: port))"
    if hasEnded || driver.isShutDown { return completion(.failure(Completion(.closed).error(subject))) }
    let pending = PendingListen(completion)
    listening.append(pending)
    pending.lookup = Resolver.shared.resolve(host, port: port, on: driver.loop) { [self] answer in
      listening.removeAll { $0 === pending }
      switch answer {
      case .failure(let error): completion(.failure(MessagingError(.addressUnavailable, subject, cause: "\(error)")))
      case .success(let addresses):
        guard let address = addresses.first else {
          return completion(.failure(MessagingError(.addressUnavailable, subject, cause: "the name has no address")))
        }
        completion(open(address, key, subject).map { $0.port })
      }
    }
  }

  /// A listen whose name is being looked up. A cancelled look-up answers no more.
  private final class PendingListen {
    let completion: (Result<UInt16, MessagingError>) -> Void
    var lookup: Lookup?
    init(_ completion: @escaping (Result<UInt16, MessagingError>) -> Void) { self.completion = completion }
  }

  func listenAddress(_ tcp: Bool, _ key: MessagingKey?) -> Result<[UInt8], MessagingError> {
    guard !hasEnded, !driver.isShutDown, let engine else { return .failure(Completion(.closed).error("listenAddress")) }
    let name = "causeway-messaging-" + id.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    guard let local = SocketAddress.abstract(name) else { return .failure(MessagingError(.addressUnavailable, "listenAddress")) }
    if case .failure(let error) = open(local, key, "listenAddress") { return .failure(error) }
    var port: UInt16 = 0
    if tcp {
      switch open(.any6(port: 0), key, "listenAddress").flatMapError({ _ in open(.any4(port: 0), key, "listenAddress") }) {
      case .success(let address): port = address.port
      case .failure(let error): return .failure(error)
      }
    }
    let blob = AddressBlob(
      ucxMajor: UInt16(clamping: engine.library.major), ucxMinor: UInt16(clamping: engine.library.minor), server: id,
      host: AddressBlob.thisHost, name: name, port: port, addresses: tcp ? AddressBlob.interfaceAddresses() : [])
    return .success(blob.encoded)
  }

  private func open(_ address: SocketAddress, _ key: MessagingKey?, _ subject: String) -> Result<SocketAddress, MessagingError> {
    do throws(SystemError) {
      var options = Listener.Options()
      options.backlog = 1024
      let listener = try Listener(address, options: options, on: driver.loop) { [unowned self] descriptor, peer in
        accept(descriptor, peer, key)
      }
      listeners.append(listener)
      return .success(listener.address)
    } catch {
      return .failure(MessagingError(.addressUnavailable, subject, cause: error.message))
    }
  }

  private func accept(_ descriptor: consuming FileDescriptor, _ peer: SocketAddress, _ key: MessagingKey?) {
    guard let engine else { return }
    let host = peer.family == .unix ? "unix" : peer.host
    let subject = peer.family == .unix ? "client on this host" : "\(peer)"
    if strangers.count >= Self.strangerLimit { strangers[0].link.close() }
    if strangers.count(where: { $0.host == host }) >= Self.strangersOfOneAddress, let oldest = strangers.first(where: { $0.host == host }) {
      oldest.link.close()
    }
    // A socket that fails here is closed by its owner.
    guard
      let link = try? Link(
        descriptor, .server(id), subject: subject, engine: engine, mailbox: mailbox, key: key, owner: self,
        deadline: driver.loop.now + Link.handshakeLimit)
    else { return }
    strangers.append((link, host))
  }

  // MARK: Links

  func linkWasEstablished(_ link: Link) {
    strangers.removeAll { $0.link === link }
    guard let connection = link.connection, let engine else { return }
    links[ObjectIdentifier(link)] = link
    let endpoint = Endpoint(link, connection, engine: engine, mailbox: mailbox, remoteAddress: link.subject)
    link.endpoint = endpoint
    clients.withLock { $0[endpoint.id] = endpoint }
    accepted.yield(endpoint)
    let callback = onAccept.withLock { $0 }
    callback?(endpoint)
  }

  func linkEnded(_ link: Link, _ error: MessagingError) {
    strangers.removeAll { $0.link === link }
    links[ObjectIdentifier(link)] = nil
    guard let endpoint = link.endpoint else { return }
    clients.withLock { $0[endpoint.id] = nil }
    if error.code == .closed { endpoint.forgetConnection() }
  }

  func closeNow() {
    guard !hasEnded else { return }
    hasEnded = true
    isClosed.store(true, ordering: .releasing)
    let refused = listening
    listening = []
    for pending in refused {
      pending.lookup?.cancel()
      pending.completion(.failure(MessagingError(.closed, "listen", cause: "the server was closed")))
    }
    for listener in listeners { listener.close() }
    listeners = []
    for link in strangers.map(\.link) + Array(links.values) { link.close() }
    if !driver.isShutDown {
      unsafe driver.core.pointee.closeMailbox(mailbox)
      driver.settle()
    }
    accepted.finish()
    registry.remove(self)
  }
}
