import CausewayMessaging
import Glibc
import Synchronization
import Testing

@Suite("Peers that die or stop", .serialized)
struct FaultTests {
  /// A server here, and a client in a process of its own.
  private func connected(_ tls: String, _ mode: ProgressMode, size: Int = 1) async throws -> (Server, Endpoint, Peer) {
    let engine = try Pair.engine(tls: tls) { $0.progress = mode }
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    let peer = try Peer("idle", "port=\(port)", "tls=\(tls)", "size=\(size)")
    let endpoint = try #require(await server.nextEndpoint())
    for tag in [1, 3] as [CausewayMessaging.Tag] { _ = try await server.receive(tag: tag) }
    #expect(peer.line() == "connected")
    return (server, endpoint, peer)
  }

  @Test(
    "everything that waits for a killed peer ends as peerLost, within 10 ms",
    arguments: ["posix", "tcp"], [ProgressMode.standard, .blocking, .busy(core: nil)])
  func kill(_ tls: String, _ mode: ProgressMode) async throws {
    var times: [Duration] = []
    // A busy machine delays any thread: the best of a few tells what the engine does.
    for _ in 0..<8 where times.min() ?? .seconds(1) > .milliseconds(10) {
      let (server, endpoint, peer) = try await connected(tls, mode, size: 1 << 20)
      let operations: [@Sendable () async throws -> Void] = [
        { _ = try await endpoint.receive(tag: 77) }, { try await endpoint.send(pattern(1 << 20), tag: 1) },
        { try await endpoint.send([1], tag: 1, synchronous: true) },
      ]
      let others = Task { await code { _ = try await server.receive(tag: 78, timeout: .seconds(30)) } }
      let waiting = operations.map { operation in
        Task { () -> (MessagingError.Code?, ContinuousClock.Instant) in
          let code = await code { try await operation() }
          return (code, .now)
        }
      }
      while try server.engine.inFlight() < 4 { await Task.yield() }
      let flushed = Box<Completion?>(nil)
      endpoint.flush { flushed.value = $0 }
      let start = ContinuousClock.now
      peer.kill()
      var last = start
      for task in waiting {
        let (code, time) = await task.value
        #expect(code == .peerLost)
        last = max(last, time)
      }
      times.append(last - start)
      while flushed.value == nil { await Task.yield() }
      #expect(flushed.value?.code == .peerLost)
      #expect(server.clients.isEmpty)
      #expect(await code { try await endpoint.send([1], tag: 1) } == .peerLost)
      // A receive of any endpoint goes on waiting.
      others.cancel()
      #expect(await others.value == .cancelled)
      try await server.close()
      server.engine.shutdown()
    }
    #expect(times.min()! <= .milliseconds(10), "\(times)")
  }

  @Test("a peer killed after it announced a rendezvous", arguments: ["posix", "tcp"])
  func killedWithRendezvous(_ tls: String) async throws {
    let (server, endpoint, peer) = try await connected(tls, .standard, size: 1 << 20)
    #expect(try endpoint.probe(tag: 2)?.byteCount == 1 << 20)
    peer.kill()
    while !server.clients.isEmpty { await Task.yield() }
    #expect(await code { _ = try await endpoint.receive(tag: 2) } == .peerLost)
    try await server.close()
    server.engine.shutdown()
  }

  @Test("a stopped peer is not dead: deadlines hold, and it goes on", arguments: ["posix", "tcp"])
  func stopped(_ tls: String) async throws {
    let (server, endpoint, peer) = try await connected(tls, .standard)
    peer.signal(SIGSTOP)
    #expect(await code { try await endpoint.send([1], tag: 1, synchronous: true, timeout: .milliseconds(30)) } == .deadlineExceeded)
    #expect(await code { try await endpoint.flush(timeout: .milliseconds(30)) } == .deadlineExceeded)
    #expect(server.clients.count == 1)
    peer.signal(SIGCONT)
    try await endpoint.flush(timeout: .seconds(10))
    peer.kill()
    try await server.close()
    server.engine.shutdown()
  }

  @Test("an engine that its program drives does the same, turn by turn", arguments: ["posix", "tcp"])
  func manual(_ tls: String) async throws {
    let engine = try Pair.engine(tls: tls) { $0.progress = .manual }
    let server = try Server(on: engine)
    let port = Box<UInt16?>(nil)
    server.listen(on: "127.0.0.1") { result in port.value = try? result.get() }
    while port.value == nil { try engine.progress() }
    let peer = try Peer("idle", "port=\(port.value!)", "tls=\(tls)")
    let (received, lost) = (Box<Completion?>(nil), Box<Completion?>(nil))
    let buffer = MessageBuffer(count: 8)
    server.receive(into: buffer, tag: 3) { received.value = $0 }
    while received.value == nil {
      wait(engine)
      try engine.progress()
    }
    let endpoint = try #require(server.clients.first)
    endpoint.receive(into: buffer, tag: 9) { lost.value = $0 }
    try engine.progress()
    peer.kill()
    try engine.progress()
    while lost.value == nil {
      wait(engine)
      try engine.progress()
    }
    #expect(lost.value?.code == .peerLost)
    engine.shutdown()
  }

  private func wait(_ engine: Engine) {
    var look = pollfd(fd: engine.descriptor, events: Int16(POLLIN), revents: 0)
    unsafe _ = poll(&look, 1, CInt(engine.timeUntilProgress / .milliseconds(1)))
  }

  @Test("connecting and closing leaves nothing behind")
  func cycles() async throws {
    let engines = (try Pair.engine(tls: "posix"), try Pair.engine(tls: "posix"))
    let server = try Server(on: engines.0)
    let port = try await server.listen(on: "127.0.0.1")
    func cycle() async throws {
      let client = try Client(on: engines.1)
      try await client.connect(to: "127.0.0.1", port: port)
      try await client.send([1], tag: 1)
      _ = try await server.receive(tag: 1)
      try await client.close()
    }
    for _ in 0..<20 { try await cycle() }
    while !server.clients.isEmpty { await Task.yield() }
    let (descriptors, threads) = (entries("/proc/self/fd"), entries("/proc/self/task"))
    for _ in 0..<200 { try await cycle() }
    while !server.clients.isEmpty { await Task.yield() }
    // Other suites run beside this one and open things of their own.
    #expect(entries("/proc/self/fd") < descriptors + 100)
    #expect(entries("/proc/self/task") < threads + 100)
    try await server.close()
    engines.0.shutdown()
    engines.1.shutdown()
  }
}

final class Box<Value: Sendable>: Sendable {
  private let content: Mutex<Value>
  init(_ value: Value) { content = Mutex(value) }
  var value: Value {
    get { content.withLock { $0 } }
    set { content.withLock { $0 = newValue } }
  }
}
