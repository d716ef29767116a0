import CUCX
import CausewayLinuxIO
import CausewayMessagingCore
import Glibc
import Testing

@testable import CausewayMessaging

/// Large messages between processes of one host, which the receiver reads from the sender's memory.
@Suite("A single copy", .serialized)
struct SingleCopyTests {
  static let large = 48 << 20

  /// A pair whose server is driven by the test, a step at a time, so that it stands still in the middle of a message.
  struct Stepped {
    let pair: Pair
    /// The receive of the large message is.
    let isOver = Box(false)

    init() async throws {
      let (one, other) = (try Pair.engine(tls: "tcp,cma") { $0.progress = .manual }, try Pair.engine(tls: "tcp,cma"))
      let loop = OwnLoop(one)
      let server = try Server(on: one)
      let port = try await server.listen(on: "127.0.0.1")
      let client = try Client(on: other)
      try await client.connect(to: "127.0.0.1", port: port)
      let endpoint = try #require(await server.nextEndpoint())
      pair = Pair(server: server, client: client, endpoint: endpoint)
      pair.readsAll()
      await loop.end()
      #expect(pair.clientOffers)
    }

    /// Until part of a large message is in `buffer`.
    func untilHalf(_ buffer: MessageBuffer) async throws {
      while buffer.first == 0 {
        try #require(!isOver.value, "it ended before anything came")
        try pair.server.engine.progress()
        await Task.yield()
      }
      try #require(buffer.last == 0, "it came at once")
    }

    typealias End = Task<MessagingError.Code?, Never>

    /// A large message of sevens from the client, half of which is in the server's buffer, and how both calls will end.
    func halfMessage() async throws -> (source: MessageBuffer, buffer: MessageBuffer, sent: End, received: End) {
      let (server, client) = (pair.server, pair.client)
      let source = MessageBuffer([UInt8](repeating: 7, count: SingleCopyTests.large))
      let buffer = MessageBuffer(count: SingleCopyTests.large)
      let sent = Task { await code { try await client.send(source, tag: 1) } }
      let isOver = isOver
      let received = Task {
        defer { isOver.value = true }
        return await code { _ = try await server.receive(into: buffer, tag: 1) }
      }
      try await untilHalf(buffer)
      return (source, buffer, sent, received)
    }

    /// Whatever is left, and the end.
    func finish() async throws {
      let loop = OwnLoop(pair.server.engine)
      try await pair.close()
      await loop.end()
    }

    func withLoop<R>(_ body: () async throws -> R) async throws -> R {
      let loop = OwnLoop(pair.server.engine)
      let result = try await body()
      await loop.end()
      return result
    }
  }

  // MARK: The way

  @Test("goes both ways, and its memory comes back at both sides", arguments: [nil, "all", "tcp,cma", "posix,cma"], [true, false])
  func bothWays(_ tls: String?, _ tcp: Bool) async throws {
    let (one, other) = (try Pair.engine(tls: tls), try Pair.engine(tls: tls))
    let (server, client) = (try Server(on: one), try Client(on: other))
    if tcp {
      try await client.connect(to: "127.0.0.1", port: try await server.listen(on: "127.0.0.1"))
    } else {
      try await client.connect(toAddress: try await server.listenAddress(tcp: false))
    }
    let endpoint = try #require(await server.nextEndpoint())
    let pair = Pair(server: server, client: client, endpoint: endpoint)
    pair.readsAll()
    #expect(pair.clientOffers)
    // The server learns a little later that the client can read it.
    while !pair.serverOffers { await Task.yield() }
    for size in [Driver.offerLimit, Driver.offerLimit + 1, 2_500_001] {
      let (there, back) = (MessageBuffer(pattern(size, 1)), MessageBuffer(pattern(size, 2)))
      let (taken, returned) = (MessageBuffer(count: size), MessageBuffer(count: size))
      async let received = server.receive(into: taken, tag: 1)
      async let answered = client.receive(into: returned, tag: 2)
      try await client.send(there, tag: 1, synchronous: true)
      try await endpoint.send(back, tag: 2)
      let counts = try await [received.byteCount, answered.byteCount]
      #expect(counts == [size, size])
      #expect(taken.array() == there.array() && returned.array() == back.array())
    }
    try await client.flush()
    #expect(try client.transports().contains { $0.name == "cma" })
    #expect(try endpoint.transports().contains { $0.name == "cma" })
    #expect(try client.route(of: 1 << 20)?.lanes == "cma/memory")
    #expect(try client.route(of: Driver.offerLimit - 1)?.lanes.contains("cma") != true)
    #expect(try client.engine.inFlight() == 0)
    try await pair.close()
  }

