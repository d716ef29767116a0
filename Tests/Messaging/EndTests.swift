import CUCX
import Glibc
import Testing

@testable import CausewayMessaging

@Suite("How operations end")
struct EndTests {
  @Test("a deadline ends a receive, which leaves its memory alone then")
  func receiveDeadline() async throws {
    let pair = try await Pair.connected()
    let buffer = MessageBuffer(count: 4)
    #expect(await code { _ = try await pair.server.receive(into: buffer, tag: 1, timeout: .milliseconds(10)) } == .deadlineExceeded)
    try await pair.client.send([1, 2, 3, 4], tag: 1, synchronous: false)
    #expect(try await pair.server.receive(tag: 1).buffer.array() == [1, 2, 3, 4])
    #expect(buffer.array() == [0, 0, 0, 0])
    try await pair.close()
  }

  @Test("a cancelled task's receive ends, on the engine and off it", arguments: [true, false])
  func cancellation(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected()
    for _ in 0..<200 {
      let task = Task(executorPreference: onEngine ? pair.server.engine : nil) { await code { _ = try await pair.server.receive(tag: 1) } }
      await Task.yield()
      task.cancel()
      #expect(await task.value == .cancelled)
    }
    try await pair.client.send([1], tag: 1)
    #expect(try await pair.server.receive(tag: 1).received.byteCount == 1)
    try await pair.close()
  }

  @Test("cancelling races with completion, and one of both wins", arguments: [true, false])
  func cancellationRace(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected(tls: "posix")
    var cancelled = 0
    for index in 0..<1000 {
      let task = Task(executorPreference: onEngine ? pair.server.engine : nil) { try await pair.server.receive(tag: Tag(UInt64(index))) }
      async let sent: Void = pair.client.send([UInt8(index & 255)], tag: Tag(UInt64(index)))
      task.cancel()
      do { #expect(try await task.value.buffer.array() == [UInt8(index & 255)]) } catch {
        cancelled += 1
        // Nothing was lost.
        #expect(try await pair.server.receive(tag: Tag(UInt64(index))).buffer.array() == [UInt8(index & 255)])
      }
      try await sent
    }
    #expect(cancelled > 0)
    try await pair.close()
  }

  @Test("cancelling races with completion 100,000 times, and no message is lost")
  func cancellationRaces() async throws {
    let pair = try await Pair.connected(tls: "posix")
    let (engine, server, client) = (pair.server.engine, pair.server, pair.client)
    let ended = Box((cancelled: 0, failure: ""))
    let thread = Thread {
      var random = SystemRandomNumberGenerator()
      do {
        let queue = try CompletionQueue(capacity: 16)
        let (message, buffer) = (MessageBuffer(count: 8), MessageBuffer(count: 8))
        var cancelled = 0
        // How long the message gets, at most: as long as it takes for both to win about as often.
        var patience = 5000.0
        for index in 0..<100_000 as Range<UInt64> {
          let started = unsafe buffer.withUnsafeMutableBytes { memory in
            unsafe server.start(
              receive: memory, allocates: false, drops: false, tag: index, mask: .max, from: nil, timeout: .max, keeper: nil,
              to: .queue(queue, index))
          }
          guard case .pending(let number) = started else {
            ended.value.failure = "\(index): not pending"
            return
          }
          unsafe message.withUnsafeMutableBytes { unsafe $0.storeBytes(of: index, as: UInt64.self) }
          try client.sendBlocking(message, tag: Tag(index))
          let end = cucx_now_ns() + UInt64(Double.random(in: 0..<patience, using: &random))
          while cucx_now_ns() < end {}
          _ = engine.cancel(number)
          guard engine.wait(for: queue, atMost: 20_000_000_000) else {
            ended.value.failure = "\(index): no end"
            return
          }
          var code: MessagingError.Code?
          queue.drain(1) { code = $0.completion.isDone ? nil : $0.completion.code }
          if code == .cancelled {
            cancelled += 1
            patience = min(patience * 1.01, 1_000_000)
            _ = try server.receiveBlocking(into: buffer, tag: Tag(index))
          } else if code != nil {
            ended.value.failure = "\(index): \(code!)"
            return
          } else {
            patience = max(patience / 1.01, 100)
          }
          let content = unsafe buffer.withUnsafeBytes { unsafe $0.load(as: UInt64.self) }
          if content != index {
            ended.value.failure = "\(index): the content is \(content)"
            return
          }
        }
        ended.value.cancelled = cancelled
      } catch { ended.value.failure = "\(error)" }
    }
    await thread.join()
    #expect(ended.value.failure == "")
    #expect((1000...99_000).contains(ended.value.cancelled), "\(ended.value.cancelled) of 100,000 were cancelled")
    try await pair.close()
  }

