import CausewayBase
import Testing

@testable import CausewayTunnelCore

/// What two sessions tell each other over a new connection, and what goes on from there.
@Suite struct ResumeTests {
  @Test("only what is missing is sent again", arguments: [(0, 1000), (1, 999), (400, 600), (999, 1), (1000, 0)])
  func replay(_ arrived: Int, _ again: Int) throws {
    let session = Session.attached(.relay)
    let id = try #require(session.open(1000))
    _ = session.sent()
    session.detach()
    session.attach(resumed: true, at: .ms(5))
    #expect(session.sent(at: .ms(5)) == [SentFrame(kind: 7, flags: 1, stream: 1, payload: Wire.entry(1, 0, 65536))])
    #expect(session.sent(at: .ms(5)) == [])  // data waits for the peer's word
    #expect(try session.feed(Wire.synchronize(highest: 1, Wire.entry(1, UInt64(arrived), 65536)), at: .ms(6)) == [.synchronized])
    let frames = session.sent(at: .ms(6))
    #expect(frames.map { [Int($0.offset), $0.dataByteCount] } == (again > 0 ? [[arrived, again]] : []))
    #expect(session.statistics.bytesReplayed == UInt64(again) && session.unacknowledgedByteCount == again)
    #expect(session.isOpen(id))
  }

  @Test("a frame cut by the death of its connection goes on at the right byte") func cutFrame() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    _ = try #require(relay.open(100))
    let out = ByteBuffer()
    relay.produce(into: out, upTo: .max, at: .ms(0))
    var events: [SessionEvent] = []
    // The ping of 16 bytes came first.
    #expect(try client.receive(out.bytes.extracting(first: 16 + 16 + 30), at: .ms(0), into: &events) == 62)
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(5))
    }
    let seen = try exchange(relay, client, at: .ms(5))
    #expect(seen.a == [.synchronized] && seen.b.count == 2 && seen.b[1].range.count == 70)
    #expect(relay.statistics.bytesReplayed == 70 && client.receivedByteCount(1) == 100)
  }

  @Test("a stream that never arrived is opened again, before later ones, however much it had sent") func neverArrived() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    #expect(relay.open(40_000) == 1)
    _ = relay.sent()  // all of it is lost
    relay.detach()
    #expect(relay.open(10) == 2)
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(1))
    }
    let seen = try exchange(relay, client, at: .ms(1))
    #expect(seen.b.filter { if case .opened = $0 { true } else { false } } == [.opened(1), .opened(2)])
    #expect(client.receivedByteCount(1) == 40_000 && client.receivedByteCount(2) == 10)
    #expect(relay.statistics.bytesReplayed == 40_000)
  }

  @Test("a reset lost with the connection is understood from silence", arguments: [SessionRole.relay, .client])
  func lostReset(_ role: SessionRole) throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    let id = try #require(relay.open(10))
    _ = try exchange(relay, client)
    let (resetting, other) = role == .relay ? (relay, client) : (client, relay)
    resetting.reset(id, .cancelled)
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(1))
    }
    #expect(resetting.streamCount == 0)
    let seen = try exchange(relay, client, at: .ms(1))
    #expect((role == .relay ? seen.b : seen.a) == [.synchronized, .reset(id, .cancelled)])
    #expect(other.streamCount == 0)
  }

  @Test("a reset between our word and the peer's leaves after both") func resetWhileSynchronizing() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    let id = try #require(relay.open(10))
    _ = try exchange(relay, client)
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(1))
    }
    let told = relay.sent(at: .ms(1))
    #expect(told.map(\.kind) == [7])
    relay.reset(id, .originAborted)
    #expect(!relay.hasOutput(at: .ms(1)) && relay.sent(at: .ms(1)) == [])
    #expect(try client.feed(Wire.synchronize(highest: 1, told[0].payload), at: .ms(1)) == [.synchronized])
    let seen = try exchange(relay, client, at: .ms(1))
    #expect(seen.b == [.reset(id, .originAborted)] && client.streamCount == 0)
  }

  @Test("a stream whose last acknowledgement was lost ends well") func lostLastAcknowledgement() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    let id = try #require(relay.open(10))
    relay.finish(id, at: .ms(0))
    _ = try exchange(relay, client)
    client.finish(id, at: .ms(1))
    let end = client.sent(at: .ms(1)).last!
    #expect(try relay.feed(Wire.data(id, at: end.offset, [], end: true), at: .ms(1)) == [.end(id)])
    // The relay has yet to say that it got the end; the client has to hear of the relay's acknowledgement.
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(2))
    }
    let seen = try exchange(relay, client, at: .ms(2))
    #expect(seen.a == [.synchronized] && seen.b == [.synchronized])
    #expect(relay.streamCount == 0 && client.streamCount == 0)
  }

  @Test("what ended, was reset or was written while detached is told by the next connection") func actsWhileDetached() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    for _ in 0..<3 { _ = relay.open(10) }
    _ = try exchange(relay, client)
    for session in [relay, client] { session.detach() }
    #expect(!relay.hasOutput(at: .ms(1)) && relay.nextDeadline == nil && relay.advance(to: .ms(60_000)))
    relay.write(1, 5, at: .ms(1))
    relay.finish(1, at: .ms(1))
    relay.reset(2, .cancelled)
    client.write(3, 7, at: .ms(1))
    #expect(relay.open(4) == 4)
    for session in [relay, client] { session.attach(resumed: true, at: .ms(2)) }
    let seen = try exchange(relay, client, at: .ms(2))
    #expect(client.receivedByteCount(1) == 15 && seen.b.contains(.end(1)) && seen.b.contains(.reset(2, .cancelled)))
    #expect(relay.receivedByteCount(3) == 7 && client.receivedByteCount(4) == 4)
  }

  @Test("credit that was told to the dead connection is told again") func creditAfterResume() throws {
    let (relay, client) = (Session.attached(.relay) { $0.initialWindow = 100 }, Session.attached(.client) { $0.initialWindow = 100 })
    let id = try #require(relay.open(150))
    _ = try exchange(relay, client)
    client.drained(id, upTo: 100, pathRoundTrip: 0, at: .ms(1))
    _ = client.sent(at: .ms(1))  // lost
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(2))
    }
    _ = try exchange(relay, client, at: .ms(2))
    #expect(client.receivedByteCount(id) == 150)
  }

  @Test("more streams than one frame can name are told in several") func manyStreams() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    for _ in 0..<7000 { _ = relay.open(1) }
    _ = try exchange(relay, client)
    for session in [relay, client] {
      session.detach()
      session.attach(resumed: true, at: .ms(1))
    }
    let told = relay.sent(at: .ms(1))
    #expect(told.map(\.entries.count) == [3276, 3276, 448] && told.map(\.flags) == [0, 0, 1] && told.map(\.stream) == [0, 0, 7000])
    relay.detach()
    relay.attach(resumed: true, at: .ms(2))
    _ = try exchange(relay, client, at: .ms(2))
    #expect(relay.streamCount == 7000 && client.streamCount == 7000)
  }

  @Test("a peer that never synchronizes is given up, pings or not") func silentPeer() throws {
    let session = Session.attached(.client)
    session.detach()
    session.attach(resumed: true, at: .ms(0))
    for second in 1...8 {
      _ = session.sent(at: .ms(Double(second) * 1000))
      _ = try session.feed(Wire.ping(0), at: .ms(Double(second) * 1000))
      #expect(session.advance(to: .ms(Double(second) * 1000)))
    }
    #expect(session.nextDeadline! <= .ms(9000) && !session.advance(to: .ms(9000)))
  }
}
