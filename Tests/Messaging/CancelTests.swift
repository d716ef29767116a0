import CausewayMessaging
import Testing

@Suite("Cancelled and late, in every state")
struct CancelTests {
  private typealias Case = (name: String, start: @Sendable (Pair, Duration?) async throws -> Void)
  private static let long = MessageBuffer(count: 1 << 20)
  private static let small = MessageBuffer(count: 100)

  /// Operations that none but a deadline or a cancellation ends.
  private static let cases: [Case] = [
    ("a receive", { _ = try await $0.server.receive(into: small, tag: 9, timeout: $1) }),
    ("a receive of one endpoint", { _ = try await $0.endpoint.receive(tag: 9, timeout: $1) }),
    (
      "a receive into raw memory",
      { pair, timeout in
        try await unsafe withRaw { _ = try await unsafe pair.client.receive(into: $0, tag: 9, timeout: timeout) }
      }
    ),
    ("a rendezvous that nobody matches", { try await $0.client.send(long, tag: 1, timeout: $1) }),
    ("its vectored sister", { try await $0.client.send([long, small, long], tag: 1, timeout: $1) }),
    ("a synchronous send", { try await $0.client.send(small, tag: 1, synchronous: true, timeout: $1) }),
    (
      "a send without credit",
      { pair, timeout in
        let count = 100
        for _ in 0..<count { pair.client.send(small, tag: 1) { _ in } }
        try await pair.client.send(small, tag: 1, timeout: timeout)
      }
    ),
    ("a flush behind a rendezvous", behind({ $0.client }, { try await $0.client.flush(timeout: $1) })),
    ("a flush of a server behind a rendezvous", behind({ $0.endpoint }, { try await $0.server.flush(timeout: $1) })),
    ("a close behind a rendezvous", behind({ $0.client }, { try await $0.client.close(timeout: $1) })),
    ("a server's close behind a rendezvous", behind({ $0.endpoint }, { try await $0.server.close(timeout: $1) })),
  ]

  /// What waits for a rendezvous of `sender` that nobody matches.
  private static func behind(
    _ sender: @escaping @Sendable (Pair) -> MessagePort, _ wait: @escaping @Sendable (Pair, Duration?) async throws -> Void
  ) -> @Sendable (Pair, Duration?) async throws -> Void {
    { pair, timeout in
      sender(pair).send(long, tag: 1) { _ in }
      try await wait(pair, timeout)
    }
  }

  private static func withRaw(_ body: (UnsafeMutableRawBufferPointer) async throws -> Void) async throws {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 100, alignment: 8)
    defer { unsafe memory.deallocate() }
    try await unsafe body(memory)
  }

  @Test("each operation ends by its deadline, and by a cancellation before and after its start", arguments: ["posix", "tcp", "all"])
  func ends(_ tls: String) async throws {
    for (name, start) in Self.cases {
      for way in ["deadline", "cancelled", "cancelled before"] {
        let pair = try await Pair.connected(tls: tls) {
          $0.minimumGrant = 4096
          $0.maximumGrant = 4096
        }
        let begun = Box(false)
        let task = Task {
          if way == "cancelled before" { while !Task.isCancelled { await Task.yield() } }
          begun.value = true
          return await code { try await start(pair, way == "deadline" ? .milliseconds(20) : nil) }
        }
        if way == "cancelled" {
          while !begun.value { await Task.yield() }
          for _ in 0..<100 { await Task.yield() }
        }
        if way != "deadline" { task.cancel() }
        #expect(await task.value == (way == "deadline" ? .deadlineExceeded : .cancelled), "\(name), \(way)")
        pair.client.engine.shutdown()
        pair.server.engine.shutdown()
      }
    }
  }
}
