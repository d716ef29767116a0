import CausewayBase
import Testing

@testable import CausewayTunnelCore

/// A peer may send anything: it gets an error that ends the connection, never a trap.
@Suite struct HostilePeerTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var name: String
    var bytes: [UInt8]
    var error: SessionError
    var testDescription: String { name }
    init(_ name: String, _ bytes: [UInt8], _ error: SessionError) { (self.name, self.bytes, self.error) = (name, bytes, error) }
  }

  /// Stream 1 has sent 10 bytes; stream 2 is open here and has not left yet.
  static let atRelay = [
    Case("data for the session itself", Wire.data(0, at: 0, [1]), .unexpectedFrame("data for stream 0, never opened")),
    Case("a client that opens a stream", Wire.data(3, at: 0, [1]), .unexpectedFrame("data for stream 3, never opened")),
    Case("an answer before the question", Wire.data(2, at: 0, [1]), .unexpectedFrame("data for stream 2, not opened yet")),
    Case("a gap", Wire.data(1, at: 1, [1]), .offsetMismatch(1)),
    Case("an offset at the end of numbers", Wire.data(1, at: .max, [1]), .offsetMismatch(1)),
    Case("a repetition", Wire.data(1, at: 0, [1, 2]) + Wire.data(1, at: 1, [2]), .offsetMismatch(1)),
    Case("data behind the end", Wire.data(1, at: 0, [1], end: true) + Wire.data(1, at: 2, [1]), .offsetMismatch(1)),
    Case("a second end", Wire.data(1, at: 0, [], end: true) + Wire.data(1, at: 1, [], end: true), .offsetMismatch(1)),
    Case("one byte over the credit", Wire.data(1, at: 0, [UInt8](repeating: 0, count: 1001)), .creditExceeded(1)),
    Case(
      "one byte over the credit, later", Wire.data(1, at: 0, [UInt8](repeating: 0, count: 1000)) + Wire.data(1, at: 1000, [1]),
      .creditExceeded(1)),
    Case("data without an offset", Wire.frame(1, stream: 1, [0, 0, 0, 0, 0, 0, 0]) + [0], .malformedFrame("data frame without an offset")),
    Case(
      "acknowledged bytes never sent", Wire.acknowledge(1, received: 11, credit: 0), .unexpectedFrame("acknowledgement of bytes never sent")
    ),
    Case(
      "acknowledged everything there is", Wire.acknowledge(1, received: .max, credit: .max),
      .unexpectedFrame("acknowledgement of bytes never sent")),
    Case("half an acknowledgement", Wire.frame(2, [UInt8](repeating: 0, count: 19)), .malformedFrame("acknowledgement of 19 bytes")),
    Case("a reset without a code", Wire.frame(3, stream: 1, [1]), .malformedFrame("reset without a code")),
    Case("a short ping", Wire.frame(4, [1, 2, 3]), .malformedFrame("ping of 3 bytes")),
    Case("a long pong", Wire.frame(5, [UInt8](repeating: 0, count: 9)), .malformedFrame("pong of 9 bytes")),
    Case("synchronize outside a resume", Wire.synchronize(highest: 1), .unexpectedFrame("synchronize outside a resume")),
    Case("an unknown frame", Wire.frame(9), .malformedFrame("unknown frame type 9")),
    Case("a frame over 64 KiB", [6, 0, 0xFF, 0xFF, 0, 0, 0, 0], .malformedFrame("frame over 64 KiB")),
  ]

  @Test("the relay refuses", arguments: atRelay) func relayRefuses(_ row: Case) throws {
    let session = Session.attached(.relay) { $0.initialWindow = 1000 }
    #expect(session.open(10) == 1)
    #expect(session.sent().count == 1)
    #expect(session.open(10) == 2)
    #expect(throws: row.error) { _ = try session.feed(row.bytes) }
    session.detach()
    session.attach(resumed: true, at: .ms(1))  // an error costs the connection, not the session
    #expect(session.streamCount == 2)
  }

  static let atClient = [
    Case("data for the session itself", Wire.data(0, at: 0, [1]), .unexpectedFrame("data for stream 0, never opened")),
    Case("a stream that begins in the middle", Wire.data(5, at: 3, [1]), .offsetMismatch(5)),
    Case("a stream that begins with nothing", Wire.data(5, at: 0, []), .offsetMismatch(5)),
    Case("a stream that is only an end", Wire.data(5, at: 0, [], end: true), .offsetMismatch(5)),
    Case("a first frame over the credit", Wire.data(5, at: 0, [UInt8](repeating: 0, count: 1001)), .creditExceeded(5)),
    Case("more streams than agreed", Wire.data(5, at: 0, [1]) + Wire.data(6, at: 0, [1]) + Wire.data(7, at: 0, [1]), .tooManyStreams),
  ]

  @Test("the client refuses", arguments: atClient) func clientRefuses(_ row: Case) throws {
    let session = Session.attached(.client) {
      $0.initialWindow = 1000
      $0.maximumStreams = 3
    }
    #expect(try session.feed(Wire.data(1, at: 0, [1])).first == .opened(1))
    #expect(throws: row.error) { _ = try session.feed(row.bytes) }
  }

  /// The relay has sent 10 bytes of stream 1 before the connection broke; of stream 2 nothing has left.
  static let atResume = [
    Case("data first", Wire.data(1, at: 0, [1]), .unexpectedFrame("data before synchronize")),
    Case("an acknowledgement first", Wire.acknowledge(1, received: 0, credit: 0), .unexpectedFrame("acknowledgement before synchronize")),
    Case("more than was sent", Wire.synchronize(highest: 1, Wire.entry(1, 11, 100)), .offsetMismatch(1)),
    Case("less than was acknowledged", Wire.synchronize(highest: 1, Wire.entry(1, 3, 100)), .offsetMismatch(1)),
    Case("a stream that never left", Wire.synchronize(highest: 2, Wire.entry(1, 10, 100) + Wire.entry(2, 5, 100)), .offsetMismatch(2)),
    Case("it forgot what it had acknowledged", Wire.synchronize(highest: 0), .offsetMismatch(1)),
    Case(
      "it knows streams that never were", Wire.synchronize(highest: 3, Wire.entry(1, 10, 100)),
      .unexpectedFrame("synchronize names stream 3, never opened")),
    Case("half an entry", Wire.frame(7, flags: 1, [0]), .malformedFrame("synchronize of 1 bytes")),
    Case(
      "it synchronizes twice", Wire.synchronize(highest: 1, Wire.entry(1, 10, 100)) + Wire.synchronize(highest: 1),
      .unexpectedFrame("synchronize outside a resume")),
  ]

  @Test("a resuming relay refuses", arguments: atResume) func resumeRefuses(_ row: Case) throws {
    let session = Session.attached(.relay)
    #expect(session.open(10) == 1)
    _ = session.sent()
    _ = try session.feed(Wire.acknowledge(1, received: 4, credit: 1000))
    session.detach()
    #expect(session.open(10) == 2)
    session.attach(resumed: true, at: .ms(5))
    #expect(throws: row.error) { _ = try session.feed(row.bytes) }
  }

  @Test("pings are answered by their latest few, whatever their number") func pingFlood() throws {
    let session = Session.attached(.client)
    _ = session.sent()
    for echo in 0..<5000 as Range<UInt64> { _ = try session.feed(Wire.ping(echo)) }
    let pongs = session.sent()
    #expect(pongs.map(\.kind) == [5, 5, 5, 5])
    #expect(pongs.last?.payload == Wire.integer(UInt64(4999)))
  }

  @Test("however much a peer grants, a stream holds at most its maximum window") func endlessCredit() throws {
    let session = Session.attached(.relay) {
      $0.initialWindow = 1000
      $0.maximumWindow = 4000
      $0.sendBacklog = 100_000
    }
    let id = try #require(session.open(1000))
    _ = try session.feed(Wire.acknowledge(id, received: 0, credit: .max))
    while session.sendCapacity(id) > 0 { session.write(id, session.sendCapacity(id)) }
    _ = session.sent()
    #expect(session.unacknowledgedByteCount == 4000)
    // What arrives makes room again.
    #expect(try session.feed(Wire.acknowledge(id, received: 1500, credit: .max)) == [.writable(id)])
    #expect(session.sendCapacity(id) == 1500)
  }

  @Test("streams that a peer invents while synchronizing cost nothing") func inventedStreams() throws {
    let session = Session.attached(.relay)
    session.detach()
    session.attach(resumed: true, at: .ms(1))
    for frame in 0..<50 as Range<UInt32> {
      _ = try session.feed(Wire.frame(7, (0..<3000 as Range<UInt32>).flatMap { Wire.entry(frame * 3000 + $0 + 1, 0, 0) }))
    }
    #expect(session.synchronizedStreams.isEmpty)
  }

  @Test("damaged frames never trap", arguments: 0..<300 as Range<UInt64>) func damaged(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let session = Session.attached(seed % 2 == 0 ? .relay : .client) { $0.initialWindow = 4096 }
    if session.role == .relay { for _ in 0..<4 { _ = session.open(100) } }
    var now = Instant.ms(0)
    for step in 0..<60 {
      var frame: [UInt8]
      let stream = UInt32.random(in: 0...6, using: &random)
      let small = UInt64.random(in: 0...40, using: &random)
      switch Int.random(in: 0...8, using: &random) {
      case 0:
        frame = Wire.data(stream, at: session.streams[stream]?.received ?? 0, [UInt8](repeating: 1, count: Int(small)), end: small % 3 == 0)
      case 1: frame = Wire.acknowledge(stream, received: small, credit: random.next())
      case 2: frame = Wire.reset(stream)
      case 3: frame = Wire.ping(small)
      case 4: frame = Wire.pong(small)
      case 5: frame = Wire.frame(6, [1, 2, 3])
      case 6: frame = Wire.synchronize(highest: stream, Wire.entry(stream, small, random.next()))
      case 7: frame = (0..<small).map { _ in UInt8.random(in: 0...255, using: &random) }
      default: frame = Wire.data(stream, at: random.next(), [1])
      }
      if Int.random(in: 0...3, using: &random) == 0, !frame.isEmpty {
        frame[Int.random(in: 0..<frame.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
      }
      var events: [SessionEvent] = []
      do throws(SessionError) { _ = try session.receive(frame.span, at: now, into: &events) } catch {
        session.detach()
        if step % 2 == 0 { session.attach(resumed: true, at: now) } else { session.attach(resumed: false, at: now) }
      }
      for id in session.openStreams { session.write(id, min(50, session.sendCapacity(id)), at: now) }
      if let id = session.openStreams.first, step % 7 == 0 { session.finish(id, at: now) }
      _ = session.sent(upTo: 1000, at: now)
      session.takeWritable { _ in }
      now = now + .milliseconds(3)
    }
    #expect(session.streamCount <= 60)
  }
}
