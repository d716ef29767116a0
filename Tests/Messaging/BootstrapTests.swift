import CausewayBase
import CausewayLinuxIO
import CausewayMessagingCore
import Testing

@testable import CausewayMessaging

@Suite("Finding and refusing each other")
struct BootstrapTests {
  static let key = [UInt8]("a key that is long enough".utf8)
  static let other = [UInt8]("another key, just as long".utf8)

  @Test(
    "both sides need the same key, or none",
    arguments: [(key, key, nil), (key, other, .authenticationFailed), (key, nil, .authenticationFailed), (nil, key, .authenticationFailed)]
      as [([UInt8]?, [UInt8]?, MessagingError.Code?)])
  func keys(_ servers: [UInt8]?, _ clients: [UInt8]?, _ expected: MessagingError.Code?) async throws {
    let engine = try Pair.engine()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    let port = try await server.listen(on: "127.0.0.1", key: try servers.map { try MessagingKey($0) })
    let key = try clients.map { try MessagingKey($0) }
    #expect(await code { try await client.connect(to: "127.0.0.1", port: port, key: key) } == expected)
    if expected == nil {
      try await client.send([1], tag: 1)
      #expect(try await server.receive(tag: 1).buffer.array() == [1])
    } else {
      #expect(server.clients.isEmpty)
    }
    try await client.close()
    try await server.close()
    engine.shutdown()
  }

  @Test("an address of bytes leads to its server and to no other", arguments: [true, false])
  func blobs(_ tcp: Bool) async throws {
    let engine = try Pair.engine()
    let (server, client) = (try Server(on: engine), try Client(on: engine))
    let address = try await server.listenAddress(tcp: tcp)
    try await client.connect(toAddress: address)
    try await client.send([1], tag: 1)
    #expect(try await server.receive(tag: 1).buffer.array() == [1])
    // Its server is gone, somebody else listens on the port.
    var blob = try AddressBlob.decode(address).get()
    let imposter = try Server(on: engine)
    blob.port = try await imposter.listen(on: "127.0.0.1")
    blob.addresses = [.loopback4(port: 0)]
    blob.host = [UInt8](repeating: 0, count: 16)
    let misled = try Client(on: engine)
    #expect(await code { try await misled.connect(toAddress: blob.encoded) } == .notConnected)
    try await client.close()
    engine.shutdown()
  }

  @Test(
    "what is no address is refused in one line",
    arguments: [[], [1, 2, 3], [UInt8]("CWMA".utf8), [UInt8]("CWMA\u{2}".utf8), [UInt8](repeating: 7, count: 200)])
  func garbageBlobs(_ bytes: [UInt8]) async throws {
    guard case .failure(let error) = AddressBlob.decode(bytes) else {
      Issue.record("decoded")
      return
    }
    #expect(error.code == .invalidArgument)
    #expect(!error.description.contains("\n"))
  }

  @Test("an address survives its bytes, and every cut of them is refused")
  func blobRoundTrip() throws {
    let blob = AddressBlob(
      ucxMajor: 1, ucxMinor: 13, server: .random(), host: AddressBlob.thisHost, name: "name", port: 4000,
      addresses: [.ipv4(0x0A00_0001, port: 4000), .ipv6(high: 1, low: 2, port: 4000)])
    #expect(try AddressBlob.decode(blob.encoded).get() == blob)
    for count in 0..<blob.encoded.count {
      if case .success = AddressBlob.decode(Array(blob.encoded[..<count])) { Issue.record("\(count) bytes decoded") }
    }
  }

  @Test("an address whose name could not be shown is refused", arguments: [[0x1B], [0x0A], [0x20], [0xFF], [0xC2, 0x9B]] as [[UInt8]])
  func blobName(_ bytes: [UInt8]) {
    let blob = AddressBlob(
      ucxMajor: 1, ucxMinor: 13, server: .random(), host: AddressBlob.thisHost, name: String(repeating: "x", count: bytes.count),
      port: 4000, addresses: [])
    var encoded = blob.encoded
    encoded.replaceSubrange(encoded.count - 1 - bytes.count..<encoded.count - 1, with: bytes)
    guard case .failure(let error) = AddressBlob.decode(encoded) else {
      Issue.record("taken")
      return
    }
    #expect(error.description.contains("its name"))
  }

