import Glibc
import Testing

@testable import CausewayMessaging

/// Every phase of a connection's life, in every progress mode, over both kinds of transport: the peer is killed, or stopped and continued.
@Suite("A peer dies or stops in each phase", .serialized)
struct FaultMatrixTests {
  @Test("killed: what waits for it ends as peerLost within 10 ms; others are unaffected", arguments: FaultCase.all)
  func killed(_ row: FaultCase) async throws {
    // A busy machine delays any thread: the best of a few tells what the engine does. Some phases are over before they are caught.
    var times: [Duration] = []
    for _ in 0..<60 where times.count < 12 && times.min() ?? .seconds(1) > .milliseconds(10) {
      if let time = try await row.kill() { times.append(time) }
    }
    let best = try #require(times.min(), "the peer was never caught in this phase")
    #expect(best <= .milliseconds(10), "\(times)")
  }

  @Test("stopped: it is not dead, deadlines hold, and everything goes on when it does", arguments: FaultCase.all)
  func stopped(_ row: FaultCase) async throws { try await row.stopAndContinue() }
}

enum Phase: CaseIterable {
  case connecting, idle, eager, sendingRendezvous, receivingRendezvous, flushing, closing
}

struct FaultCase: CustomTestStringConvertible {
  var phase: Phase
  var mode: ProgressMode
  var tls: String

  static let modes: [ProgressMode] = [.standard, .blocking, .busy(core: nil), .manual]
  /// Data of a rendezvous come in a way of their own where processes read each other's memory.
  static let all: [FaultCase] = Phase.allCases.flatMap { phase in
    let hasWay = [.sendingRendezvous, .receivingRendezvous, .flushing, .closing].contains(phase)
    let transports = hasWay ? ["posix", "tcp", "posix,cma"] : ["posix", "tcp"]
    return modes.flatMap { mode in transports.map { FaultCase(phase: phase, mode: mode, tls: $0) } }
  }

  var testDescription: String { "\(phase), \(mode), \(tls)" }

  // MARK: Killed

  /// From the peer's end, which the kernel tells right after it closed the peer's sockets, to that of the last call; nil when the phase was
  /// over before the peer was.
  func kill() async throws -> Duration? {
    try await phase == .connecting ? killConnecting() : killConnected()
  }

  private func killConnecting() async throws -> Duration? {
    try await withEngine { engine in
      let peer = try Peer("serve-callback")
      let port = try #require(UInt16(peer.line()))
      peer.stop()
      let client = try Client(on: engine)
      let connected = timed { try await client.connect(to: "127.0.0.1", port: port, timeout: .seconds(30)) }
      // The kernel accepts for the peer.
      while !isEstablished(port) { await Task.yield() }
      peer.kill()
      let start = ContinuousClock.now
      let (code, end) = await connected.value
      #expect(code == .notConnected)
      return end - start
    }
  }

