import CausewayBase
import Testing

@testable import CausewayMessaging

@Suite("Before the proof")
struct StrangerTests {
  /// A server, and so many silent connections to it from each of the addresses, in turns.
  private func crowd(_ hosts: ClosedRange<UInt8>, each count: Int) async throws -> (Server, UInt16, [PlainSocket]) {
    let server = try Server(on: Pair.engine())
    let port = try await server.listen(on: "127.0.0.1", key: MessagingKey(BootstrapTests.key))
    var sockets: [PlainSocket] = []
    for _ in 0..<count { for host in hosts { sockets.append(try PlainSocket(port: port, sending: [], from: host)) } }
    return (server, port, sockets)
  }

  @Test("16 of one address may wait; one more ends the oldest")
  func ofOneAddress() async throws {
    let (server, port, sockets) = try await crowd(1...1, each: ServerCore.strangersOfOneAddress)
    #expect(sockets.count == 16)
    let other = try PlainSocket(port: port, sending: [], from: 2)
    let last = try PlainSocket(port: port, sending: [])
    #expect(sockets[0].readAll().isEmpty)
    for socket in sockets.dropFirst() + [other, last] { #expect(socket.isSilent) }
    server.engine.shutdown()
  }

  @Test("64 may wait; one more ends the oldest")
  func ofAll() async throws {
    let (server, port, sockets) = try await crowd(1...8, each: ServerCore.strangerLimit / 8)
    #expect(sockets.count == 64)
    let last = try PlainSocket(port: port, sending: [], from: 9)
    #expect(sockets[0].readAll().isEmpty)
    for socket in sockets.dropFirst() + [last] { #expect(socket.isSilent) }
    server.engine.shutdown()
  }

  @Test("who says nothing, or only half of it, has five seconds", arguments: [[], [0, 0, 0x20, 0, 1]] as [[UInt8]])
  func silence(_ bytes: [UInt8]) async throws {
    let (server, port, _) = try await crowd(1...1, each: 0)
    let begun = ContinuousClock.now
    let socket = try PlainSocket(port: port, sending: bytes)
    await Thread { _ = socket.readAll() }.join()
    #expect(ContinuousClock.now - begun >= .seconds(5))
    #expect(Link.handshakeLimit == .seconds(5))
    server.engine.shutdown()
  }

  @Test("8 KiB are waited for, and not a byte more")
  func frames() async throws {
    let (server, port, _) = try await crowd(1...1, each: 0)
    let whole = try PlainSocket(port: port, sending: [0, 0, 0x20, 0] + [UInt8](repeating: 1, count: 8191))
    let long = try PlainSocket(port: port, sending: [0, 0, 0x20, 1])
    #expect(long.readAll().isEmpty)
    #expect(whole.isSilent)
    whole.write([1])
    #expect(whole.readAll().isEmpty)
    server.engine.shutdown()
  }

  @Test("8 KiB are all that a connection may send, whatever was well said of it")
  func allTogether() async throws {
    let (server, port, _) = try await crowd(1...1, each: 0)
    let library = server.engine.library
    let version = BootstrapMessage.Version(
      proto: BootstrapMessage.protocolVersion, ucxMajor: UInt16(library.major), ucxMinor: UInt16(library.minor), ucxPatch: 0, path: "")
    let hello = ByteBuffer()
    BootstrapMessage.hello(
      .init(
        version: version, nonce: [UInt8](repeating: 0, count: 32), server: ServerID.none.bytes, sharing: server.engine.sharing, hasKey: true
      )
    )
    .encode(into: hello)
    let greeting = hello.bytes.indices.map { hello.bytes[$0] }
    let (answer, wasFirst) = (Box<[UInt8]>([]), Box(false))
    await Thread {
      // Somebody whose time is over before the other's.
      guard let early = try? PlainSocket(port: port, sending: greeting) else { return }
      let length = early.read(4).reduce(0) { $0 << 8 | Int($1) }
      guard early.read(length).first == 2 else { return }
      guard let socket = try? PlainSocket(port: port, sending: greeting) else { return }
      // A frame that is allowed by itself, but for its last byte.
      socket.write([0, 0, 0x20, 0, 3] + [UInt8](repeating: 0, count: 8190))
      answer.value = socket.readAll()
      wasFirst.value = early.isSilent
    }.join()
    #expect(answer.value.count > 4 && answer.value[4] == 2, "the challenge")
    #expect(wasFirst.value)
    server.engine.shutdown()
  }
}
