// What every test here needs: a loop on its own thread, a task that runs on it, and a way to wait there for callbacks.
import CLinux
import CausewayBase
import Glibc
import Testing

@testable import CausewayLinuxIO

/// Runs `body` as a task on a fresh loop's thread; handlers and callbacks run there too, so that plain objects may be shared.
func onLoop<R: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> R) async throws -> R {
  let thread = try EventLoopThread(name: "test loop")
  let result: Result<R, any Error> = await withTaskExecutorPreference(thread.loop) {
    do { return .success(try await body(thread.loop)) } catch { return .failure(error) }
  }
  await Task.yield()  // off the loop's thread, which cannot join itself
  thread.stop()
  return try result.get()
}

/// Values that callbacks put in and one task takes out, all on one loop.
final class Mailbox<T> {
  private var items: [T] = []
  private var waiter: CheckedContinuation<Void, Never>?
  var count: Int { items.count }

  func put(_ item: T) {
    items.append(item)
    waiter?.resume()
    waiter = nil
  }

  func next() async -> T {
    if items.isEmpty { await withCheckedContinuation { waiter = $0 } }
    return items.removeFirst()
  }
}

extension EventLoop {
  /// Waits on the loop.
  func pause(_ duration: Duration) async {
    let mailbox = Mailbox<Bool>()
    let timer = LoopTimer(self) { _ in mailbox.put(true) }
    timer.set(at: SystemClock.now + duration)
    _ = await mailbox.next()
    timer.cancel()
  }

  /// Lets the loop finish the present turn and the next one.
  func turnTwice() async {
    let mailbox = Mailbox<Bool>()
    let handler = ClosureHandler { _ in mailbox.put(true) }
    for _ in 0..<2 {
      runSoon(handler)
      _ = await mailbox.next()
    }
  }
}

final class ClosureHandler: EventHandler {
  private let body: (Readiness) -> Void
  init(_ body: @escaping (Readiness) -> Void) { self.body = body }
  func handle(_ readiness: Readiness) { body(readiness) }
}

final class ClosureTurnEnd: TurnEndHandler {
  private let body: () -> Void
  init(_ body: @escaping () -> Void) { self.body = body }
  func turnWillEnd() { body() }
}

/// A value that several threads touch one after the other, each handing over by a post or a join.
final class Shared<T>: @unchecked Sendable {
  var value: T
  init(_ value: T) { self.value = value }
}

func socketPair() -> (CInt, CInt) {
  var pair: [CInt] = [0, 0]
  let result = unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
  precondition(result == 0)
  return (pair[0], pair[1])
}

func blockingSocket(_ domain: CInt) -> CInt { socket(domain, CInt(SOCK_STREAM.rawValue), 0) }

func temporaryFolder() -> String {
  var template = Array("/tmp/causeway-test-XXXXXX".utf8CString)
  let made = unsafe mkdtemp(&template) != nil
  precondition(made)
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Two connected TCP sockets on loopback.
func tcpPair(_ loop: EventLoop) async throws -> (TCPStream, TCPStream) {
  let accepted = Mailbox<CInt>()
  let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted.put(descriptor.release()) }
  let client = try await Connector(on: loop).connect(to: [listener.address], timeout: .seconds(10))
  let server = await accepted.next()
  listener.close()
  return (try TCPStream(adopting: client, on: loop), try TCPStream(adopting: FileDescriptor(adopting: server), on: loop))
}
