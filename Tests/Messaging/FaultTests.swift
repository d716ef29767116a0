import Glibc
import Synchronization
import Testing

@testable import CausewayMessaging

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

  @Test(
    "a peer that dies while it writes into our memory stops nobody for long",
    arguments: ["posix", "sysv"], [ProgressMode.standard, .blocking])
  func killedWhileWriting(_ tls: String, _ mode: ProgressMode) async throws {
    let engine = try Pair.engine(tls: tls) { $0.progress = mode }
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    let witness = try Client(on: Pair.engine(tls: tls))
    try await witness.connect(to: "127.0.0.1", port: port)
    let endpoint = try #require(await server.nextEndpoint())
    try await witness.send(pattern(5000), tag: 4)
    try await witness.flush()
    let peer = try Peer("die-writing", "port=\(port)", "tls=\(tls)")
    #expect(try await server.receive(tag: 1, timeout: .seconds(20)).buffer.array() == [1])
    #expect(peer.line() == "")
    while server.clients.count > 1 { await Task.yield() }

    // What waits for the other peer ends, at both sides, and not by its deadline.
    let wait: Duration = .seconds(20)
    let waiting = Task { await code { _ = try await endpoint.receive(into: MessageBuffer(count: 8), tag: 3, timeout: wait) } }
    let sent = await code { try await witness.send([3], tag: 3, synchronous: true, timeout: wait) }
    #expect(sent == .peerLost)
    #expect(await waiting.value == .peerLost)
    // What had arrived before is there, and who comes is served.
    #expect(try await server.receive(tag: 4, timeout: wait).buffer.array() == pattern(5000))
    let client = try Client(on: witness.engine)
    try await client.connect(to: "127.0.0.1", port: port)
    for size in [1, 5000, 1 << 20] {
      async let received = server.receive(tag: 5, timeout: wait)
      try await client.send(pattern(size), tag: 5, synchronous: true, timeout: wait)
      #expect(try await received.buffer.array() == pattern(size))
    }
    try await client.close()
    try await server.close()
    witness.engine.shutdown()
    engine.shutdown()
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

  @Test("a program that drives and waits as it is told ends operations and handshakes in time")
  func manualDeadlines() async throws {
    let engine = try Pair.engine { $0.progress = .manual }
    let silent = try SilentListener()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    let ended = Box(false)
    let wait = Duration.milliseconds(20)
    let starts: [() -> Void] = [
      { server.receive(into: MessageBuffer(count: 1), tag: 1, timeout: wait) { _ in ended.value = true } },
      {
        // As other languages start theirs: without a turn.
        _ = unsafe server.start(
          receive: UnsafeMutableRawBufferPointer(start: nil, count: 0), allocates: true, drops: false, tag: 1, mask: .max, from: nil,
          timeout: 20_000_000, keeper: nil, to: .callback { _ in ended.value = true })
      },
      { client.connect(to: "127.0.0.1", port: silent.port, timeout: wait) { _ in ended.value = true } },
    ]
    for start in starts {
      try engine.progress()
      ended.value = false
      start()
      var turns = 0
      let begun = ContinuousClock.now
      while !ended.value {
        self.wait(engine)
        try engine.progress()
        turns += 1
        // What is told is never more than is left.
        let left = max(.zero, wait - (ContinuousClock.now - begun))
        if !ended.value { #expect(engine.timeUntilProgress <= left) }
      }
      #expect(turns < 1000, "it waits in between")
    }
    silent.close()
    engine.shutdown()
  }

  private func wait(_ engine: Engine) {
    var look = pollfd(fd: engine.descriptor, events: Int16(POLLIN), revents: 0)
    unsafe _ = poll(&look, 1, CInt((engine.timeUntilProgress / .milliseconds(1)).rounded(.up)))
  }

  @Test("a thousand connections leave no descriptor, thread or memory behind", arguments: ["all", "posix"])
  func cycles(_ tls: String) throws {
    let peer = try Peer("cycles", "tls=\(tls)", "count=1000")
    let (before, after) = (numbers(peer.line()), numbers(peer.line()))
    try #require(before.count == 3 && after.count == 3)
    #expect(after[0] <= before[0], "descriptors")
    #expect(after[1] <= before[1], "threads")
    #expect(after[2] <= before[2] + 4096, "KiB of memory, before \(before[2])")
  }

  @Test("what UCX keeps of closed TCP connections ends with the other engine")
  func cyclesOverTCP() throws {
    let peer = try Peer("cycles", "tls=tcp", "count=200")
    let (before, _, after) = (numbers(peer.line()), peer.line(), numbers(peer.line()))
    try #require(before.count == 3 && after.count == 3)
    #expect(after[0] <= before[0], "descriptors")
  }

  private func numbers(_ line: String) -> [Int] { line.split(separator: " ").compactMap { Int($0) } }

  @Test("in a forked child everything is refused, and the parent goes on")
  func fork() throws {
    let peer = try Peer("fork")
    var lines: [String] = []
    while case let line = peer.line(), !line.isEmpty { lines.append(line) }
    #expect(lines.suffix(2) == ["over", "the parent goes on"])
    #expect(lines.count == 13)
    for line in lines.dropLast(2) { #expect(line.hasSuffix(" used after a fork")) }
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
