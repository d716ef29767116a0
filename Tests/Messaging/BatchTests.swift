import CausewayMessaging
import Testing

@Suite("Batches and threads that wait")
struct BatchTests {
  @Test("many at once, on the engine and off it", arguments: [true, false])
  func batches(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected()
    let sends = (0..<200).map { SendRequest(MessageBuffer(pattern($0 * 97, $0)), tag: CausewayMessaging.Tag(UInt64($0))) }
    let receives = (0..<200).map { ReceiveRequest(into: MessageBuffer(count: $0 * 97), tag: CausewayMessaging.Tag(UInt64($0))) }
    let received = Task(executorPreference: onEngine ? pair.server.engine : nil) { await pair.server.receiveMany(receives) }
    let sent = Task(executorPreference: onEngine ? pair.client.engine : nil) { await pair.client.sendMany(sends) }
    #expect(await sent.value.allSatisfy(\.isDone))
    for (index, completion) in await received.value.enumerated() {
      #expect(completion.byteCount == index * 97)
      #expect(receives[index].buffer.array() == pattern(index * 97, index))
    }
    try await pair.close()
  }

  @Test(
    "of a batch that is more than there may be in flight the rest waits, and keeps its order", arguments: [true, false], [100, 20_000])
  func tooMany(_ onEngine: Bool, _ size: Int) async throws {
    let pair = try await Pair.connected { $0.inFlightLimit = 10 }
    let sends = (0..<200).map { SendRequest(MessageBuffer(pattern(size, $0)), tag: 1) }
    let receives = (0..<200).map { _ in ReceiveRequest(into: MessageBuffer(count: size), tag: 1) }
    let received = Task(executorPreference: onEngine ? pair.server.engine : nil) { await pair.server.receiveMany(receives) }
    let sent = Task(executorPreference: onEngine ? pair.client.engine : nil) { await pair.client.sendMany(sends) }
    #expect(await sent.value.allSatisfy(\.isDone))
    #expect(await received.value.allSatisfy(\.isDone))
    for index in 0..<200 { #expect(receives[index].buffer.array() == pattern(size, index), "\(index)") }
    try await pair.close()
  }

  @Test("what waits of a batch ends with its deadline, its cancellation and its engine", arguments: [true, false])
  func restEnds(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected { $0.inFlightLimit = 10 }
    let engine = pair.server.engine
    let receives = (0..<30).map { ReceiveRequest(into: MessageBuffer(count: 1), tag: CausewayMessaging.Tag(UInt64($0))) }
    func start(_ timeout: Duration? = nil) -> Task<[MessagingError.Code?], Never> {
      Task(executorPreference: onEngine ? engine : nil) { await pair.server.receiveMany(receives, timeout: timeout).map(\.code) }
    }
    #expect(await start(.milliseconds(20)).value == .init(repeating: .deadlineExceeded, count: 30))
    let cancelled = start()
    while try engine.inFlight() < 10 { await Task.yield() }
    cancelled.cancel()
    #expect(await cancelled.value == .init(repeating: .cancelled, count: 30))
    let closed = start()
    while try engine.inFlight() < 10 { await Task.yield() }
    engine.shutdown()
    #expect(await closed.value == .init(repeating: .closed, count: 30))
    pair.client.engine.shutdown()
  }

  @Test("a cancelled batch ends, each of its operations by itself", arguments: [true, false])
  func cancelledBatch(_ onEngine: Bool) async throws {
    let pair = try await Pair.connected()
    let receives = (0..<10).map { ReceiveRequest(into: MessageBuffer(count: 1), tag: CausewayMessaging.Tag(UInt64($0))) }
    let task = Task(executorPreference: onEngine ? pair.server.engine : nil) { await pair.server.receiveMany(receives) }
    while try pair.server.engine.inFlight() < 10 { await Task.yield() }
    try await pair.client.send([1], tag: 3, synchronous: true)
    task.cancel()
    let ends = await task.value
    for index in 0..<10 { #expect(ends[index].isDone == (index == 3)) }
    #expect(ends[0].code == .cancelled)
    try await pair.close()
  }

  @Test("threads that wait drive the engine themselves, and leave it to others", arguments: ["posix", "tcp"])
  func blocking(_ tls: String) async throws {
    let pair = try await Pair.connected(tls: tls)
    let echo = Thread {
      let buffer = MessageBuffer(count: 1 << 17)
      for _ in 0..<300 {
        guard let received = try? pair.endpoint.receiveBlocking(into: buffer, tag: 1) else { return }
        let answer = MessageBuffer(buffer.array(upTo: received.byteCount))
        try? pair.endpoint.sendBlocking(answer, tag: 2)
      }
    }
    let aside = Task { for index in 0..<100 { try await pair.client.send([UInt8(index)], tag: 9) } }
    let asideReceived = Task {
      for index in 0..<100 {
        let (buffer, _) = try await pair.server.receive(tag: 9)
        #expect(buffer.array() == [UInt8(index)])
      }
    }
    let ping = Thread {
      for index in 0..<300 {
        let bytes = pattern(index * 300, index)
        let back = MessageBuffer(count: 1 << 17)
        do {
          try pair.client.sendBlocking(MessageBuffer(bytes), tag: 1)
          let received = try pair.client.receiveBlocking(into: back, tag: 2)
          #expect(back.array(upTo: received.byteCount) == bytes)
        } catch { Issue.record("\(error)") }
      }
    }
    await ping.join()
    await echo.join()
    try await aside.value
    try await asideReceived.value
    let waiter = Thread {
      let error = #expect(throws: MessagingError.self) {
        try pair.client.receiveBlocking(into: MessageBuffer(count: 1), tag: 5, timeout: .milliseconds(20))
      }
      #expect(error?.code == .deadlineExceeded)
    }
    await waiter.join()
    try await pair.close()
  }
}
