import CausewayBase
import CausewayLinuxIO
import CausewayLoopTesting
import CausewayTunnelCore
import Testing

@testable import CausewayLanes

private let nothing: [UInt8] = []
private let hello = Array("hello".utf8)

@Suite struct SessionDriverTests {
  @Test("streams, control messages and ends go both ways", arguments: [false, true])
  func exchange(webSocket: Bool) async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      try pair.join(webSocket: webSocket)
      let (first, second): ([UInt8], [UInt8]) = ([0x80], [0x81, 1, 2])
      pair.relay.sendControl(first.span)
      pair.client.sendControl(second.span)
      let (near, far) = (RecordingHandler(), RecordingHandler())
      pair.clientOwner.makeHandler = { _ in far }
      let opened = pair.relay.open(hello.span, near)
      let id = try #require(opened)
      #expect(await loop.until { far.received == hello })
      let body = pattern(50_000)
      pair.client.send(id, body.span)
      pair.client.finish(id)
      #expect(await loop.until { near.ended && near.received == body })
      pair.relay.finish(id)
      #expect(await loop.until { far.ended })
      #expect(pair.clientOwner.controls.last == [0x80] && pair.relayOwner.controls.last == [0x81, 1, 2])
      #expect(await loop.until { pair.relay.session.streamCount == 0 && pair.client.session.streamCount == 0 })
      pair.relay.release(id)
      pair.client.release(id)
      #expect(pair.relay.handlerCount == 0 && pair.client.handlerCount == 0)
      pair.end()
    }
  }

  @Test("a handler that hands its stream on in the middle of a burst hands on all that follows")
  func handOverInABurst() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      try pair.join()
      let (first, second) = (RecordingHandler(), RecordingHandler())
      pair.clientOwner.makeHandler = { _ in first }
      first.onData = { pair.client.setHandler(1, second) }
      // Two frames for one stream that arrive in one read: the head, and what the visitor said at once.
      let id = pair.relay.open(hello.span, RecordingHandler())!
      pair.relay.lane?.flushNow()
      pair.relay.send(id, hello.span)
      pair.relay.lane?.flushNow()
      #expect(await loop.until { second.received == hello })
      #expect(first.received == hello)
      first.onData = nil
      pair.end()
    }
  }

  @Test("an older lane is fenced: what it still brings is dropped, and its end does not matter")
  func fencing() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      let old = try pair.join()
      let far = RecordingHandler()
      pair.clientOwner.makeHandler = { _ in far }
      let id = pair.relay.open(hello.span, RecordingHandler())!
      #expect(await loop.until { far.received == hello })
      // Both speak into the old lane, then a new one takes over in the same turn.
      pair.relay.send(id, hello.span)
      pair.client.send(id, hello.span)
      try pair.join(resumed: true)
      #expect(!old.relay.isOpen && !old.client.isOpen)
      #expect(await loop.until { far.received == hello + hello })
      #expect(await loop.until { pair.relayOwner.synchronizations == 1 && pair.clientOwner.synchronizations == 1 })
      #expect(pair.relayOwner.lost.isEmpty && pair.clientOwner.lost.isEmpty)
      pair.end()
    }
  }

  @Test("streams go on at the right byte over lane after lane", arguments: 1...4 as ClosedRange<UInt64>)
  func resumptions(seed: UInt64) async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      try pair.join(webSocket: seed % 2 == 0)
      let body = pattern(3_000_000, seed)
      let (near, far) = (RecordingHandler(), RecordingHandler())
      pair.clientOwner.makeHandler = { _ in far }
      let id = pair.relay.open(hello.span, near)!
      var sent = 0
      func pump() {
        while sent < body.count {
          let capacity = pair.client.sendCapacity(id)
          if capacity == 0 { return }
          let count = min(capacity, body.count - sent)
          pair.client.send(id, body.span.extracting(sent..<sent + count))
          sent += count
        }
        pair.client.finish(id)
      }
      far.onData = { pump() }
      far.onWritable = { pump() }
      near.onData = {
        pair.relay.drained(id, upTo: UInt64(near.received.count), acknowledged: UInt64(near.received.count), pathRoundTrip: 0)
      }
      var random = SeededRandom(seed: seed)
      for _ in 0..<6 {
        let mark = near.received.count + Int.random(in: 1...400_000, using: &random)
        #expect(await loop.until { near.received.count >= mark || near.ended })
        if Bool.random(using: &random) { pair.relay.detach() } else { pair.client.detach() }
        #expect(await loop.until { !pair.relay.isAttached && !pair.client.isAttached })
        try pair.join(resumed: true, webSocket: seed % 2 == 0)
      }
      #expect(await loop.until { near.ended })
      #expect(near.received == body)
      #expect(pair.relayOwner.lost.count + pair.clientOwner.lost.count == 6, "who gave the lane up needs not be told")
      pair.end()
    }
  }

  @Test("silence is death after its limit; pings keep an idle lane alive")
  func silence() async throws {
    try await onLoop { loop in
      var limits = SessionLimits()
      limits.pingAfterSilence = .milliseconds(30)
      limits.deadAfterSilence = .milliseconds(120)
      let pair = DriverPair(loop, limits: limits)
      try pair.join()
      await loop.pause(.milliseconds(400))
      #expect(pair.relayOwner.lost.isEmpty && pair.clientOwner.lost.isEmpty)
      #expect(pair.client.session.roundTripNanoseconds > 0)
      pair.end()
      // A peer that is there but says nothing.
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let driver = SessionDriver(role: .client, limits: limits, pool: pair.pool, loop: loop)
      let owner = RecordingOwner()
      driver.owner = owner
      let begin = SystemClock.now
      driver.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
      #expect(await loop.until { owner.lost.count == 1 })
      let waited = SystemClock.now - begin
      #expect(waited >= .milliseconds(115) && !driver.isAttached && !a.isOpen)
      #expect(peer.receivedByteCount >= 16, "it was asked")
      b.close()
    }
  }

  @Test("a probe tells at once of a peer that answers, after its limit of one that does not, and at once without a lane")
  func probes() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      try pair.join()
      var answers: [Bool] = []
      var begin = SystemClock.now
      pair.relay.probe(limit: .seconds(1)) { answers.append($0) }
      #expect(await loop.until { answers == [true] })
      #expect(SystemClock.now - begin < .milliseconds(500))
      pair.end()
      pair.relay.probe(limit: .seconds(1)) { answers.append($0) }
      #expect(answers == [true, false])
      let (a, b) = try socketPair(on: loop)
      pair.relay.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
      begin = SystemClock.now
      pair.relay.probe(limit: .milliseconds(200)) { answers.append($0) }
      #expect(await loop.until { answers.count == 3 })
      #expect(answers[2] == false && SystemClock.now - begin >= .milliseconds(190))
      pair.end()
      b.close()
    }
  }

  @Test("what came before a broken frame is delivered, and the lane is given up")
  func brokenFrame() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let far = RecordingHandler()
      pair.clientOwner.makeHandler = { _ in far }
      pair.client.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
      // Data of stream 1 at offset 0, then an unknown frame, in one piece.
      peer.send([1, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x68, 0x69, 99, 0, 0, 0, 0, 0, 0, 0])
      #expect(await loop.until { pair.clientOwner.lost.count == 1 })
      #expect(pair.clientOwner.opened == [1] && far.received == Array("hi".utf8))
      #expect(pair.client.session.receivedByteCount(1) == 2)
      b.close()
      pair.end()
      #expect(far.reset == .sessionEnded)
    }
  }

  @Test("a stream that nobody handles any more does not close its window")
  func released() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      try pair.join()
      let near = RecordingHandler()
      let id = pair.relay.open(hello.span, near)!
      #expect(await loop.until { pair.clientOwner.opened == [id] })
      pair.client.finish(id)
      pair.client.release(id)
      let body = [UInt8](repeating: 1, count: 2_000_000)
      var sent = 0
      func pump() {
        while sent < body.count {
          let capacity = pair.relay.sendCapacity(id)
          if capacity == 0 { return }
          let count = min(capacity, body.count - sent)
          pair.relay.send(id, body.span.extracting(sent..<sent + count))
          sent += count
        }
        pair.relay.finish(id)
      }
      near.onWritable = { pump() }
      pump()
      #expect(await loop.until { sent == body.count && pair.client.session.streamCount == 0 && pair.relay.session.streamCount == 0 })
      pair.relay.release(id)
      pair.end()
    }
  }

  @Test("nothing is left of drivers, lanes and handlers")
  func leaks() async throws {
    try await onLoop { loop in
      weak var weakRelay: SessionDriver?
      weak var weakClient: SessionDriver?
      weak var weakHandler: RecordingHandler?
      weak var weakLane: Lane?
      do {
        let pair = DriverPair(loop)
        try pair.join()
        try pair.join(resumed: true)
        let near = RecordingHandler()
        let id = pair.relay.open(hello.span, near)
        #expect(id != nil)
        #expect(await loop.until { pair.clientOwner.opened.count == 1 })
        (weakRelay, weakClient, weakHandler, weakLane) = (pair.relay, pair.client, near, pair.relay.lane)
        pair.relay.probe(limit: .milliseconds(100)) { _ in }
        await loop.pause(.milliseconds(150))
        pair.end()
      }
      #expect(await loop.until(.seconds(2)) { weakRelay == nil && weakClient == nil && weakHandler == nil && weakLane == nil })
    }
  }

  @Test("frames that arrive together reach whoever handles the stream after the first of them")
  func handlerChanges() async throws {
    try await onLoop { loop in
      let pair = DriverPair(loop)
      let (a, b) = try socketPair(on: loop)
      let peer = PlainPeer(b)
      let (first, second) = (RecordingHandler(), RecordingHandler())
      pair.clientOwner.makeHandler = { _ in first }
      first.onData = { pair.client.setHandler(1, second) }
      pair.client.attach(Lane(a, received: nothing.span, framing: nil), resumed: false)
      func data(_ offset: UInt8) -> [UInt8] { [1, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, offset, 0x61 + offset] }
      peer.send(data(0) + data(1) + data(2))
      #expect(await loop.until { first.received.count + second.received.count == 3 })
      #expect(first.received == Array("a".utf8) && second.received == Array("bc".utf8))
      pair.end()
      b.close()
    }
  }
}
