// What tests of shells share: a loop on its own thread, a task that runs on it, waiting there for what must come, and plain peers.
internal import CausewayBase
package import CausewayLinuxIO
internal import Glibc

/// Runs `body` as a task on a fresh loop's thread; handlers and callbacks run there too, so that plain objects may be shared.
package func onLoop<R: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> R) async throws -> R {
  let thread = try EventLoopThread(name: "test loop")
  let result: Result<R, any Error> = await withTaskExecutorPreference(thread.loop) {
    do { return .success(try await body(thread.loop)) } catch { return .failure(error) }
  }
  await Task.yield()  // off the loop's thread, which cannot join itself
  thread.stop()
  return try result.get()
}

extension EventLoop {
  /// Looks every millisecond whether `condition` holds, for at most `limit`. Whether it did.
  package func until(_ limit: Duration = .seconds(10), _ condition: () -> Bool) async -> Bool {
    let end = SystemClock.now + limit
    while !condition() {
      if SystemClock.now >= end { return false }
      await pause(.milliseconds(1))
    }
    return true
  }

  /// Waits on the loop.
  package func pause(_ duration: Duration) async {
    let waiter = Waiter()
    let timer = LoopTimer(self) { _ in waiter.resume() }
    timer.set(at: SystemClock.now + duration)
    await waiter.wait()
    timer.cancel()
  }
}

private final class Waiter {
  private var continuation: CheckedContinuation<Void, Never>?
  private var isDone = false

  func wait() async {
    if isDone { return }
    await withCheckedContinuation { continuation = $0 }
  }

  func resume() {
    isDone = true
    continuation?.resume()
    continuation = nil
  }
}

/// Two connected unix sockets as streams.
package func socketPair(on loop: EventLoop) throws -> (TCPStream, TCPStream) {
  var pair: [CInt] = [0, 0]
  let result = unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
  precondition(result == 0, "no socket pair")
  let first = try TCPStream(adopting: FileDescriptor(adopting: pair[0]), on: loop)
  return (first, try TCPStream(adopting: FileDescriptor(adopting: pair[1]), on: loop))
}

/// Two connected TCP sockets on loopback.
package func tcpPair(on loop: EventLoop) async throws -> (TCPStream, TCPStream) {
  var accepted: TCPStream?
  let listener = try Listener(.loopback4(port: 0), on: loop) { descriptor, _ in accepted = try? TCPStream(adopting: descriptor, on: loop) }
  let client = try await Connector(on: loop).connect(to: [listener.address], timeout: .seconds(10))
  let isAccepted = await loop.until { accepted != nil }
  precondition(isAccepted, "nobody accepted")
  listener.close()
  return (try TCPStream(adopting: client, on: loop), accepted!)
}

/// A folder that its user removes by the system's own cleaning: a test leaves a few bytes at most.
package func temporaryFolder() -> String {
  var template = Array("/tmp/causeway-test-XXXXXX".utf8CString)
  let made = unsafe mkdtemp(&template) != nil
  precondition(made, "no folder in /tmp")
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
