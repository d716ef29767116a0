import CausewayMessaging
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

final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  func add() { count.add(1, ordering: .relaxed) }
  var value: Int { count.load(ordering: .relaxed) }
}
