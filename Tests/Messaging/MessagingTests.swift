import CausewayMessaging
import Testing

@Suite("Messages between two engines")
struct MessagingTests {
  @Test("messages of every protocol arrive whole", arguments: transports)
  func sizes(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    for (index, size) in [0, 1, 76, 100, 2048, 2049, 5000, 8000, 8168, 8169, 8192, 9000, 65536, 1 << 20].enumerated() {
      let bytes = pattern(size, index)
      // Before its receive, and behind it.
      async let sent: Void = pair.client.send(bytes, tag: 5)
      while try pair.server.probe(tag: 5) == nil { await Task.yield() }
      let (early, info) = try await pair.server.receive(tag: 5)
      try await sent
      #expect(info == Received(tag: 5, byteCount: size, sender: pair.endpoint.id))
      #expect(early.array() == bytes, "\(size) bytes over \(tls), unexpected")
      let into = MessageBuffer(count: size)
      async let received = pair.server.receive(into: into, tag: 6)
      try await pair.client.send(bytes, tag: 6, synchronous: true)
      #expect(try await received.byteCount == size)
      #expect(into.array() == bytes, "\(size) bytes over \(tls), expected")
    }
    try await pair.close()
  }

  @Test("both sides send and receive at once", arguments: ["posix", "tcp"])
  func duplex(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    let bytes = pattern(300_000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask { for _ in 0..<10 { try await pair.client.send(bytes, tag: 1) } }
        group.addTask { for _ in 0..<10 { try await pair.endpoint.send(bytes, tag: 2) } }
        group.addTask {
          for _ in 0..<10 {
            let (buffer, _) = try await pair.server.receive(tag: 1)
            #expect(buffer.array() == bytes)
          }
        }
        group.addTask {
          for _ in 0..<10 {
            let (buffer, _) = try await pair.client.receive(tag: 2)
            #expect(buffer.array() == bytes)
          }
        }
      }
      try await group.waitForAll()
    }
    try await pair.close()
  }

  @Test("messages of one endpoint match in the order they were sent")
  func order() async throws {
    let pair = try await Pair.connected()
    let sends = Counter()
    for index in 0..<200 {
      let bytes = MessageBuffer(pattern(index % 7 == 0 ? 20_000 : 8, index))
      pair.client.send(bytes, tag: Tag(UInt64(index))) { completion in if completion.isDone { sends.add() } }
    }
    for index in 0..<200 {
      let (buffer, info) = try await pair.server.receive(tag: 0, mask: .any)
      #expect(info.tag == Tag(UInt64(index)))
      #expect(buffer.array() == pattern(index % 7 == 0 ? 20_000 : 8, index))
    }
    try await pair.client.flush()
    #expect(sends.value == 200)
    try await pair.close()
  }

  @Test("a mask chooses which bits of a tag count")
  func masks() async throws {
    let pair = try await Pair.connected()
    try await pair.client.send([1], tag: 0xFFFF_0000_0000_0001)
    try await pair.client.send([2], tag: 0xFFFF_0000_0000_0002)
    try await pair.client.send([3], tag: 0x0000_0000_0000_0002)
    #expect(try await pair.server.receive(tag: 2, mask: TagMask(rawValue: 0xFF)).buffer.array() == [2])
    #expect(try await pair.server.receive(tag: 2).buffer.array() == [3])
    #expect(try await pair.server.receive(tag: 0xFFFF_0000_0000_0000, mask: TagMask(rawValue: 0xFFFF << 48)).buffer.array() == [1])
    try await pair.close()
  }

  @Test(
    "several pieces are one message",
    arguments: [
      [1, 2, 3], [0, 5000, 1], [100_000, 200_000], [], [0, 0, 0], [4084, 4084], [4084, 4085], [0, 8168, 0],
      [Int](repeating: 0, count: 3000) + [7], [Int](repeating: 1, count: 5000), [Int](repeating: 3, count: 20_000),
    ])
  func pieces(_ sizes: [Int]) async throws {
    let pair = try await Pair.connected()
    let whole = sizes.enumerated().flatMap { pattern($1, $0) }
    async let received = pair.server.receive(tag: 1)
    try await pair.client.send(sizes.enumerated().map { MessageBuffer(pattern($1, $0)) }, tag: 1)
    #expect(try await received.buffer.array() == whole)
    try await pair.close()
  }

  @Test("a message that is too long fails one receive, tells its length, and stays", arguments: [100, 5000, 100_000])
  func truncation(_ size: Int) async throws {
    let pair = try await Pair.connected()
    let bytes = pattern(size)
    let small = MessageBuffer(count: 10)
    // Posted before the message, then behind it.
    async let posted = pair.server.receive(into: small, tag: 3)
    async let sent: Void = pair.client.send(bytes, tag: 3)
    do {
      _ = try await posted
      Issue.record("a message of \(size) bytes in 10")
    } catch let error as MessagingError {
      #expect(error.code == .truncated)
      #expect(error.byteCount == size)
    }
    #expect(await code { _ = try await pair.server.receive(into: small, tag: 3) } == .truncated)
    #expect(try pair.server.probe(tag: 3)?.byteCount == size)
    #expect(try await pair.server.receive(tag: 3).buffer.array() == bytes)
    try await sent
    try await pair.close()
  }

  @Test("a receive takes only what its endpoint sent")
  func fromOneEndpoint() async throws {
    let pair = try await Pair.connected()
    let other = try Client(on: pair.client.engine)
    let port = try await pair.server.listen(on: "127.0.0.1")
    try await other.connect(to: "127.0.0.1", port: port)
    let second = try #require(await pair.server.nextEndpoint())
    try await pair.client.send([1], tag: 1)
    try await other.send([2], tag: 1)
    #expect(try await pair.server.receive(tag: 1, from: second).buffer.array() == [2])
    #expect(try await pair.endpoint.receive(tag: 1).buffer.array() == [1])
    // Nor does one object of an engine see another's.
    try await second.send([3], tag: 9)
    #expect(await code { _ = try await pair.client.receive(tag: 9, timeout: .milliseconds(20)) } == .deadlineExceeded)
    #expect(try await other.receive(tag: 9).buffer.array() == [3])
    try await other.close()
    try await pair.close()
  }

  @Test("tasks on the engine do the same without leaving its thread", arguments: ["posix", "tcp"])
  func onTheEngine(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    let echo = Task(executorPreference: pair.server.engine) {
      let buffer = MessageBuffer(count: 1 << 16)
      for _ in 0..<500 {
        let received = try await pair.server.receive(into: buffer, tag: 1)
        #expect(pair.server.engine.isCurrent)
        try await pair.endpoint.send(buffer, count: received.byteCount, tag: 2)
      }
    }
    let ping = Task(executorPreference: pair.client.engine) {
      for index in 0..<500 {
        let bytes = pattern(index * 100, index)
        try await pair.client.send(bytes, tag: 1)
        let (buffer, _) = try await pair.client.receive(tag: 2)
        #expect(buffer.array() == bytes)
      }
    }
    try await ping.value
    try await echo.value
    try await pair.close()
  }

  @Test("names, IPv4, IPv6 and port 0", arguments: ["localhost", "127.0.0.1", "::1"])
  func addresses(_ host: String) async throws {
    let engine = try Pair.engine()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    let port = try await server.listen(on: host)
    try await client.connect(to: host, port: port)
    try await client.send([7], tag: 1)
    #expect(try await server.receive(tag: 1).buffer.array() == [7])
    #expect(await code { _ = try await Server(on: engine).listen(on: host, port: port) } == .addressUnavailable)
    try await client.close()
    try await server.close()
    engine.shutdown()
  }

  @Test("each connection tells its lanes, its figures and an estimate", arguments: ["posix", "tcp"])
  func introspection(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    try await pair.client.send(pattern(1000), tag: 1)
    _ = try await pair.server.receive(tag: 1)
    #expect(try pair.client.transports().contains { $0.name == tls })
    #expect(try pair.endpoint.transports().contains { $0.name == tls })
    #expect(try pair.client.evaluatePerformance(of: 1 << 20) > .zero)
    #expect(try pair.client.counters().bytesSent == 1000)
    #expect(try pair.endpoint.counters().messagesReceived == 1)
    try await pair.close()
  }
}
