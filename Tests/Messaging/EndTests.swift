import CausewayMessaging
import Testing

@Suite("How operations end")
struct EndTests {
  @Test("a deadline ends a receive, which leaves its memory alone then")
  func receiveDeadline() async throws {
    let pair = try await Pair.connected()
    let buffer = MessageBuffer(count: 4)
    #expect(await code { _ = try await pair.server.receive(into: buffer, tag: 1, timeout: .milliseconds(10)) } == .deadlineExceeded)
    try await pair.client.send([1, 2, 3, 4], tag: 1, synchronous: false)
    #expect(try await pair.server.receive(tag: 1).buffer.array() == [1, 2, 3, 4])
    #expect(buffer.array() == [0, 0, 0, 0])
    try await pair.close()
  }

  @Test("a cancelled task's receive ends, on the engine and off it", arguments: [true, false])
  func cancellation(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected()
    for _ in 0..<200 {
      let task = Task(executorPreference: onEngine ? pair.server.engine : nil) { await code { _ = try await pair.server.receive(tag: 1) } }
      await Task.yield()
      task.cancel()
      #expect(await task.value == .cancelled)
    }
    try await pair.client.send([1], tag: 1)
    #expect(try await pair.server.receive(tag: 1).received.byteCount == 1)
    try await pair.close()
  }

  @Test("cancelling races with completion, and one of both wins", arguments: [true, false])
  func cancellationRace(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected(tls: "posix")
    var cancelled = 0
    for index in 0..<1000 {
      let task = Task(executorPreference: onEngine ? pair.server.engine : nil) { try await pair.server.receive(tag: Tag(UInt64(index))) }
      async let sent: Void = pair.client.send([UInt8(index & 255)], tag: Tag(UInt64(index)))
      task.cancel()
      do { #expect(try await task.value.buffer.array() == [UInt8(index & 255)]) } catch {
        cancelled += 1
        // Nothing was lost.
        #expect(try await pair.server.receive(tag: Tag(UInt64(index))).buffer.array() == [UInt8(index & 255)])
      }
      try await sent
    }
    #expect(cancelled > 0)
    try await pair.close()
  }

  @Test("a rendezvous that nobody receives ends by its deadline; its buffer is free when the peer is gone", arguments: ["posix", "tcp"])
  func sendDeadline(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    #expect(await code { try await pair.client.send(pattern(1 << 20), tag: 1, timeout: .milliseconds(20)) } == .deadlineExceeded)
    #expect(await code { try await pair.client.flush(timeout: .milliseconds(20)) } == .deadlineExceeded)
    #expect(await code { try await pair.client.close(timeout: .zero) } == .deadlineExceeded)
    try await pair.server.close(timeout: .zero)
    pair.client.engine.shutdown()
    pair.server.engine.shutdown()
  }

  @Test("a synchronous send ends when it is matched, not before", arguments: [1, 100_000])
  func synchronous(_ size: Int) async throws {
    let pair = try await Pair.connected()
    #expect(
      await code { try await pair.client.send(pattern(size), tag: 1, synchronous: true, timeout: .milliseconds(20)) } == .deadlineExceeded)
    async let sent: Void = pair.client.send(pattern(size), tag: 2, synchronous: true)
    _ = try await pair.server.receive(tag: 2)
    try await sent
    _ = try await pair.server.receive(tag: 1)
    try await pair.close()
  }

  @Test("a flush ends when the peer has everything")
  func flush() async throws {
    let pair = try await Pair.connected()
    for index in 0..<100 { try await pair.client.send([UInt8(index)], tag: 1) }
    try await pair.client.flush()
    #expect(try pair.endpoint.counters().unreceivedMessages == 100)
    try await pair.server.flush()
    try await pair.close()
  }

  @Test("close ends what waits, again does nothing, and afterwards everything says so")
  func closing() async throws {
    let pair = try await Pair.connected()
    let waiting = Task { await code { _ = try await pair.client.receive(tag: 1) } }
    let serverWaits = Task { await code { _ = try await pair.server.receive(tag: 1) } }
    while try pair.client.engine.inFlight() == 0 { await Task.yield() }
    try await pair.client.close()
    try await pair.client.close()
    #expect(await waiting.value == .closed)
    #expect(await code { try await pair.client.send([1], tag: 1) } == .closed)
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .closed)
    #expect(await code { try await pair.client.connect(to: "127.0.0.1", port: 1) } == .closed)
    while !pair.server.clients.isEmpty { await Task.yield() }
    #expect(await code { try await pair.endpoint.send([1], tag: 1) } == .peerLost)
    try await pair.server.close()
    try await pair.server.close()
    #expect(await serverWaits.value == .closed)
    #expect(await code { _ = try await pair.server.receive(tag: 1) } == .closed)
    pair.client.engine.shutdown()
    pair.client.engine.shutdown()
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .closed)
    pair.server.engine.shutdown()
  }

  @Test("an engine's end ends everything on it")
  func shutdown() async throws {
    let pair = try await Pair.connected()
    let waiting = Task { await code { _ = try await pair.server.receive(tag: 1) } }
    let onEngine = Task(executorPreference: pair.server.engine) { await code { _ = try await pair.server.receive(tag: 2) } }
    while try pair.server.engine.inFlight() < 2 { await Task.yield() }
    pair.server.engine.shutdown()
    #expect(await waiting.value == .closed)
    #expect(await onEngine.value == .closed)
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .peerLost)
    pair.client.engine.shutdown()
  }

  @Test("after the engine's end nothing waits for its thread: everything says closed, and close ends", arguments: [false, true])
  func afterShutdown(_ isManual: Bool) async throws {
    let pair = try await Pair.connected()
    let engine = try Pair.engine { if isManual { $0.progress = .manual } }
    let (idle, server) = (try Client(on: engine), try Server(on: engine))
    for engine in [pair.client.engine, pair.server.engine, engine] { engine.shutdown() }
    try await pair.endpoint.close()
    try await pair.client.close()
    try await pair.server.close()
    #expect(await code { try await idle.connect(to: "127.0.0.1", port: 1) } == .closed)
    #expect(await code { _ = try await server.listen(on: "127.0.0.1") } == .closed)
    #expect(await code { _ = try await server.listenAddress() } == .closed)
    try await idle.close()
    try await server.close()
  }

  @Test("a sender that is never received is held, and goes on when it is", arguments: [64, 4096, 1 << 20])
  func flood(_ size: Int) async throws {
    let limit = 1 << 20
    let pair = try await Pair.connected(tls: "posix") {
      $0.unreceivedByteLimit = limit
      $0.maximumGrant = limit
      $0.inFlightLimit = 1000
    }
    let total = size > 100_000 ? 500 : 20_000
    let bytes = MessageBuffer(count: size)
    let sent = Counter()
    let flood = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<4 {
          group.addTask {
            for _ in 0..<total / 4 {
              try await pair.client.send(bytes, tag: 1)
              sent.add()
            }
          }
        }
        try await group.waitForAll()
      }
    }
    // Half of what the limit allows arrives unasked; what has no room waits with its sender.
    let unasked = size > 8192 ? 0 : limit / 2 / (size == 64 ? 128 : 8704)
    while sent.value < unasked { await Task.yield() }
    #expect(try pair.endpoint.counters().unreceivedByteCount <= limit)
    #expect(try pair.client.engine.inFlight() <= 1000)
    let into = MessageBuffer(count: size)
    for _ in 0..<total { #expect(try await pair.server.receive(into: into, tag: 1).byteCount == size) }
    try await flood.value
    try await pair.close()
  }
}
