import CausewayMessaging
import Testing

@Suite("Many on one engine")
struct SelfTests {
  @Test("an engine sends itself messages of every size and class", arguments: [nil, "tcp", "posix"])
  func oneself(_ tls: String?) async throws {
    let engine = try Pair.engine(tls: tls)
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    try await client.connect(to: "::1", port: try await server.listen(on: "::1"))
    let endpoint = try #require(await server.nextEndpoint())
    let whole = MessageBuffer(pattern((2 << 20) + 1))
    let expected = whole.array()
    let eager = engine.eagerByteLimit
    for size in [0, 1, 40, 41, eager, eager + 1, (128 << 10) - 1, 128 << 10, (2 << 20) - 1, 2 << 20, (2 << 20) + 1] {
      for executor in [nil, engine] {
        let received = Task(executorPreference: executor) { try await server.receive(tag: 1) }
        try await Task(executorPreference: executor) { try await client.send(whole, count: size, tag: 1, synchronous: true) }.value
        #expect(try await received.value.buffer.array() == Array(expected[..<size]), "\(size) bytes")
      }
      let sent = Task { try await endpoint.send(whole, count: size, tag: 2) }
      while try client.probe(tag: 2) == nil { await Task.yield() }
      #expect(try await client.receive(tag: 2).buffer.array() == Array(expected[..<size]), "\(size) bytes back, unexpected")
      try await sent.value
    }
    engine.shutdown()
  }

  @Test("a hundred servers of an engine get their own messages, and no other's")
  func servers() async throws {
    let engine = try Pair.engine()
    var pairs: [(Server, Client)] = []
    for _ in 0..<100 {
      let (server, client) = (try Server(on: engine), try Client(on: engine))
      try await client.connect(toAddress: try await server.listenAddress(tcp: false))
      pairs.append((server, client))
    }
    for (index, (_, client)) in pairs.enumerated() { try await client.send([UInt8(index)], tag: 1) }
    for (index, (server, _)) in pairs.enumerated().reversed() {
      #expect(try await server.receive(tag: 0, mask: .any).buffer.array() == [UInt8(index)])
      #expect(try server.probe(tag: 0, mask: .any) == nil)
    }
    for (server, client) in pairs {
      try await client.close()
      try await server.close()
    }
    #expect(try engine.inFlight() == 0)
    engine.shutdown()
  }
}
