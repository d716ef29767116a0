import CausewayMessaging
import Glibc
import Synchronization
import Testing

/// A server and a client on engines of their own, connected.
struct Pair {
  let server: Server
  let client: Client
  /// The server's side of the client.
  let endpoint: Endpoint

  /// - Parameter tls: UCX's transports, or nil for its own choice.
  static func connected(tls: String? = nil, _ change: (inout Engine.Options) -> Void = { _ in }) async throws -> Pair {
    let (one, other) = (try engine(tls: tls, change), try engine(tls: tls, change))
    let server = try Server(on: one)
    let port = try await server.listen(on: "127.0.0.1")
    let client = try Client(on: other)
    try await client.connect(to: "127.0.0.1", port: port)
    let endpoint = try #require(await server.nextEndpoint())
    return Pair(server: server, client: client, endpoint: endpoint)
  }

  static func engine(tls: String? = nil, _ change: (inout Engine.Options) -> Void = { _ in }) throws -> Engine {
    var options = Engine.Options()
    if let tls { options.settings.append(("TLS", tls)) }
    change(&options)
    return try Engine(options)
  }

  func close() async throws {
    try await client.close()
    try await server.close()
    client.engine.shutdown()
    server.engine.shutdown()
  }
}

extension Server {
  func nextEndpoint() async -> Endpoint? {
    var iterator = endpoints.makeAsyncIterator()
    return await iterator.next()
  }
}

/// The transports that one host can test.
let transports = ["posix", "tcp", "posix,cma", "sysv,tcp"]

func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 7 &+ $0 >> 8) } }

/// The code of what `body` throws.
func code(_ body: () async throws -> Void) async -> MessagingError.Code? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? MessagingError)?.code
  }
}

/// Lets one code pass.
func ignoring(_ ignored: MessagingError.Code, _ body: () async throws -> Void) async throws {
  do { try await body() } catch let error as MessagingError where error.code == ignored {}
}

final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  func add() { count.add(1, ordering: .relaxed) }
  var value: Int { count.load(ordering: .relaxed) }
}

/// A thread that may block, which a task's must not.
final class Thread: Sendable {
  private let isOver = Mutex<(Bool, CheckedContinuation<Void, Never>?)>((false, nil))

  init(_ body: @escaping @Sendable () -> Void) {
    let start = Start {
      body()
      let waiting = self.isOver.withLock { state -> CheckedContinuation<Void, Never>? in
        state.0 = true
        return state.1
      }
      waiting?.resume()
    }
    var handle = pthread_t()
    let context = unsafe Unmanaged.passRetained(start).toOpaque()
    unsafe pthread_create(
      &handle, nil,
      { context in
        unsafe Unmanaged<Start>.fromOpaque(context!).takeRetainedValue().body()
        return nil
      }, context)
    pthread_detach(handle)
  }

  func join() async {
    await withCheckedContinuation { continuation in
      let isOver = isOver.withLock { state -> Bool in
        if !state.0 { state.1 = continuation }
        return state.0
      }
      if isOver { continuation.resume() }
    }
  }

  private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
