import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite struct HeartbeatTests {
  @Test("a ping leaves at once and then every 4 s") func pings() {
    let session = Session.attached(.client)
    #expect(session.hasOutput(at: .ms(0)))
    #expect(session.sent(withPings: true) == [SentFrame(kind: 4, flags: 0, stream: 0, payload: Wire.integer(Instant.ms(0).nanoseconds))])
    #expect(session.nextDeadline == .ms(4000) && !session.hasOutput(at: .ms(3999)))
    #expect(session.sent(at: .ms(3999), withPings: true) == [])
    #expect(session.sent(at: .ms(4000), withPings: true).map(\.kind) == [4])
    #expect(session.nextDeadline == .ms(8000))
  }

  @Test("after 9 s of silence the connection is dead; any byte is life") func death() throws {
    let session = Session.attached(.client)
    #expect(session.advance(to: .ms(8999)))
    _ = try session.feed(Wire.ping(1), at: .ms(8999))
    #expect(session.advance(to: .ms(9001)) && session.advance(to: .ms(17_998)))
    var events: [SessionEvent] = []
    #expect(try session.receive([1].span, at: .ms(17_998), into: &events) == 0)  // the first byte of something
    #expect(session.advance(to: .ms(26_997)) && !session.advance(to: .ms(26_998)))
  }

  @Test("no bytes are no life") func emptyReceipt() throws {
    let session = Session.attached(.client)
    var events: [SessionEvent] = []
    _ = try session.receive(Span(), at: .ms(8000), into: &events)
    #expect(!session.advance(to: .ms(9000)))
  }

  @Test("a ping that cannot leave is no deadline in the past") func blockedPing() {
    let session = Session.attached(.client)
    #expect(session.advance(to: .ms(0)) && session.nextDeadline == .ms(9000) && session.hasOutput(at: .ms(0)))
    #expect(session.sent(at: .ms(100), withPings: true).map(\.kind) == [4])
    #expect(session.nextDeadline == .ms(4100))
  }

  @Test("the round trip is measured by the echo") func roundTrip() throws {
    let session = Session.attached(.relay)
    let ping = session.sent(withPings: true)[0]
    #expect(session.roundTripNanoseconds == 0)
    _ = try session.feed(Wire.frame(5, ping.payload), at: .ms(30))
    #expect(session.roundTripNanoseconds == 30_000_000 && session.minimumRoundTripNanoseconds == 30_000_000)
  }

  @Test("a pong that answers no ping measures nothing", arguments: [0, 1, UInt64.max, Instant.ms(0).nanoseconds + 1])
  func inventedPong(_ echo: UInt64) throws {
    let session = Session.attached(.relay)
    _ = try session.feed(Wire.pong(echo), at: .ms(30))
    _ = session.sent(withPings: true)
    _ = try session.feed(Wire.pong(echo), at: .ms(30))
    #expect(session.roundTripNanoseconds == 0)
    _ = try session.feed(Wire.pong(Instant.ms(0).nanoseconds) + Wire.pong(Instant.ms(0).nanoseconds), at: .ms(40))
    _ = try session.feed(Wire.pong(Instant.ms(0).nanoseconds), at: .ms(90))
    #expect(session.roundTripNanoseconds == 40_000_000)
  }

  @Test("the minimum forgets after two rotations") func minimum() {
    var heartbeat = Heartbeat(limits: SessionLimits(), at: .ms(0))
    var minima: [UInt64] = []
    for (index, milliseconds) in [10.0, 50, 50, 50, 50, 50].enumerated() {
      let sent = Instant.ms(Double(index) * 4000)
      #expect(heartbeat.wantsPing(at: sent))
      heartbeat.pingSent(at: sent)
      heartbeat.pongReceived(echo: sent.nanoseconds, at: .ms(Double(index) * 4000 + milliseconds))
      minima.append(heartbeat.minimumRoundTrip / 1_000_000)
    }
    #expect(minima == [10, 10, 10, 10, 50, 50])
  }
}