  @Test("memory in small pages goes by UCX when it is long, and the route says so")
  func smallPages() async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    let size = 3 << 20
    // At an odd place of a heap that nobody advised.
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 4096, alignment: 4096)
    defer { unsafe memory.deallocate() }
    for index in 0..<memory.count { unsafe memory[index] = UInt8(truncatingIfNeeded: index) }
    let isKnown = unsafe pair.client.driver.pageMap?.isHuge(UInt64(UInt(bitPattern: memory.baseAddress! + size / 2))) == false
    let piece = UnsafeRawBufferPointer(memory)
    async let received = pair.server.receive(tag: 1)
    try await unsafe pair.client.send(piece, tag: 1)
    let bytes = try await received.buffer.array()
    #expect(unsafe bytes.elementsEqual(piece))
    if isKnown { #expect(try pair.client.route(of: size)?.lanes == "tcp/lo") }
    try await pair.close()
  }

  @Test("without the permission, or without the wish, everything goes by UCX", arguments: ["posix,tcp", "^cma"])
  func fallback(_ tls: String) async throws {
    let (one, other) = (try Pair.engine(tls: tls), try Pair.engine())
    for (left, right) in [(one, other), (other, one)] {
      let (server, client) = (try Server(on: left), try Client(on: right))
      try await client.connect(to: "127.0.0.1", port: try await server.listen(on: "127.0.0.1"))
      let endpoint = try #require(await server.nextEndpoint())
      let pair = Pair(server: server, client: client, endpoint: endpoint)
      let bytes = pattern(1 << 20)
      async let received = server.receive(tag: 1)
      try await client.send(bytes, tag: 1)
      #expect(try await received.buffer.array() == bytes)
      #expect(!pair.clientOffers && !pair.serverOffers)
      try await client.close()
      try await server.close()
    }
    one.shutdown()
    other.shutdown()
  }

  // MARK: In the middle

  @Test("a receive that is cancelled or late in the middle leaves its memory alone from then on", arguments: [true, false])
  func cancelled(_ byDeadline: Bool) async throws {
    let stepped = try await Stepped()
    let (server, client) = (stepped.pair.server, stepped.pair.client)
    let sent = Task { try await client.send(MessageBuffer([UInt8](repeating: 7, count: Self.large)), tag: 1) }
    let buffer = MessageBuffer(count: Self.large)
    let ended = Box<MessagingError.Code?>(nil)
    let limit: Duration? = byDeadline ? .seconds(1) : nil
    let task = Task {
      defer { stepped.isOver.value = true }
      ended.value = await code { _ = try await server.receive(into: buffer, tag: 1, timeout: limit) }
    }
    try await stepped.untilHalf(buffer)
    if !byDeadline { task.cancel() }
    // A deadline is not looked at before its time: stand still until then.
    let start = ContinuousClock.now
    while byDeadline && ContinuousClock.now - start < .seconds(1) { await Task.yield() }
    try await stepped.withLoop {
      await task.value
      #expect(ended.value == (byDeadline ? .deadlineExceeded : .cancelled))
      #expect(buffer.last == 0)
      // The sender has its memory back, and the connection goes on.
      try await sent.value
      try await client.flush()
      try await client.send([1, 2, 3], tag: 2)
      #expect(try await server.receive(tag: 2).buffer.array() == [1, 2, 3])
      #expect(buffer.last == 0)
    }
    try await stepped.finish()
  }

  @Test("the sender goes in the middle: the receive ends as peerLost, and the sender has its memory")
  func senderCloses() async throws {
    let stepped = try await Stepped()
    let client = stepped.pair.client
    let (source, buffer, sent, received) = try await stepped.halfMessage()
    try await ignoring(.deadlineExceeded) { try await client.close(timeout: .zero) }
    #expect(await sent.value == .closed)
    // It may do with it what it likes: nothing of that is taken for the message.
    unsafe source.withUnsafeMutableBytes { memory in _ = unsafe memory.initializeMemory(as: UInt8.self, repeating: 9) }
    try await stepped.withLoop { #expect(await received.value == .peerLost) }
    #expect(buffer.last != 9)
    try await stepped.finish()
  }

  @Test("the receiver goes in the middle: the send ends as peerLost")
  func receiverCloses() async throws {
    let stepped = try await Stepped()
    let server = stepped.pair.server
    let (_, buffer, sent, received) = try await stepped.halfMessage()
    let closed = Box(false)
    let closing = Task {
      try await ignoring(.deadlineExceeded) { try await server.close(timeout: .zero) }
      closed.value = true
    }
    // No step but for what the close hands over.
    let driver = server.driver
    while !closed.value {
      if driver.loop.hasWaitingWork || !driver.submissions.isEmpty { try server.engine.progress() } else { await Task.yield() }
    }
    try await closing.value
    #expect(await received.value == .closed)
    #expect(await sent.value == .peerLost)
    #expect(buffer.last == 0)
    try await stepped.finish()
  }

  @Test("an engine that ends in the middle ends what it reads")
  func engineEnds() async throws {
    let stepped = try await Stepped()
    let (server, client) = (stepped.pair.server, stepped.pair.client)
    let (_, buffer, sent, received) = try await stepped.halfMessage()
    server.engine.shutdown()
    #expect(await received.value == .closed)
    #expect(await sent.value == .peerLost)
    #expect(buffer.last == 0)
    try await client.close()
    client.engine.shutdown()
  }

  @Test("several go on in turns, and small messages between them")
  func turns() async throws {
    let stepped = try await Stepped()
    let (server, client) = (stepped.pair.server, stepped.pair.client)
    let sent = Task {
      let bytes = MessageBuffer([UInt8](repeating: 7, count: Self.large))
      async let first: Void = client.send(bytes, tag: 1)
      async let second: Void = client.send(bytes, tag: 2)
      async let third: Void = client.send([1], tag: 3)
      _ = try await (first, second, third)
    }
    let buffers = [MessageBuffer(count: Self.large), MessageBuffer(count: Self.large)]
    let small = Box(false)
    for (index, buffer) in buffers.enumerated() { server.receive(into: buffer, tag: Tag(UInt64(index + 1))) { _ in } }
    server.receive(into: MessageBuffer(count: 1), tag: 3) { _ in small.value = true }
    while buffers[0].first == 0 || buffers[1].first == 0 || !small.value {
      try server.engine.progress()
      await Task.yield()
    }
    for buffer in buffers { #expect(buffer.last == 0) }
    try await stepped.withLoop { try await sent.value }
    try await stepped.finish()
  }

  @Test("a very long one is read from both ends, and all of it comes")
  func bothEnds() async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    pair.readsAll()
    let (source, target) = (MessageBuffer(count: Self.large + 12_345), MessageBuffer(count: Self.large + 12_345))
    unsafe source.withUnsafeMutableBytes { memory in
      for place in stride(from: 0, to: memory.count - 8, by: 8) {
        unsafe memory.storeBytes(of: place &* 0x9E37_79B9, toByteOffset: place, as: Int.self)
      }
    }
    for _ in 0..<4 {
      unsafe target.withUnsafeMutableBytes { memory in unsafe _ = memory.initializeMemory(as: UInt8.self, repeating: 0) }
      async let received = pair.server.receive(into: target, tag: 1)
      try await pair.client.send(source, tag: 1)
      #expect(try await received.byteCount == source.count)
      let isSame = unsafe source.withUnsafeBytes { one in
        unsafe target.withUnsafeBytes { unsafe memcmp(one.baseAddress!, $0.baseAddress!, one.count) }
      }
      #expect(isSame == 0)
    }
    let helped = pair.server.driver.asGuest { pair.server.driver.readingThread != nil }
    #expect(helped == (cucx_core_count() > 1))
    try await pair.close()
  }

  @Test("nor does a second thread write to the memory of a receive that was cancelled")
  func cancelledOften() async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    pair.readsAll()
    let (server, client) = (pair.server, pair.client)
    let source = MessageBuffer([UInt8](repeating: 7, count: Self.large))
    var cancelled = 0
    for _ in 0..<12 {
      let buffer = MessageBuffer(count: Self.large)
      let task = Task { await code { _ = try await server.receive(into: buffer, tag: 1) } }
      async let sent: Void = client.send(source, tag: 1)
      while buffer.first == 0 && buffer.last == 0 { await Task.yield() }
      task.cancel()
      if await task.value == .cancelled {
        cancelled += 1
        let before = buffer.array()
        try await sent
        #expect(buffer.array() == before)
      } else {
        try await sent
        #expect(buffer.last == 7)
      }
    }
    #expect(cancelled > 0)
    try await pair.close()
  }

  // MARK: Matching

  @Test("a message that is too long for a receive keeps its place, one of unknown size gets its memory")
  func truncated() async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    pair.readsAll()
    let bytes = pattern(1 << 20)
    let sent = Task { try await pair.client.send(bytes, tag: 1) }
    while try pair.server.probe(tag: 1) == nil { await Task.yield() }
    do {
      _ = try await pair.server.receive(into: MessageBuffer(count: 1000), tag: 1)
      Issue.record("too small a buffer did")
    } catch {
      #expect(error.code == .truncated && error.byteCount == 1 << 20)
    }
    #expect(try await pair.server.receive(tag: 1).buffer.array() == bytes)
    try await sent.value
    try await pair.close()
  }

  @Test("one that nobody receives is given back when its receiver closes")
  func unreceived() async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    let sent = Task { await code { try await pair.client.send(pattern(1 << 20), tag: 1) } }
    while try pair.server.probe(tag: 1) == nil { await Task.yield() }
    try await ignoring(.deadlineExceeded) { try await pair.server.close(timeout: .zero) }
    #expect([.closed, .peerLost].contains(await sent.value))
    #expect(try pair.client.engine.inFlight() == 0)
    try await pair.client.close()
  }

  // MARK: Lies

  @Test("an offer of memory that isn't there ends its connection, and no other", arguments: [8, 1 << 46, 1 << 62])
  func nowhere(_ address: Int) async throws {
    let pair = try await Pair.connected(tls: "tcp,cma")
    let honest = try Client(on: pair.client.engine)
    try await honest.connect(to: "127.0.0.1", port: try #require(pair.endpoint.addresses.local).port)
    let received = Task { await code { _ = try await pair.server.receive(tag: 1) } }
    let lie = unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: 1 << 20)
    #expect(await code { try await unsafe pair.client.send(lie, tag: 1) } == .peerLost)
    #expect(await received.value == .peerLost)
    try await honest.send([1], tag: 2)
    #expect(try await pair.server.receive(tag: 2).buffer.array() == [1])
    try await honest.close()
    try await pair.close()
  }

  @Test("an offer to somebody who takes none ends the connection")
  func unasked() async throws {
    let pair = try await Pair.connected(tls: "tcp")
    let (driver, connection) = (pair.client.driver, pair.client.connection)
    driver.asGuest { driver.peerReads(connection) }
    #expect(await code { try await pair.client.send(pattern(1 << 20), tag: 1) } == .peerLost)
    #expect(await code { _ = try await pair.endpoint.receive(tag: 1) } == .peerLost)
    try await pair.close()
  }

  @Test("an offer whose ticket is another one's by now is no message")
  func staleTicket() async throws {
    let stepped = try await Stepped()
    let client = stepped.pair.client
    let (_, _, sent, received) = try await stepped.halfMessage()
    let driver = client.driver
    driver.asGuest { unsafe driver.sends.visit { slot in if unsafe slot.pointee.ticket != 0 { unsafe slot.pointee.ticket &+= 2 } } }
    try await stepped.withLoop {
      #expect(await received.value == .peerLost)
      #expect(await sent.value == .peerLost)
    }
    try await stepped.finish()
  }
}

extension Pair {
  /// Pages of any size are offered, whatever this machine has.
  func readsAll() { for driver in [server.driver, client.driver] { driver.asGuest { driver.pageMap = nil } } }

  var clientOffers: Bool { Self.offers(client) }
  var serverOffers: Bool { Self.offers(endpoint) }

  private static func offers(_ port: MessagePort) -> Bool {
    let (driver, connection) = (port.driver, port.connection)
    return driver.asGuest { unsafe driver.connections.pointer(connection.slot).pointee.takesOffers }
  }
}

extension MessageBuffer {
  fileprivate var first: UInt8 { bytes[0] }
  fileprivate var last: UInt8 { bytes[count - 1] }
}