  private func killConnected() async throws -> Duration? {
    try await withEngine { engine in
      let connection = try await Connected(engine, tls)
      let (server, endpoint, peer) = (connection.server, connection.endpoint, connection.peer)
      var waiting: [Task<(MessagingError.Code?, ContinuousClock.Instant), Never>] = []
      var expected = MessagingError.Code.peerLost as MessagingError.Code?
      let others = Task { await code { _ = try await server.receive(tag: 78) } }
      var isUnderWay = { true }
      var isComplete = { false }
      switch phase {
      case .connecting: break
      case .idle:
        waiting = [
          timed { _ = try await endpoint.receive(tag: 77) }, timed { try await endpoint.send(pattern(1 << 20), tag: 1) },
          timed { try await endpoint.send([1], tag: 1, synchronous: true) },
        ]
        while try engine.inFlight() < 4 { await Task.yield() }
      case .eager:
        let requests = [SendRequest](repeating: SendRequest(MessageBuffer(count: 8000), tag: 1), count: 1000)
        waiting = [timed { if let failed = await endpoint.sendMany(requests).first(where: { !$0.isDone }) { throw failed.error("send") } }]
        while try endpoint.counters().sendsQueued == 0 { await Task.yield() }
      case .sendingRendezvous:
        let sent = Box(false)
        // Made before: the first touch of its pages takes longer than a death.
        let buffer = MessageBuffer(count: Connected.large)
        waiting = [
          timed {
            defer { sent.value = true }
            try await endpoint.send(buffer, tag: 5)
          }
        ]
        try await connection.order("receive 5 \(Connected.large)")
        isUnderWay = { !sent.value }
        isComplete = { sent.value }
      case .receivingRendezvous:
        let buffer = MessageBuffer(count: Connected.large)
        waiting = [timed { _ = try await endpoint.receive(into: buffer, tag: 5) }]
        try await connection.order("send 5 \(Connected.large)")
        while buffer.bytes[0] == 0 { await Task.yield() }
        isUnderWay = { buffer.bytes[buffer.count - 1] == 0 }
        isComplete = { buffer.isFilled(with: 7) }
      case .flushing:
        let message = timed { try await endpoint.send(pattern(1 << 20), tag: 1) }
        while try endpoint.counters().sendsInFlight == 0 { await Task.yield() }
        waiting = [message, timed { try await endpoint.flush() }]
        await Task.yield()
      case .closing:
        let message = timed { try await endpoint.send(pattern(1 << 20), tag: 1) }
        while try endpoint.counters().sendsInFlight == 0 { await Task.yield() }
        // A close has nothing to wait for then: it ends well, and what was under way as lost or closed.
        waiting = [timed { try await endpoint.close(timeout: .seconds(30)) }]
        expected = nil
        _ = message
        while try engine.inFlight() == 0 { await Task.yield() }
      }
      #expect(peer.residentByteCount < 64 << 20)
      var wasUnderWay = isUnderWay()
      peer.kill()
      let start = ContinuousClock.now
      var last = start
      for task in waiting {
        let (code, time) = await task.value
        // All of it came before the end.
        if code == nil && isComplete() { wasUnderWay = false }
        if wasUnderWay { #expect(code == expected) }
        last = max(last, time)
      }
      while !server.clients.isEmpty { await Task.yield() }
      #expect([.peerLost, .closed].contains(await code { try await endpoint.send([1], tag: 1) }))
      others.cancel()
      #expect(await others.value == .cancelled)
      try await server.close()
      return wasUnderWay ? last - start : nil
    }
  }

  // MARK: Stopped

  func stopAndContinue() async throws {
    if phase == .connecting {
      return try await withEngine { engine in
        let peer = try Peer("serve-callback")
        let port = try #require(UInt16(peer.line()))
        peer.stop()
        let short = try Client(on: engine)
        #expect(await code { try await short.connect(to: "127.0.0.1", port: port, timeout: .milliseconds(30)) } == .deadlineExceeded)
        let client = try Client(on: engine)
        let connected = timed { try await client.connect(to: "127.0.0.1", port: port, timeout: .seconds(60)) }
        while !isEstablished(port) { await Task.yield() }
        peer.signal(SIGCONT)
        #expect(await connected.value.0 == nil)
      }
    }
    try await withEngine { engine in
      let connection = try await Connected(engine, tls)
      let (server, endpoint, peer) = (connection.server, connection.endpoint, connection.peer)
      let bytes = [UInt8](repeating: 7, count: Connected.large)
      switch phase {
      case .connecting: break
      case .idle:
        peer.stop()
        try await expectHeld(endpoint)
        peer.signal(SIGCONT)
        try await connection.order("receive 99 1")
      case .eager:
        try await connection.order("drain 2 1000")
        peer.stop()
        let requests = [SendRequest](repeating: SendRequest(MessageBuffer(count: 8000), tag: 2), count: 1000)
        let sent = Task { await endpoint.sendMany(requests) }
        while try endpoint.counters().sendsQueued == 0 { await Task.yield() }
        try await expectHeld(endpoint)
        #expect(server.clients.count == 1)
        peer.signal(SIGCONT)
        #expect(await sent.value.allSatisfy(\.isDone))
        #expect(peer.line() == "done drain")
      case .sendingRendezvous:
        async let sent: Void = endpoint.send(MessageBuffer(bytes), tag: 5)
        try await connection.order("receive 5 \(bytes.count)")
        peer.stop()
        try await expectHeld(endpoint)
        peer.signal(SIGCONT)
        try await sent
        #expect(peer.line() == "done receive")
      case .receivingRendezvous:
        let buffer = MessageBuffer(count: bytes.count)
        async let received = endpoint.receive(into: buffer, tag: 5)
        try await connection.order("send 5 \(bytes.count)")
        peer.stop()
        try await expectHeld(endpoint)
        peer.signal(SIGCONT)
        #expect(try await received.byteCount == bytes.count)
        #expect(buffer.array() == bytes)
      case .flushing:
        peer.stop()
        try await expectHeld(endpoint)
        async let flushed: Void = endpoint.flush(timeout: .seconds(60))
        peer.signal(SIGCONT)
        try await flushed
      case .closing:
        peer.stop()
        try await endpoint.send([1], tag: 1)
        #expect(await code { try await endpoint.close(timeout: .milliseconds(30)) } == .deadlineExceeded)
        #expect(server.clients.isEmpty)
        peer.signal(SIGCONT)
        #expect(peer.line() == "lost")
      }
      try await ignoring(.deadlineExceeded) { try await server.close(timeout: .zero) }
    }
  }

  /// Calls that need the peer end by their deadlines, and it counts as connected.
  private func expectHeld(_ endpoint: Endpoint) async throws {
    #expect(await code { try await endpoint.send([1], tag: 1, synchronous: true, timeout: .milliseconds(30)) } == .deadlineExceeded)
    #expect(await code { try await endpoint.flush(timeout: .milliseconds(30)) } == .deadlineExceeded)
    #expect(try !endpoint.transports().isEmpty)
  }

  // MARK: Shared

  private func withEngine<R>(_ body: (Engine) async throws -> R) async throws -> R {
    let engine = try Pair.engine(tls: tls) { $0.progress = mode }
    let loop = mode == .manual ? OwnLoop(engine) : nil
    defer { engine.shutdown() }
    do {
      let result = try await body(engine)
      await loop?.end()
      return result
    } catch {
      await loop?.end()
      throw error
    }
  }

  private func timed(_ body: @escaping @Sendable () async throws -> Void) -> Task<(MessagingError.Code?, ContinuousClock.Instant), Never> {
    Task {
      let code = await code(body)
      return (code, .now)
    }
  }
}

/// A server here, and a client in a process of its own that does what it is told.
private struct Connected {
  /// So long that it takes a while, so short that the kernel soon has the memory of a killed peer back.
  static let large = 32 << 20

