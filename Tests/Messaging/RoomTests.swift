import CausewayMessaging
import Testing

@Suite("As many operations in flight as there may be")
struct RoomTests {
  private static let limit = 8
  private static let modes = [ProgressMode.standard, .blocking, .busy(core: nil)]

  /// An engine whose room receives of `tag` take; they end with it.
  private func full(_ mode: ProgressMode, tag: CausewayMessaging.Tag) async throws -> Server {
    let engine = try Pair.engine {
      $0.progress = mode
      $0.inFlightLimit = Self.limit
    }
    let server = try Server(on: engine)
    for _ in 0..<Self.limit { server.receive(into: MessageBuffer(count: 1), tag: tag) { _ in } }
    while try engine.inFlight() < Self.limit { await Task.yield() }
    return server
  }

  @Test("a callback hears wouldBlock, and a task waits until its deadline or its cancellation", arguments: modes)
  func ends(_ mode: ProgressMode) async throws {
    let server = try await full(mode, tag: 1)
    let refused = Box<MessagingError.Code?>(nil)
    server.receive(into: MessageBuffer(count: 1), tag: 2) { refused.value = $0.code }
    while refused.value == nil { await Task.yield() }
    #expect(refused.value == .wouldBlock)
    let cancelled = Task { await code { _ = try await server.receive(tag: 2) } }
    #expect(await code { _ = try await server.receive(tag: 2, timeout: .milliseconds(20)) } == .deadlineExceeded)
    cancelled.cancel()
    #expect(await cancelled.value == .cancelled)
    server.engine.shutdown()
  }

  @Test("a task that waits goes on when there is room, and says closed when the engine ends", arguments: modes)
  func goesOn(_ mode: ProgressMode) async throws {
    let server = try await full(mode, tag: 1)
    let client = try Client(on: Pair.engine())
    try await client.connect(to: "127.0.0.1", port: try await server.listen(on: "127.0.0.1"))
    try await client.send([2], tag: 2)
    let waiting = Task { try await server.receive(tag: 2).buffer.array() }
    try await client.send([1], tag: 1)
    #expect(try await waiting.value == [2])
    server.receive(into: MessageBuffer(count: 1), tag: 1) { _ in }
    while try server.engine.inFlight() < Self.limit { await Task.yield() }
    let left = Task { await code { _ = try await server.receive(tag: 3) } }
    await Task.yield()
    server.engine.shutdown()
    #expect(await left.value == .closed)
    client.engine.shutdown()
  }
}
