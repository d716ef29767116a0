import CausewayMessaging
import Testing

@Suite("Messages between two engines")
struct MessagingTests {
  @Test("eager and rendezvous messages arrive whole")
  func exchange() async throws {
    let (one, other) = (try Engine(), try Engine())
    let server = try Server(on: one)
    let port = try await server.listen(on: "127.0.0.1")
    let client = try Client(on: other)
    try await client.connect(to: "127.0.0.1", port: port)
    for size in [0, 1, 100, 5000, 100_000, 5 << 20] {
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      async let received = server.receive(tag: 5)
      try await client.send(bytes, tag: 5)
      let (buffer, info) = try await received
      #expect(info.byteCount == size)
      #expect(buffer.array() == bytes)
    }
    try await client.close()
    try await server.close()
  }
}