  let server: Server
  let endpoint: Endpoint
  let peer: Peer

  init(_ engine: Engine, _ tls: String) async throws {
    server = try Server(on: engine)
    let port = try await server.listen(on: "127.0.0.1")
    peer = try Peer("obey", "port=\(port)", "tls=\(tls)")
    endpoint = try #require(await server.nextEndpoint())
    #expect(peer.line() == "connected")
  }

  func order(_ text: String) async throws {
    try await endpoint.send(Array(text.utf8), tag: 0xFFFF)
    #expect(peer.line() == "begun")
  }
}

/// A thread that drives an engine in `.manual`, as a program's own loop would.
final class OwnLoop: Sendable {
  private let isOver = Box(false)
  private let thread: Thread

  /// - Parameter spins: It never waits for the engine's descriptor.
  init(_ engine: Engine, spins: Bool = false) {
    let isOver = isOver
    thread = Thread {
      while !isOver.value {
        if spins {
          try? engine.progress()
          continue
        }
        var look = pollfd(fd: engine.descriptor, events: Int16(POLLIN), revents: 0)
        unsafe _ = poll(&look, 1, CInt(engine.timeUntilProgress / .milliseconds(1)))
        try? engine.progress()
      }
    }
  }

  func end() async {
    isOver.value = true
    await thread.join()
  }
}

/// Whether the kernel has a connection to a port of the loopback.
private func isEstablished(_ port: UInt16) -> Bool {
  guard let file = unsafe fopen("/proc/net/tcp", "r") else { return false }
  defer { unsafe fclose(file) }
  let wanted = "0100007F:" + hexadecimal(port)
  var line = [CChar](repeating: 0, count: 512)
  while unsafe fgets(&line, CInt(line.count), file) != nil {
    let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    if words.count > 3 && words[2] == wanted && words[3] == "01" { return true }
  }
  return false
}

private func hexadecimal(_ port: UInt16) -> String {
  let digits = String(port, radix: 16, uppercase: true)
  return String(repeating: "0", count: 4 - digits.count) + digits
}

extension MessageBuffer {
  /// Without a look at each byte by code that is not optimised.
  fileprivate func isFilled(with byte: UInt8) -> Bool {
    // SAFETY: both ranges lie in the buffer.
    unsafe bytes[0] == byte && memcmp(base, base + 1, count - 1) == 0
  }
}
