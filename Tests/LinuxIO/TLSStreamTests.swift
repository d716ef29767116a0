import CLinux
import CausewayBase
import CausewayLinuxIO
import Testing

private let certificates = TLSFixture.shared
private func serverContext(_ pair: TLSFixture.Pair = certificates.server) throws -> TLSContext {
  try TLSContext(certificateChainFile: pair.certificate, keyFile: pair.key)
}
private func clientContext() throws -> TLSContext { try TLSContext(clientTrusting: .authorities(file: certificates.authority.certificate)) }

@Suite("TLS streams")
struct TLSStreamTests {
  let loop: EventLoop
  let client: TLSPeer
  let server: TLSPeer

  init() throws {
    loop = try EventLoop()
    (client, server) = try TLSTest.pair(loop)
  }

  private func start(_ name: String = "localhost", alpn: [String] = [], serverALPN: [String] = []) throws {
    try server.stream.startTLS(serverContext(), alpn: serverALPN)
    try client.stream.startTLS(clientContext(), serverName: name, alpn: alpn)
  }

  private func run(until done: @escaping () -> Bool) -> Bool { TLSTest.run(loop, [client, server], until: done) }

  @Test("8 MiB arrive unaltered in both directions at once, and both ends are orderly", arguments: [256 * 1024, 5000, 16384, 100_001])
  func bulk(_ piece: Int) throws {
    client.outgoing = TLSTest.body(8 << 20, seed: 1)
    server.outgoing = TLSTest.body(8 << 20, seed: 2)
    client.piece = piece
    server.piece = piece
    try start()
    #expect(client.stream.tlsState == .handshaking && !client.stream.isWritable && !client.stream.isReadable)
    let done = run { client.end != nil && server.end != nil }
    #expect(done)
    #expect(client.end == .end && server.end == .end)
    let (down, up) = (client.received == server.outgoing, server.received == client.outgoing)
    #expect(down && up)
    #expect(client.stream.tls?.protocolVersion == "TLSv1.3")
  }

  @Test("single bytes arrive, each in a write of its own")
  func singleBytes() throws {
    client.outgoing = TLSTest.body(2000, seed: 3)
    client.piece = 1
    try start()
    let done = run { server.end != nil }
    #expect(done)
    let same = server.received == client.outgoing
    #expect(same && server.end == .end)
  }

  @Test("a direction that is finished leaves the other one open", arguments: [true, false])
  func halfClose(_ clientFinishes: Bool) throws {
    let (first, second) = clientFinishes ? (client, server) : (server, client)
    first.outgoing = TLSTest.body(1000, seed: 4)
    second.outgoing = []
    second.finishesWhenSent = false
    let answer = TLSTest.body(3 << 20, seed: 5)
    try start()
    // The answer begins only after the other side's end has been seen.
    second.onReady = { peer in
      guard peer.end == .end, peer.outgoing.isEmpty else { return }
      peer.outgoing = answer
      peer.finishesWhenSent = true
    }
    let half = run { second.end != nil }
    #expect(half)
    let request = second.received == first.outgoing
    #expect(request && first.end == nil)
    second.streamIsReady(second.stream)
    let whole = run { first.end != nil }
    #expect(whole)
    let same = first.received == answer
    #expect(same && first.end == .end)
  }

  @Test("an end without close_notify is a failure, never an end", arguments: [true, false])
  func truncation(_ shutDownOnly: Bool) throws {
    server.finishesWhenSent = false
    client.finishesWhenSent = false
    server.outgoing = Array("half an answer".utf8)
    try start()
    let arrived = run { client.received.count == 14 }
    #expect(arrived)
    if shutDownOnly { shutdown(server.stream.fileDescriptor, CInt(SHUT_WR)) } else { server.stream.abort() }
    let done = run { client.end != nil }
    #expect(done)
    #expect(client.end == .failed(SystemError(ECONNRESET, shutDownOnly ? "TLS" : "recv")))
    #expect(client.failure?.code == .connectionCut)
  }

  @Test("close loses nothing that write had taken, even when the peer reads late")
  func closeDelivers() throws {
    server.finishesWhenSent = false
    client.finishesWhenSent = false
    client.readsPaused = true
    try start()
    let ready = run { client.wasEstablished && server.wasEstablished }
    #expect(ready)
    // Fill the kernel's buffers and the layer's.
    let body = TLSTest.body(32 << 20, seed: 6)
    var taken = 0
    while server.stream.isWritable {
      guard case .bytes(let count) = server.write(body[taken..<min(body.count, taken + 256 * 1024)]) else { break }
      taken += count
    }
    #expect(taken < body.count && taken > 0)
    let waiting = server.stream.unacknowledgedByteCount
    #expect(waiting > 0)
    server.stream.close()
    #expect(!server.stream.isOpen)
    client.readsPaused = false
    client.streamIsReady(client.stream)
    let done = run { client.end != nil }
    #expect(done)
    #expect(client.end == .end)
    #expect(client.received.count == taken)
    let same = client.received.elementsEqual(body.prefix(taken))
    #expect(same)
  }

