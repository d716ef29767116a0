import Testing

@testable import CausewayMessaging

@Suite("What is known of connections")
struct FiguresTests {
  /// A sample of the page, by its name and the labels behind the engine's.
  private func sample(_ page: String, _ name: String, _ labels: String = "") -> Double? {
    let lines = page.split(separator: "\n").filter { $0.hasPrefix("causeway_messaging_\(name){engine=\"messaging\"\(labels)} ") }
    return lines.count == 1 ? lines[0].split(separator: " ").last.flatMap { Double($0) } : nil
  }

  @Test("each connection has its series for Prometheus; a past one is in the sums only")
  func prometheus() async throws {
    let pair = try await Pair.connected()
    let other = try Client(on: pair.client.engine)
    try await other.connect(to: "127.0.0.1", port: try #require(pair.endpoint.addresses.local).port)
    for _ in 0..<3 { try await pair.client.send(pattern(100), tag: 1) }
    try await ignoring(.deadlineExceeded) { try await other.send(pattern(50_000), tag: 2, timeout: .milliseconds(1)) }
    _ = try await pair.server.receive(tag: 1)
    while try pair.server.probe(tag: 2) == nil { await Task.yield() }
    try await pair.client.flush()

    var page = try pair.server.engine.metrics()
    let labels = ",endpoint=\"\(pair.endpoint.id.rawValue)\",peer=\"\(pair.endpoint.remoteAddress)\""
    #expect(sample(page, "endpoints") == 2)
    #expect(sample(page, "endpoint_messages_total", labels + ",direction=\"received\"") == 3)
    #expect(sample(page, "endpoint_bytes_total", labels + ",direction=\"received\"") == 300)
    #expect(sample(page, "endpoint_unreceived_messages", labels) == 2)
    #expect(sample(page, "endpoint_unreceived_bytes", labels) == 512)
    #expect(sample(page, "endpoint_sends_in_flight", labels) == 0)
    #expect(sample(page, "unreceived_messages") == 3)
    #expect(sample(page, "messages_total", ",direction=\"received\"") == 4)
    #expect(page.contains("# TYPE causeway_messaging_endpoint_messages_total counter\n"))

    let port = try await pair.server.engine.serveMetrics(on: "127.0.0.1")
    let socket = try PlainSocket(port: port, sending: Array("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
    let answer = String(decoding: socket.readAll(), as: UTF8.self)
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(sample(answer, "endpoint_messages_total", labels + ",direction=\"received\"") == 3)

    try await ignoring(.deadlineExceeded) { try await other.close(timeout: .zero) }
    try await pair.client.close()
    while !pair.server.clients.isEmpty { await Task.yield() }
    page = try pair.server.engine.metrics()
    #expect(sample(page, "endpoint_messages_total", labels + ",direction=\"received\"") == nil)
    #expect(sample(page, "endpoints") == 0)
    #expect(sample(page, "messages_total", ",direction=\"received\"") == 4)
    try await pair.server.close()
    pair.server.engine.shutdown()
    pair.client.engine.shutdown()
    #expect(throws: Failed.self) { try PlainSocket(port: port, sending: []) }
  }

  @Test("more connections than there are series share the last one")
  func overflow() async throws {
    let pair = try await Pair.connected(tls: "posix")
    let metrics = EngineMetrics(pair.server.engine, endpointLimit: 1)
    let other = try Client(on: pair.client.engine)
    try await other.connect(to: "127.0.0.1", port: try #require(pair.endpoint.addresses.local).port)
    for client in [pair.client, other, other] { try await client.send([1, 2], tag: 1) }
    for _ in 0..<3 { _ = try await pair.server.receive(tag: 1) }
    let page = metrics.text()
    let direction = ",direction=\"received\""
    let own = [1, 2].filter { sample(page, "endpoint_messages_total", ",endpoint=\"other\",peer=\"other\"" + direction) == Double($0) }
    #expect(own.count == 1)
    #expect(page.split(separator: "\n").count { $0.hasPrefix("causeway_messaging_endpoint_messages_total{") } == 4)
    try await other.close()
    try await pair.close()
  }

  @Test("a connection whose place another one has answers with its own last figures, and knows no lanes")
  func reusedPlace() async throws {
    let pair = try await Pair.connected()
    for _ in 0..<5 { try await pair.client.send([1], tag: 1) }
    for _ in 0..<5 { _ = try await pair.server.receive(tag: 1) }
    #expect(pair.endpoint.isLiving && pair.client.isLiving)
    try await pair.client.close()
    while !pair.server.clients.isEmpty { await Task.yield() }
    let port = try #require(pair.endpoint.addresses.local).port
    // Places are reused last in, first out, as soon as UCX gave the old endpoint back.
    var clients: [Client] = []
    var other: Endpoint?
    while other == nil {
      let client = try Client(on: pair.client.engine)
      try await client.connect(to: "127.0.0.1", port: port)
      clients.append(client)
      other = pair.server.clients.first { $0.id.rawValue & 0xFFFFF == pair.endpoint.id.rawValue & 0xFFFFF }
    }
    #expect(try other?.transports().isEmpty == false)
    #expect(!pair.endpoint.isLiving && !pair.client.isLiving)
    for ended in [pair.endpoint, pair.client] as [MessagePort] {
      #expect(await code { _ = try ended.transports() } == .closed)
      #expect(await code { _ = try ended.routes() } == .closed)
      #expect(await code { _ = try ended.evaluatePerformance(of: 1) } == .closed)
    }
    #expect(try pair.endpoint.counters().messagesReceived == 5)
    #expect(try pair.client.counters().messagesSent == 5)
    #expect(try other?.counters().messagesReceived == 0)
    for client in clients { try await client.close() }
    try await pair.server.close()
    pair.client.engine.shutdown()
    pair.server.engine.shutdown()
  }

  @Test("both ends know their addresses", arguments: ["127.0.0.1", "::1"])
  func addresses(_ host: String) async throws {
    let engine = try Pair.engine()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    #expect(client.localAddress == nil)
    let port = try await server.listen(on: host)
    try await client.connect(to: host, port: port)
    let endpoint = try #require(await server.nextEndpoint())
    #expect(endpoint.localAddress == (host == "::1" ? "[::1]:\(port)" : "127.0.0.1:\(port)"))
    #expect(client.localAddress == endpoint.remoteAddress)
    #expect(client.addresses.remote?.port == port)
    let local = try Client(on: engine)
    try await local.connect(toAddress: try await server.listenAddress(tcp: false))
    #expect(local.localAddress == nil)
    for client in [client, local] { try await client.close() }
    try await server.close()
    engine.shutdown()
  }

  @Test("an endpoint that its server closes is gone from the server's clients, and keeps its number")
  func closedByServer() async throws {
    let pair = try await Pair.connected()
    let id = pair.endpoint.id
    try await pair.endpoint.close()
    #expect(pair.server.clients.isEmpty)
    #expect(pair.endpoint.id == id)
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .peerLost)
    try await pair.close()
  }

  @Test("a client that never connected has no figures")
  func unconnected() async throws {
    let engine = try Pair.engine()
    let client = try Client(on: engine)
    #expect(await code { _ = try client.counters() } == .notConnected)
    #expect(await code { _ = try client.transports() } == .closed)
    engine.shutdown()
  }
}
