// CausewayMessagingC: the C ABI of Messaging, declared in Sources/C/CMessaging/include/causeway_messaging.h. It translates and decides
// nothing: handles are retained boxes, misuse is answered with a code. No Foundation, so that the library is small. Start with
// causeway_messaging.h; then Handles, Errors, Engine, Queue, Server, Client, Messages, Endpoint.
internal import CMessaging
internal import CausewayMessaging
internal import Synchronization

/// An engine, and how many operations its users have under way.
// @unchecked Sendable: constants and an atomic.
final class EngineBox: @unchecked Sendable {
  let engine: Engine
  let limit: Int
  private let underWay = Atomic<Int>(0)

  init(_ engine: Engine) {
    self.engine = engine
    limit = engine.options.inFlightLimit
  }

  /// Room for so many operations' ends. Receives leave some of it to the sends that they wait for.
  func reserve(_ count: Int = 1, receives: Bool = false) -> Bool {
    // Acquires what `giveBack` releases: a place in a queue is no longer read when it is written again.
    if underWay.add(count, ordering: .acquiring).newValue <= (receives ? limit - limit / 16 : limit) { return true }
    underWay.subtract(count, ordering: .relaxed)
    return false
  }

  /// For what is not counted against the limit, but given back all the same.
  func reserveAnyway() { underWay.add(1, ordering: .relaxed) }

  func giveBack(_ count: Int) { underWay.subtract(count, ordering: .releasing) }
}

// @unchecked Sendable: constants and a mutex.
final class QueueBox: @unchecked Sendable {
  let owner: EngineBox
  let queue: CompletionQueue
  /// Accepted endpoints that wait to be taken; beyond it the oldest is forgotten.
  static let acceptedLimit = 4096
  /// The endpoints of its entries that tell of one, in the same order.
  let accepted = Mutex<[EndpointBox]>([])

  init(_ owner: EngineBox, _ queue: CompletionQueue) {
    self.owner = owner
    self.queue = queue
  }
}

/// A connection, of a server or a client.
// @unchecked Sendable: constants.
final class EndpointBox: @unchecked Sendable {
  private static let count = Atomic<UInt64>(0)
  let owner: EngineBox
  let port: MessagePort
  let id = EndpointBox.count.add(1, ordering: .relaxed).newValue

  init(_ owner: EngineBox, _ port: MessagePort) {
    self.owner = owner
    self.port = port
  }

  /// Of a server's connection.
  var endpoint: Endpoint? { port as? Endpoint }
}

// @unchecked Sendable: constants and a mutex.
final class ServerBox: @unchecked Sendable {
  let owner: EngineBox
  let server: Server
  let state = Mutex(State())

  struct State {
    var port: UInt16 = 0
    var address: [UInt8] = []
    var isClosed = false
    var boxes: [EndpointID: EndpointBox] = [:]
    /// How many there may be before those of past connections are forgotten.
    var boxLimit = 64
  }

  init(_ owner: EngineBox, _ server: Server) {
    self.owner = owner
    self.server = server
  }

  /// The box of one of its endpoints, the same each time.
  func box(_ endpoint: Endpoint) -> EndpointBox {
    state.withLock { state in
      if let known = state.boxes[endpoint.id], known.port === endpoint { return known }
      if state.boxes.count >= state.boxLimit {
        let ids = Set(server.clients.map(\.id))
        state.boxes = state.boxes.filter { ids.contains($0.key) }
        state.boxLimit = max(64, 2 * state.boxes.count)
      }
      let box = EndpointBox(owner, endpoint)
      state.boxes[endpoint.id] = box
      return box
    }
  }

  /// The boxes of those connected; others are forgotten.
  func boxes() -> [EndpointBox] {
    let endpoints = server.clients
    let all = endpoints.map { box($0) }
    let ids = Set(endpoints.map(\.id))
    state.withLock { state in state.boxes = state.boxes.filter { ids.contains($0.key) } }
    return all
  }
}

// @unchecked Sendable: constants and a mutex.
final class ClientBox: @unchecked Sendable {
  let owner: EngineBox
  let client: Client
  let endpoint: EndpointBox
  let state = Mutex(State())

  struct State {
    var isConnecting = false
    var failure: MessagingError?
    var isClosed = false
  }

  init(_ owner: EngineBox, _ client: Client) {
    self.owner = owner
    self.client = client
    endpoint = EndpointBox(owner, client)
  }
}

/// A handle's object, without a change of its count.
@inline(__always) func unbox<T: AnyObject>(_ handle: OpaquePointer?, _ type: T.Type) -> T? {
  guard let handle = unsafe handle else { return nil }
  // SAFETY: the caller's handle came from `box` for the same type and was not freed: the header asks for it.
  return unsafe Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

@inline(__always) func box<T: AnyObject>(_ object: T) -> OpaquePointer {
  unsafe OpaquePointer(Unmanaged.passRetained(object).toOpaque())
}

@inline(__always) func unretain<T: AnyObject>(_ handle: OpaquePointer?, _ type: T.Type) -> T? {
  guard let handle = unsafe handle else { return nil }
  // SAFETY: as above; the handle's own count ends here.
  return unsafe Unmanaged<T>.fromOpaque(UnsafeRawPointer(handle)).takeRetainedValue()
}
