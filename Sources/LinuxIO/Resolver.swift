internal import CLinux
public import CausewayBase
internal import Glibc

/// Why a name has no address.
public enum ResolveError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The name does not exist or has no address: trying again soon will not help.
  case noSuchHost
  /// No name server answered, or it failed: try again.
  case temporaryFailure
  /// getaddrinfo(3)'s code for anything else.
  case failed(code: Int32)
  /// More look-ups wait than `Resolver.queueLimit`.
  case overloaded
  case deadline

  public var description: String {
    switch self {
    case .noSuchHost: "no such host"
    case .temporaryFailure: "the name servers do not answer"
    case .failed(let code): unsafe String(cString: gai_strerror(code))
    case .overloaded: "too many look-ups at once"
    case .deadline: "no answer in time"
    }
  }
}

/// Looks names up with getaddrinfo(3), so with what /etc/nsswitch.conf says, on a few threads of its own; answers come to the loop
/// that asked. Threads start when needed and end when idle. Nothing is cached.
// @unchecked Sendable: `waiting`, `threadCount` and `idleCount` are behind `gate`; the rest is constant.
public final class Resolver: @unchecked Sendable {
  /// Look-ups that may wait for a thread; more are refused as `.overloaded`.
  public static let queueLimit = 1024
  /// Addresses taken from one answer.
  public static let addressLimit = 32
  public static let shared = Resolver()

  typealias Query = @Sendable (_ host: String) -> Result<[SocketAddress], ResolveError>

  private let threadLimit: Int
  private let idleLimit: Duration
  private let query: Query
  private let gate = Gate()
  private var waiting: [Lookup] = []
  private var threadCount = 0
  private var idleCount = 0

  public convenience init(threadLimit: Int = 4) { self.init(threadLimit: threadLimit, idleLimit: .seconds(5), query: Resolver.system) }

  init(threadLimit: Int, idleLimit: Duration, query: @escaping Query) {
    precondition(threadLimit > 0, "a resolver needs a thread")
    self.threadLimit = threadLimit
    self.idleLimit = idleLimit
    self.query = query
  }

  /// Threads alive now.
  var currentThreadCount: Int { gate.withLock { threadCount } }

  /// Asks for the addresses of `host`, each with `port`, in the system's order. On `loop`'s thread. `completion` runs there once,
  /// never inside this call, and not at all after `cancel`. Literals and localhost (RFC 6761 §6.3) need no thread.
  @discardableResult
  public func resolve(
    _ host: String, port: UInt16, deadline: Instant = .distantFuture, on loop: EventLoop,
    _ completion: @escaping (Result<[SocketAddress], ResolveError>) -> Void
  ) -> Lookup {
    let lookup = Lookup(host, port, loop, completion)
    if let known = Self.addressesWithoutQuery(host, port: port) {
      lookup.finishSoon(.success(known))
    } else if host.isEmpty || host.utf8.count > 254 || host.utf8.contains(0) {
      lookup.finishSoon(.failure(.noSuchHost))
    } else {
      lookup.watch(deadline)
      if let refusal = submit(lookup) { lookup.finishSoon(.failure(refusal)) }
    }
    return lookup
  }

  /// The addresses of a literal or of localhost; nil for a name that must be looked up.
  public static func addressesWithoutQuery(_ host: String, port: UInt16) -> [SocketAddress]? {
    if let literal = SocketAddress(literal: host, port: port) { return [literal] }
    var name = host.lowercased()[...]
    if name.hasSuffix(".") { name = name.dropLast() }
    if name == "localhost" || name.hasSuffix(".localhost") { return [.loopback6(port: port), .loopback4(port: port)] }
    return nil
  }

  /// Queues the look-up and sees to a thread for it. Returns why it cannot.
  private func submit(_ lookup: Lookup) -> ResolveError? {
    gate.lock()
    defer { gate.unlock() }
    // Cancelled ones make room first.
    if waiting.count >= Self.queueLimit { waiting.removeAll { $0.isAbandoned } }
    guard waiting.count < Self.queueLimit else { return .overloaded }
    waiting.append(lookup)
    if idleCount >= waiting.count {
      gate.wakeOne()
    } else if threadCount < threadLimit {
      threadCount += 1
      do throws(SystemError) {
        _ = try Thread(name: "resolver", detached: true) { self.work() }
      } catch {
        threadCount -= 1
        if threadCount == 0 {
          waiting.removeLast()
          return .temporaryFailure
        }
      }
    }
    return nil
  }

  private func work() {
    gate.lock()
    while true {
      if waiting.isEmpty {
        idleCount += 1
        let woken = gate.wait(atMost: idleLimit)
        idleCount -= 1
        if waiting.isEmpty && !woken { break }
        continue
      }
      let lookup = waiting.removeFirst()
      gate.unlock()
      if !lookup.isAbandoned { lookup.deliver(query(lookup.host)) }
      gate.lock()
    }
    threadCount -= 1
    gate.unlock()
  }

  /// Blocks the calling thread, for as long as the system's resolver likes (often 10 s).
  static let system: Query = { host in
    var found = [shim_address](repeating: shim_address(), count: addressLimit)
    var detail: CInt = 0
    // SAFETY: the array holds `addressLimit` elements.
    let count = unsafe shim_resolve(host, &found, CInt(addressLimit), &detail)
    switch count {
    case 0...: return .success(found[..<Int(count)].map { SocketAddress($0) })
    case CInt(SHIM_RESOLVE_NO_SUCH_HOST): return .failure(.noSuchHost)
    case CInt(SHIM_RESOLVE_TEMPORARY), CInt(SHIM_RESOLVE_SYSTEM): return .failure(.temporaryFailure)
    default: return .failure(.failed(code: detail))
    }
  }
}
