import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayLanes

private final class Echo: LaneOwner {
  var received: [UInt8] = []
  var closed: [String] = []
  var takes = true
  let output = ByteBuffer()

  func laneReceived(_ bytes: Span<UInt8>) -> Int {
    guard takes else { return 0 }
    received += unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    return bytes.count
  }
  func laneWantsOutput(into out: ByteBuffer, target: Int) {
    let count = min(target, output.count)
    out.append(output, 0..<count)
    output.consume(count)
  }
  func laneClosed(_ reason: String) { closed.append(reason) }
}

private let nothing: [UInt8] = []

@Suite struct LaneTests {
  @Test("bytes from before the lane come first, then those of the socket")
  func earlyBytes() async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let echo = Echo()
      let lane = Lane(a, received: Array("early ".utf8).span, framing: nil)
      lane.start(echo)
      peer.send("late")
      #expect(await loop.until { echo.received == Array("early late".utf8) })
      lane.close()
      #expect(await loop.until { peer.sawEnd })
      #expect(echo.closed.isEmpty, "who closes needs not be told")
      b.close()
    }
  }

  @Test("an owner that takes nothing is not read for beyond a bound, and a new owner gets all of it")
  func handingOn() async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let (first, second) = (Echo(), Echo())
      first.takes = false
      let lane = Lane(a, received: nothing.span, framing: nil)
      lane.start(first)
      let sent = pattern(4_000_000)
      peer.send(sent)
      await loop.pause(.milliseconds(100))
      #expect(peer.unsentByteCount > 2_000_000)
      lane.start(second)
      #expect(await loop.until { second.received.count == sent.count })
      #expect(second.received == sent && first.received.isEmpty)
      lane.close()
      b.close()
    }
  }

  @Test("the peer's end and its reset are told once")
  func ends() async throws {
    try await onLoop { loop in
      for abruptly in [false, true] {
        let (a, b) = try await tcpPair(on: loop)
        let echo = Echo()
        let lane = Lane(a, received: nothing.span, framing: nil)
        lane.start(echo)
        if abruptly { b.abort() } else { b.close() }
        #expect(await loop.until { !echo.closed.isEmpty })
        await loop.pause(.milliseconds(20))
        #expect(echo.closed.count == 1 && !a.isOpen)
      }
    }
  }

  @Test("last words leave before the close, whatever waits before them, and the completion tells when")
  func lastWords() async throws {
    try await onLoop { loop in
      let (a, b) = try await tcpPair(on: loop)
      let peer = PlainPeer(b)
      peer.reads = false
      let echo = Echo()
      let sent = pattern(20_000_000)
      echo.output.append(sent.span)
      await loop.pause(.milliseconds(1))  // limits count from the turn's beginning
      var lane: Lane? = Lane(a, received: nothing.span, framing: nil)
      lane?.start(echo)
      var flushed = 0
      lane?.closeAfterFlush { flushed += 1 }
      lane = nil
      await loop.pause(.milliseconds(50))
      #expect(flushed == 0)
      peer.reads = true
      #expect(await loop.until { peer.sawEnd })
      #expect(flushed == 1 && peer.received == sent)
      peer.stream.close()
      #expect(await loop.until { !a.isOpen })
    }
  }

  @Test("a peer that never reads the last words loses its connection all the same, and nothing stays in the loop")
  func unreadLastWords() async throws {
    try await onLoop { loop in
      let (a, b) = try await tcpPair(on: loop)
      let echo = Echo()
      echo.output.append(pattern(20_000_000).span)
      var lane: Lane? = Lane(a, received: nothing.span, framing: nil)
      weak let weakLane = lane
      lane?.start(echo)
      var flushed = 0
      lane?.closeAfterFlush { flushed += 1 }
      lane = nil
      #expect(weakLane != nil)
      #expect(await loop.until { !a.isOpen })
      #expect(flushed == 1)
      #expect(await loop.until { weakLane == nil })
      b.close()
    }
  }

  @Test("a lane that nobody holds closes its socket")
  func dropped() async throws {
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      do {
        let lane = Lane(a, received: nothing.span, framing: nil)
        withExtendedLifetime(lane) {}
      }
      #expect(await loop.until { !a.isOpen })
      b.close()
    }
  }

  @Test("a login over WebSocket goes on with what came behind its message")
  func pipelinedLogin() async throws {
    final class Login: ControlExchangeOwner {
      var acceptsMessages = true
      var messages: [ControlMessage] = []
      var failed: [String] = []
      func exchangeReceived(_ message: ControlMessage) {
        messages.append(message)
        acceptsMessages = false
      }
      func exchangeFailed(_ reason: String) { failed.append(reason) }
    }
    try await onLoop { loop in
      for webSocket in [false, true] {
        let (a, b) = try socketPair(on: loop)
        let peer = PlainPeer(b)
        let login = Login()
        let exchange = ControlExchange(Lane(a, received: nothing.span, framing: webSocket ? WebSocketFraming(isClient: false) : nil), login)
        let wire = ByteBuffer()
        let sender = WebSocketFraming(isClient: true)
        let frames = ByteBuffer()
        for message in [ControlMessage.authenticate(token: "t", version: 3), .start, .end(reason: "x")] {
          let scratch = ByteBuffer()
          message.encode(to: scratch)
          FrameHeader.appendControl(scratch.bytes, to: frames)
        }
        if webSocket { sender.produce(into: wire) { $0.append(frames) } } else { wire.append(frames) }
        peer.send(wire.array)
        #expect(await loop.until { login.messages.count == 1 })
        await loop.pause(.milliseconds(10))
        #expect(login.messages.count == 1, "one at a time")
        login.acceptsMessages = true
        exchange.proceed()
        #expect(await loop.until { login.messages.count == 2 })
        login.acceptsMessages = true
        exchange.proceed()
        #expect(await loop.until { login.messages.last == .end(reason: "x") })
        #expect(login.failed.isEmpty)
        exchange.end()
        exchange.lane.close()
        b.close()
      }
    }
  }

  @Test(
    "what is no control message ends a login, and a long one too",
    arguments: [
      [1, 0, 0, 8, 0, 0, 0, 1], [6, 0, 0, 1, 0, 0, 0, 0, 0xC0], [6, 0, 0x10, 0, 0, 0, 0, 0] + [UInt8](repeating: 0x80, count: 4096),
      [0x47, 0x45, 0x54, 0x20, 0x2F, 0x20, 0x48, 0x54],
    ] as [[UInt8]])
  func refusedLogin(_ wire: [UInt8]) async throws {
    final class Login: ControlExchangeOwner {
      var acceptsMessages: Bool { true }
      var failed = 0
      func exchangeReceived(_ message: ControlMessage) {}
      func exchangeFailed(_ reason: String) { failed += 1 }
    }
    try await onLoop { loop in
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let login = Login()
      let exchange = ControlExchange(Lane(a, received: nothing.span, framing: nil), login)
      peer.send(wire)
      #expect(await loop.until { login.failed == 1 && !a.isOpen })
      withExtendedLifetime(exchange) {}
      b.close()
    }
  }
}