  @Test("a rendezvous that nobody receives ends by its deadline; its buffer is free when the peer is gone", arguments: ["posix", "tcp"])
  func sendDeadline(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    #expect(await code { try await pair.client.send(pattern(1 << 20), tag: 1, timeout: .milliseconds(20)) } == .deadlineExceeded)
    #expect(await code { try await pair.client.flush(timeout: .milliseconds(20)) } == .deadlineExceeded)
    #expect(await code { try await pair.client.close(timeout: .zero) } == .deadlineExceeded)
    try await pair.server.close(timeout: .zero)
    pair.client.engine.shutdown()
    pair.server.engine.shutdown()
  }

  @Test("a synchronous send ends when it is matched, not before", arguments: [1, 100_000])
  func synchronous(_ size: Int) async throws {
    let pair = try await Pair.connected()
    #expect(
      await code { try await pair.client.send(pattern(size), tag: 1, synchronous: true, timeout: .milliseconds(20)) } == .deadlineExceeded)
    async let sent: Void = pair.client.send(pattern(size), tag: 2, synchronous: true)
    _ = try await pair.server.receive(tag: 2)
    try await sent
    _ = try await pair.server.receive(tag: 1)
    try await pair.close()
  }

  @Test("a flush ends when the peer has everything")
  func flush() async throws {
    let pair = try await Pair.connected()
    for index in 0..<100 { try await pair.client.send([UInt8(index)], tag: 1) }
    try await pair.client.flush()
    #expect(try pair.endpoint.counters().unreceivedMessages == 100)
    try await pair.server.flush()
    try await pair.close()
  }

  @Test("close ends what waits, again does nothing, and afterwards everything says so")
  func closing() async throws {
    let pair = try await Pair.connected()
    let waiting = Task { await code { _ = try await pair.client.receive(tag: 1) } }
    let serverWaits = Task { await code { _ = try await pair.server.receive(tag: 1) } }
    while try pair.client.engine.inFlight() == 0 { await Task.yield() }
    try await pair.client.close()
    try await pair.client.close()
    #expect(await waiting.value == .closed)
    #expect(await code { try await pair.client.send([1], tag: 1) } == .closed)
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .closed)
    #expect(await code { try await pair.client.connect(to: "127.0.0.1", port: 1) } == .closed)
    while !pair.server.clients.isEmpty { await Task.yield() }
    #expect(await code { try await pair.endpoint.send([1], tag: 1) } == .peerLost)
    try await pair.server.close()
    try await pair.server.close()
    #expect(await serverWaits.value == .closed)
    #expect(await code { _ = try await pair.server.receive(tag: 1) } == .closed)
    pair.client.engine.shutdown()
    pair.client.engine.shutdown()
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .closed)
    pair.server.engine.shutdown()
  }

  @Test("whatever was closed here says so, by itself or with its server; not that its peer was lost", arguments: [true, false])
  func closedHere(_ byServer: Bool) async throws {
    let pair = try await Pair.connected()
    let (endpoint, server, client) = (pair.endpoint, pair.server, pair.client)
    if byServer { try await server.close() } else { try await endpoint.close() }
    #expect(await code { _ = try await client.receive(tag: 1) } == .peerLost)
    try await client.close()
    #expect(await code { _ = try await endpoint.receive(tag: 1) } == .closed)
    #expect(await code { _ = try await server.receive(tag: 1, from: endpoint) } == .closed)
    for port in [endpoint, client] {
      #expect(await code { try await port.send([1], tag: 1) } == .closed)
      #expect(await code { try await port.flush() } == .closed)
      #expect(await code { _ = try port.probe(tag: 1) } == .closed)
      #expect(await code { _ = try port.transports() } == .closed)
    }
    #expect(await code { _ = try server.probe(tag: 1) } == (byServer ? .closed : nil))
    try await pair.close()
  }

  @Test("a receive from another server's endpoint is a mistake of the program's, which is told at once")
  func foreignEndpoint() async throws {
    let (one, other) = (try await Pair.connected(), try await Pair.connected())
    #expect(one.server.has(one.endpoint) && !one.server.has(other.endpoint))
    try await one.close()
    try await other.close()
    // The number of the connection is the same on each engine.
    await #expect(processExitsWith: .failure) {
      let (one, other) = (try await Pair.connected(), try await Pair.connected())
      _ = try await one.server.receive(tag: 1, from: other.endpoint, timeout: .milliseconds(20))
    }
  }

  @Test("closing ends a listen that still looks its name up", arguments: ["127.0.0.1", "localhost", "a.name.invalid"])
  func closeWhileListening(_ host: String) async throws {
    let engine = try Pair.engine()
    let server = try Server(on: engine)
    let code: MessagingError.Code? = await withCheckedContinuation { continuation in
      engine.onThread {
        // An answer comes in a later turn.
        server.core.listen(host, 0, nil) { answer in
          if case .failure(let error) = answer { continuation.resume(returning: error.code) } else { continuation.resume(returning: nil) }
        }
        server.core.closeNow()
      }
    }
    #expect(code == .closed)
    engine.shutdown()
  }

  @Test("an engine's end ends everything on it")
  func shutdown() async throws {
    let pair = try await Pair.connected()
    let waiting = Task { await code { _ = try await pair.server.receive(tag: 1) } }
    let onEngine = Task(executorPreference: pair.server.engine) { await code { _ = try await pair.server.receive(tag: 2) } }
    while try pair.server.engine.inFlight() < 2 { await Task.yield() }
    pair.server.engine.shutdown()
    #expect(await waiting.value == .closed)
    #expect(await onEngine.value == .closed)
    #expect(await code { _ = try await pair.client.receive(tag: 1) } == .peerLost)
    pair.client.engine.shutdown()
  }

  @Test("after the engine's end nothing waits for its thread: everything says closed, and close ends", arguments: [false, true])
  func afterShutdown(_ isManual: Bool) async throws {
    let pair = try await Pair.connected()
    let engine = try Pair.engine { if isManual { $0.progress = .manual } }
    let (idle, server) = (try Client(on: engine), try Server(on: engine))
    for engine in [pair.client.engine, pair.server.engine, engine] { engine.shutdown() }
    try await pair.endpoint.close()
    try await pair.client.close()
    try await pair.server.close()
    #expect(await code { try await idle.connect(to: "127.0.0.1", port: 1) } == .closed)
    #expect(await code { _ = try await server.listen(on: "127.0.0.1") } == .closed)
    #expect(await code { _ = try await server.listenAddress() } == .closed)
    try await idle.close()
    try await server.close()
  }

  @Test("an engine in manual mode takes turns from several threads, visits meanwhile, and its end, in whatever order they come")
  func manualEnd() async throws {
    for _ in 0..<40 {
      let engine = try Pair.engine { $0.progress = .manual }
      let client = try Client(on: engine)
      let loops = [OwnLoop(engine, spins: true), OwnLoop(engine, spins: true)]
      for _ in 0..<50 { _ = try engine.inFlight() }
      engine.shutdown()
      for loop in loops { await loop.end() }
      #expect(await code { try await client.connect(to: "127.0.0.1", port: 1) } == .closed)
    }
  }

  @Test("an engine in manual mode may be ended within its own turn, by a callback")
  func manualEndInside() async throws {
    let engine = try Pair.engine { $0.progress = .manual }
    let server = try Server(on: engine)
    let ends = Box([MessagingError.Code?]())
    let buffer = MessageBuffer(count: 1)
    server.receive(into: buffer, tag: 1, timeout: .milliseconds(1)) { completion in
      engine.shutdown()
      ends.value.append(completion.code)
    }
    server.receive(into: buffer, tag: 2) { ends.value.append($0.code) }
    while !engine.hasEnded { try engine.progress() }
    #expect(ends.value == [.deadlineExceeded, .closed])
    try engine.progress()
    try await server.close()
  }
}