  @Test("a stalled reader stops the writer, and what is taken stays bounded")
  func backPressure() throws {
    client.readsPaused = true
    server.outgoing = TLSTest.body(16 << 20, seed: 7)
    _ = shim_set_int_option(server.stream.fileDescriptor, SOL_SOCKET, SO_SNDBUF, 65536)
    _ = shim_set_int_option(client.stream.fileDescriptor, SOL_SOCKET, SO_RCVBUF, 65536)
    try start()
    let stopped = run { server.wasEstablished && !server.stream.isWritable }
    #expect(stopped)
    #expect(server.sent > 0 && server.sent < 2 << 20)
    if case .bytes(let more) = server.write(server.outgoing[..<10]) { #expect(more == 0) } else { Issue.record("write failed") }
    client.readsPaused = false
    client.streamIsReady(client.stream)
    let done = run { client.end != nil }
    #expect(done)
    let same = client.received == server.outgoing
    #expect(same && client.end == .end)
  }

  @Test("a head and a body share a record", arguments: [(1024, 2048), (100, 16284), (16384, 10), (20000, 20000), (300_000, 5)])
  func twoPieces(_ headCount: Int, _ bodyCount: Int) throws {
    let head = TLSTest.body(headCount, seed: 8)
    let body = TLSTest.body(bodyCount, seed: 9)
    server.finishesWhenSent = false
    try start()
    let ready = run { client.wasEstablished && server.wasEstablished }
    #expect(ready)
    let before = server.stream.unacknowledgedByteCount
    let outcome = server.stream.write(head.span, body.span)
    let taken = headCount + bodyCount
    #expect(outcome == .bytes(taken))
    let records = (taken + 16383) / 16384
    // 5 bytes of header, 1 of type, 16 of tag; loopback may have acknowledged some of it already.
    #expect(server.stream.unacknowledgedByteCount - before <= taken + 22 * records)
    server.stream.finishWriting()
    let done = run { client.end != nil }
    #expect(done)
    let same = client.received == head + body
    #expect(same)
    if taken <= 16384 { #expect(client.largestRead == taken) }
  }

  @Test(
    "the server's first protocol that the client offers is chosen (RFC 7301)",
    arguments: [
      (["http/1.1"], ["http/1.1"], "http/1.1"), (["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
      (["a", "b"], ["b", "a"], "b"), ([], ["http/1.1"], nil), (["h2"], [], nil),
    ] as [([String], [String], String?)])
  func alpn(_ offered: [String], _ ours: [String], _ chosen: String?) throws {
    try start(alpn: offered, serverALPN: ours)
    let done = run { client.wasEstablished && server.wasEstablished }
    #expect(done)
    #expect(client.stream.tls?.applicationProtocol == chosen)
    #expect(server.stream.tls?.applicationProtocol == chosen)
  }

  @Test("no protocol in common fails on both sides, with words")
  func alpnMismatch() throws {
    try start(alpn: ["h2"], serverALPN: ["http/1.1"])
    let done = run { client.failure != nil && server.failure != nil }
    #expect(done)
    #expect(client.failure?.code == .nothingInCommon && server.failure?.code == .nothingInCommon)
    #expect(client.failure?.message.contains("ALPN") == true)
  }

  @Test("the name asked for reaches the server, but an address is never sent as a name", arguments: ["tunnel.example", "127.0.0.1"])
  func serverName(_ name: String) throws {
    try start(name)
    let done = run { client.wasEstablished && server.wasEstablished }
    #expect(done)
    #expect(server.stream.tls?.serverName == (name == "127.0.0.1" ? nil : name))
  }

  @Test("a client that says nothing more than GET gets a clear failure at the server")
  func plainClient() throws {
    try server.stream.startTLS(serverContext())
    client.wasEstablished = true
    client.outgoing = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    client.streamIsReady(client.stream)
    let done = run { server.failure != nil }
    #expect(done)
    #expect(server.failure?.code == .notTLS)
    #expect(server.failure?.message.contains("plain HTTP") == true)
    #expect(server.end == .failed(SystemError(EPROTO, "TLS")))
  }

  @Test(
    "a server that answers in plain text is told from a broken one",
    arguments: ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example\r\n"])
  func plainServer(_ answer: String) throws {
    server.wasEstablished = true
    server.outgoing = Array(answer.utf8)
    server.streamIsReady(server.stream)
    try client.stream.startTLS(clientContext(), serverName: "localhost")
    let done = run { client.failure != nil }
    #expect(done)
    #expect(client.failure?.code == .notTLS)
    #expect(client.failure?.message.contains("localhost does not speak TLS") == true)
    #expect(client.failure?.message.contains("HTTP") == answer.hasPrefix("HTTP"))
  }

  @Test("a connection that ends within the handshake is a failure")
  func cutHandshake() throws {
    try client.stream.startTLS(clientContext(), serverName: "localhost")
    server.stream.close()
    let done = run { client.failure != nil }
    #expect(done)
    #expect(client.failure?.code == .connectionCut)
  }

  @Test("writes during the handshake take nothing and reads find nothing")
  func notYet() throws {
    try client.stream.startTLS(clientContext(), serverName: "localhost")
    let written = client.stream.write([1, 2, 3].span)
    #expect(written == .bytes(0))
    let read = client.stream.read(into: ByteBuffer())
    #expect(read == .wouldBlock)
    #expect(!client.stream.isReadable && !client.stream.isWritable)
  }

  @Test("garbage after the handshake fails the stream")
  func garbage() throws {
    server.finishesWhenSent = false
    client.finishesWhenSent = false
    try start()
    let ready = run { client.wasEstablished && server.wasEstablished }
    #expect(ready)
    let junk: [UInt8] = [23, 3, 3, 0, 40] + Array(repeating: 0x55, count: 40)
    let sent = unsafe junk.withUnsafeBytes { unsafe shim_send(server.stream.fileDescriptor, $0.baseAddress, $0.count, 0) }
    #expect(sent == junk.count)
    let done = run { client.failure != nil }
    #expect(done)
    #expect(client.failure?.code == .protocolViolation)
    #expect(client.end == .failed(SystemError(EPROTO, "TLS")))
  }
}
