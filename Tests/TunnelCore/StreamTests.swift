import CausewayBase
import Testing

@testable import CausewayTunnelCore

/// How streams begin, end and are acknowledged on one connection.
@Suite struct StreamTests {
  @Test("each direction ends alone, and the stream is forgotten when both ends are acknowledged") func halfClose() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    let id = try #require(relay.open(5))
    relay.finish(id, at: .ms(0))
    var seen = try exchange(relay, client)
    #expect(seen.b.contains(.end(id)) && relay.isOpen(id) && client.isOpen(id))
    // The other direction goes on after the first has ended.
    client.write(id, 3)
    seen = try exchange(relay, client)
    #expect(seen.a.count == 1 && relay.receivedByteCount(id) == 3)
    client.finish(id, at: .ms(1))
    seen = try exchange(relay, client, at: .ms(1))
    #expect(seen.a == [.end(id)])
    seen = try exchange(relay, client, at: .ms(100))
    #expect(relay.streamCount == 0 && client.streamCount == 0)
    #expect(relay.unacknowledgedByteCount == 0 && relay.statistics.streamsClosed == 1)
  }

  @Test("an end that waits for credit leaves behind the last byte") func endBehindCredit() throws {
    let session = Session.attached(.relay) { $0.initialWindow = 10 }
    let id = try #require(session.open(15))
    session.finish(id, at: .ms(0))
    #expect(session.sent().map { [$0.dataByteCount, Int($0.flags)] } == [[10, 0]])
    #expect(try session.feed(Wire.acknowledge(id, received: 0, credit: 15)) == [])
    #expect(session.sent().map { [$0.dataByteCount, Int($0.flags)] } == [[5, 1]])
    #expect(try session.feed(Wire.acknowledge(id, received: 16, credit: 15)) == [])
    #expect(session.unacknowledgedByteCount == 0)
  }

  @Test("a lone end needs no credit") func loneEnd() throws {
    let session = Session.attached(.relay) { $0.initialWindow = 10 }
    let id = try #require(session.open(10))
    _ = session.sent()
    session.finish(id, at: .ms(0))
    #expect(session.sent() == [SentFrame(kind: 1, flags: 1, stream: id, payload: Wire.integer(UInt64(10)))])
  }

  @Test("nothing more is taken behind the end") func appendAfterFinish() throws {
    let session = Session.attached(.relay)
    let id = try #require(session.open(1))
    session.finish(id, at: .ms(0))
    session.write(id, 5)
    #expect(session.sendCapacity(id) == 0 && session.unacknowledgedByteCount == 1)
  }

  // MARK: Resets

  @Test("a reset kills both directions, once, and late frames of it are dropped") func reset() throws {
    let session = Session.attached(.relay)
    let id = try #require(session.open(10))
    _ = session.sent()
    session.reset(id, .originTimeout)
    session.reset(id, .originTimeout)
    #expect(session.sent() == [SentFrame(kind: 3, flags: 0, stream: id, payload: [0, 4])])
    #expect(try session.feed(Wire.data(id, at: 0, [1, 2, 3]) + Wire.acknowledge(id, received: 10, credit: 99) + Wire.reset(id)) == [])
    #expect(session.streamCount == 0)
  }

  @Test("a stream that was never announced is reset without a word, and hides none") func unannouncedReset() throws {
    let (relay, client) = (Session.attached(.relay), Session.attached(.client))
    let first = try #require(relay.open(10))
    let second = try #require(relay.open(10))
    relay.reset(second, .cancelled)
    #expect(relay.hasOutput(at: .ms(0)))
    let seen = try exchange(relay, client)
    #expect(seen.b == [.opened(first), .data(first, seen.b[1].range)])
    #expect(client.streamCount == 1)
  }

  @Test("a reset in the middle of a frame swallows the rest of it") func resetInsideFrame() throws {
    let session = Session.attached(.client)
    let frame = Wire.data(1, at: 0, [1, 2, 3, 4], end: true)
    #expect(try session.feed(Array(frame.prefix(18))) == [.opened(1), .data(1, 16..<18)])
    session.reset(1, .cancelled)
    #expect(try session.feed(Array(frame.suffix(2)) + Wire.data(2, at: 0, [1])) == [.opened(2), .data(2, 18..<19)])
  }

  @Test("a dead stream holds no memory while its turn has not come") func deadStreamMemory() throws {
    let session = Session.attached(.relay)
    session.detach()  // nothing leaves: the queue of turns only grows
    let id = try #require(session.open(50_000))
    let stream = try #require(session.streams[id])
    session.reset(id, .cancelled)
    let held = stream.queue.count
    #expect(held == 0)
  }

  // MARK: Acknowledgements

  @Test("an acknowledgement waits 20 ms for company, and then leaves alone") func delayedAcknowledgement() throws {
    let session = Session.attached(.client)
    _ = session.sent()
    _ = try session.feed(Wire.data(1, at: 0, [1, 2, 3]), at: .ms(10))
    #expect(!session.hasOutput(at: .ms(29)) && session.nextDeadline == .ms(30))
    #expect(session.advance(to: .ms(30)) && session.hasOutput(at: .ms(30)))
    #expect(session.nextDeadline! > .ms(30))  // also if nothing can leave now
    #expect(session.sent(at: .ms(30)) == [SentFrame(kind: 2, flags: 0, stream: 0, payload: Wire.entry(1, 3, 65536))])
    #expect(!session.hasOutput(at: .ms(31)) && session.sent(at: .ms(31)) == [])
  }

  @Test("an acknowledgement travels with data, before it") func piggyback() throws {
    let session = Session.attached(.client)
    _ = session.sent()
    _ = try session.feed(Wire.data(1, at: 0, [1, 2, 3]), at: .ms(10))
    session.write(1, 4, at: .ms(11))
    #expect(session.sent(at: .ms(11)).map(\.kind) == [2, 1])
    #expect(!session.hasOutput(at: .ms(100)))
  }

  @Test("much data is acknowledged at once") func acknowledgementThreshold() throws {
    let session = Session.attached(.client)
    _ = session.sent()
    _ = try session.feed(Wire.data(1, at: 0, [UInt8](repeating: 0, count: 32767)))
    #expect(!session.hasOutput(at: .ms(0)))
    _ = try session.feed(Wire.data(1, at: 32767, [1]))
    #expect(session.sent() == [SentFrame(kind: 2, flags: 0, stream: 0, payload: Wire.entry(1, 32768, 65536))])
  }

  @Test("one frame acknowledges many streams; 3276 fill it") func acknowledgementFrames() throws {
    let session = Session.attached(.client)
    _ = session.sent()
    for id in 1...4000 as ClosedRange<UInt32> { _ = try session.feed(Wire.data(id, at: 0, [1])) }
    let frames = session.sent(at: .ms(20))
    #expect(frames.map(\.entries.count) == [3276, 724])
    #expect(frames.flatMap(\.entries).map(\.stream) == Array(1...4000))
  }

  @Test("the last acknowledgement outlives its stream") func lastAcknowledgement() throws {
    let session = Session.attached(.client)
    _ = try session.feed(Wire.data(1, at: 0, [1]))
    session.finish(1, at: .ms(0))
    _ = session.sent()
    _ = try session.feed(Wire.acknowledge(1, received: 1, credit: 65536))
    _ = try session.feed(Wire.data(1, at: 1, [], end: true))
    #expect(session.streamCount == 0)
    #expect(session.sent(at: .ms(20)) == [SentFrame(kind: 2, flags: 0, stream: 0, payload: Wire.entry(1, 2, 65536))])
  }

  // MARK: Back-pressure

  @Test("a refused producer hears once that it may go on") func writable() throws {
    let session = Session.attached(.relay) {
      $0.initialWindow = 100
      $0.sendBacklog = 60
    }
    let id = try #require(session.open(10))
    #expect(session.sendCapacity(id) == 50)
    session.write(id, 50)
    #expect(session.sendCapacity(id) == 0)  // the backlog is full
    _ = session.sent()
    var told: [StreamID] = []
    session.takeWritable { told.append($0) }
    session.takeWritable { told.append($0) }
    #expect(told == [id] && session.sendCapacity(id) == 40)
    session.write(id, 40)
    _ = session.sent()
    #expect(session.sendCapacity(id) == 0)  // the credit is used up
    #expect(try session.feed(Wire.acknowledge(id, received: 50, credit: 100)) == [])
    #expect(try session.feed(Wire.acknowledge(id, received: 100, credit: 130)) == [.writable(id)])
    #expect(session.sendCapacity(id) == 30)
  }

  @Test("a head may exceed the credit and waits in the queue") func headOverCredit() throws {
    let session = Session.attached(.relay) { $0.initialWindow = 100 }
    let id = try #require(session.open(150))
    #expect(session.sendCapacity(id) == 0)
    #expect(session.sent().map(\.dataByteCount) == [100])
    #expect(try session.feed(Wire.acknowledge(id, received: 100, credit: 200)) == [.writable(id)])
    #expect(session.sent().map(\.dataByteCount) == [50])
  }

  @Test("only as many streams are opened as agreed") func streamLimit() throws {
    let session = Session.attached(.relay) { $0.maximumStreams = 2 }
    #expect(session.open(1) == 1 && session.open(1) == 2 && session.open(1) == nil)
    session.reset(1, .cancelled)
    #expect(session.open(1) == 3)
  }

  @Test("streams opened before the first connection leave with it") func openedBeforeAttach() throws {
    let session = Session(role: .relay, pool: ChunkPool(), at: .ms(0))
    #expect(session.open(3) == 1)
    session.attach(resumed: false, at: .ms(1))
    #expect(session.sent(at: .ms(1)).map(\.stream) == [1])
  }

  @Test("the end of a session reports every stream and leaves nothing") func endAllStreams() throws {
    let session = Session.attached(.client)
    _ = try session.feed(Wire.data(2, at: 0, [1]) + Wire.data(9, at: 0, [1]))
    session.detach()
    var events: [SessionEvent] = []
    session.endAllStreams(.sessionEnded, into: &events)
    #expect(events == [.reset(2, .sessionEnded), .reset(9, .sessionEnded)])
    #expect(session.streamCount == 0 && session.unacknowledgedByteCount == 0 && session.windowGrowth == 0)
  }

  @Test("frames come through at every split of the bytes") func splits() throws {
    let bytes =
      Wire.data(1, at: 0, [1, 2, 3]) + Wire.ping(7) + Wire.frame(6, [9, 9]) + Wire.data(2, at: 0, [4], end: true) + Wire.reset(1)
    for split in 0...bytes.count {
      let session = Session.attached(.client)
      var facts: [String] = []
      var held: [UInt8] = []
      for part in [bytes.prefix(split), bytes.suffix(bytes.count - split)] {
        held += part
        var events: [SessionEvent] = []
        let used = try session.receive(held.span, at: .ms(0), into: &events)
        for event in events {
          switch event {
          case .data(let id, let range): for byte in held[range] { facts.append("data \(id) \(byte)") }
          case .control(let range): facts.append("control \(held[range])")
          default: facts.append("\(event)")
          }
        }
        held.removeFirst(used)
      }
      #expect(held.isEmpty, "split at \(split)")
      #expect(
        facts == [
          "opened(1)", "data 1 1", "data 1 2", "data 1 3", "control [9, 9]", "opened(2)", "data 2 4", "end(2)", "reset(1, cancelled)",
        ], "split at \(split)")
    }
  }
}

extension SessionEvent {
  /// The range of a data event, for comparing what cannot be known beforehand.
  var range: Range<Int> {
    if case .data(_, let range) = self { return range }
    return 0..<0
  }
}