  @Test(
    "a peer's text has one line, no control character, and is not longer than its bytes",
    arguments: [
      (Array("why not".utf8), "why not"), ([0x1B, 0x5B, 0x0A, 0x7F], "?[??"), ([0xC2, 0x9B], "?"), ([0xC3, 0xA4], "ä"),
      ([0xFF, 0x41, 0x80], "?A?"), ([UInt8](repeating: 0xFF, count: 2048), String(repeating: "?", count: 2048)),
    ] as [([UInt8], String)])
  func text(_ bytes: [UInt8], _ expected: String) {
    let body = [5, 0, 0, 0, 8, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    let frame = [0, 0, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
    guard case .message(.refusal(let refusal), _) = BootstrapMessage.parse(frame.span) else {
      Issue.record("not read")
      return
    }
    #expect(refusal.text == expected)
  }

  @Test("bootstrap messages survive their bytes, and every cut of them waits for more")
  func messages() {
    let version = BootstrapMessage.Version(
      proto: BootstrapMessage.protocolVersion, ucxMajor: 1, ucxMinor: 13, ucxPatch: 1, path: "/lib/libucp.so")
    let (nonce, sharing) = ([UInt8](repeating: 9, count: 32), [UInt8](repeating: 5, count: HostDigest.byteCount))
    let introduction = BootstrapMessage.Introduction(
      code: nonce, connection: ConnectionAddress(identifier: 1, check: 2, grant: 3), worker: [1, 2, 3])
    var readable = introduction
    readable.memory = MemoryPlace(host: MemoryPlace.thisHost, process: 7, descriptor: 8, address: 1 << 46)
    readable.readsPeer = true
    let all: [BootstrapMessage] = [
      .hello(.init(version: version, nonce: nonce, server: ServerID.none.bytes, sharing: sharing, hasKey: true)),
      .challenge(.init(version: version, nonce: nonce, sharing: sharing, wantsKey: false)), .proof(introduction), .welcome(introduction),
      .proof(readable),
      .welcome(readable),
      .refusal(.init(code: .versionMismatch, text: "why")), .goodbye, .reading,
    ]
    for message in all {
      let buffer = ByteBuffer()
      message.encode(into: buffer)
      let parsed = BootstrapMessage.parse(buffer.bytes)
      #expect(parsed == .message(message, byteCount: buffer.count))
      for count in 0..<buffer.count {
        let cut = BootstrapMessage.parse(buffer.bytes.extracting(0..<count))
        #expect(cut == .incomplete)
      }
    }
  }

  @Test(
    "strangers are turned away and disturb nobody",
    arguments: [
      [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [0, 0, 0, 1, 9], [0, 0, 0x20, 0, 1] + [UInt8](repeating: 1, count: 9000), [],
    ])
  func strangers(_ bytes: [UInt8]) async throws {
    let engine = try Pair.engine()
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1", key: MessagingKey(Self.key))
    // More than may wait without a proof.
    var sockets: [PlainSocket] = []
    for _ in 0..<20 { sockets.append(try PlainSocket(port: port, sending: bytes)) }
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: port, key: MessagingKey(Self.key))
    try await client.send([1], tag: 1)
    #expect(try await server.receive(tag: 1).buffer.array() == [1])
    if !bytes.isEmpty { for socket in sockets { #expect(socket.readToEnd()) } }
    try await client.close()
    engine.shutdown()
  }

  @Test("a peer with another UCX is refused before the first endpoint, both versions named")
  func otherVersion() async throws {
    let engine = try Pair.engine()
    let server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    let version = BootstrapMessage.Version(
      proto: BootstrapMessage.protocolVersion, ucxMajor: 1, ucxMinor: 99, ucxPatch: 0, path: "/elsewhere/libucp.so")
    let buffer = ByteBuffer()
    BootstrapMessage.hello(
      .init(
        version: version, nonce: [UInt8](repeating: 0, count: 32), server: ServerID.none.bytes, sharing: engine.sharing, hasKey: false)
    ).encode(into: buffer)
    let socket = try PlainSocket(port: port, sending: buffer.bytes.indices.map { buffer.bytes[$0] })
    let answer = String(decoding: socket.readAll(), as: UTF8.self)
    #expect(answer.contains("1.99.0 at /elsewhere/libucp.so"))
    #expect(answer.contains(engine.library.path))
    try await server.close()
    engine.shutdown()
  }

  @Test("nobody there, and a deadline while somebody is silent")
  func nobody() async throws {
    let engine = try Pair.engine()
    let silent = try SilentListener()
    #expect(
      await code { try await Client(on: engine).connect(to: "127.0.0.1", port: silent.port, timeout: .milliseconds(50)) }
        == .deadlineExceeded)
    silent.close()
    let deaf = try SilentListener(listens: false)
    #expect(await code { try await Client(on: engine).connect(to: "127.0.0.1", port: deaf.port) } == .notConnected)
    deaf.close()
    engine.shutdown()
  }

  @Test("connecting can be cancelled")
  func cancelConnect() async throws {
    let engine = try Pair.engine()
    let silent = try SilentListener()
    let port = silent.port
    let task = Task { await code { try await Client(on: engine).connect(to: "127.0.0.1", port: port) } }
    await Task.yield()
    task.cancel()
    #expect(await task.value == .cancelled)
    silent.close()
    engine.shutdown()
  }
}
