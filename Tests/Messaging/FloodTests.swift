import Glibc
import Testing

@testable import CausewayMessaging

@Suite("Memory is bounded", .serialized)
struct FloodTests {
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
    let unasked = size > 8192 ? 0 : limit / 2 / (size == 64 ? 192 : 8704)
    while sent.value < unasked { await Task.yield() }
    #expect(try pair.endpoint.counters().unreceivedByteCount <= limit)
    #expect(try pair.client.engine.inFlight() <= 1000)
    let into = MessageBuffer(count: size)
    for _ in 0..<total { #expect(try await pair.server.receive(into: into, tag: 1).byteCount == size) }
    try await flood.value
    try await pair.close()
  }

  @Test("a flood costs no more than the limit, and the process no more than a quarter beyond", arguments: [64, 4096, 1 << 20])
  func resident(_ size: Int) async throws {
    let limit = 32 << 20
    let peer = try Peer("neglect", "tls=posix", "grant=\(limit)")
    let ports = peer.line().split(separator: " ").compactMap { UInt16($0) }
    let engine = try Pair.engine(tls: "posix")
    let client = try Client(on: engine)
    try await client.connect(to: "127.0.0.1", port: ports[0])
    func unreceived() throws -> Int {
      let page = try PlainSocket(port: ports[1], sending: Array("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".utf8)).readAll()
      let line = String(decoding: page, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("causeway_messaging_unreceived_bytes{") }
      return try #require(line?.split(separator: " ").last.flatMap { Int($0) })
    }
    _ = try unreceived()
    let before = peer.residentByteCount
    let buffer = MessageBuffer(count: size)
    // A window of sends, each of which starts another when it ends; those of rendezvous don't.
    let flood = Flood(client, buffer)
    for _ in 0..<(size > 8192 ? 30_000 : 1000) { flood.next() }
    while try client.counters().sendsQueued < 100 { await Task.yield() }
    while try unreceived() < limit - 16_384 { await Task.yield() }
    #expect(try unreceived() <= limit)
    let grown = peer.residentByteCount - before
    #expect(grown <= limit + limit / 4, "\(grown >> 10) KiB for \(size) bytes a message")
    peer.kill()
    engine.shutdown()
  }

  /// Sends the same buffer again and again, by callbacks.
  private final class Flood: Sendable {
    private let client: Client
    private let buffer: MessageBuffer

    init(_ client: Client, _ buffer: MessageBuffer) {
      self.client = client
      self.buffer = buffer
    }

    func next() { client.send(buffer, tag: 1) { [self] completion in if completion.isDone { next() } } }
  }
}
