import CausewayBase
import Testing

@testable import CausewayBondCore

@Suite("SessionTimers")
struct SessionTimersTests {
  private func due(_ timers: inout SessionTimers, at seconds: Double) -> SessionTimers.Due {
    timers.advance(to: .seconds(seconds))
    return timers.take()
  }

  private func established(as role: HandshakeRole) -> SessionTimers {
    var timers = SessionTimers(seed: 1)
    timers.established(as: role, at: .seconds(0))
    return timers
  }

  @Test("received data are answered by one keepalive after 10 s of silence")
  func keepalive() {
    var timers = established(as: .responder)
    timers.receivedAuthenticated(data: true, at: .seconds(1))
    #expect(timers.nextDeadline == .seconds(11))
    #expect(due(&timers, at: 10.9) == [])
    #expect(due(&timers, at: 11) == .sendKeepalive)
    timers.sent(data: false, at: .seconds(11))
    #expect(due(&timers, at: 30) == [])
  }

  @Test("who sends anyway needs no keepalive, and a keepalive asks for none")
  func noKeepalive() {
    var timers = established(as: .responder)
    timers.receivedAuthenticated(data: true, at: .seconds(1))
    timers.sent(data: true, at: .seconds(2))
    timers.receivedAuthenticated(data: false, at: .seconds(3))
    #expect(due(&timers, at: 100) == [])
  }

  @Test("data that go on coming get a keepalive each 10 s")
  func anotherKeepalive() {
    var timers = established(as: .responder)
    timers.receivedAuthenticated(data: true, at: .seconds(1))
    timers.receivedAuthenticated(data: true, at: .seconds(5))
    // Asked for, but not sent: the keys are missing, say.
    #expect(due(&timers, at: 11) == .sendKeepalive)
    #expect(due(&timers, at: 21) == .sendKeepalive)
    #expect(due(&timers, at: 60) == [])
  }

  @Test("data without an answer for 15 s start a handshake and forget the source address")
  func silence() {
    var timers = established(as: .responder)
    timers.sent(data: true, at: .seconds(1))
    timers.sent(data: true, at: .seconds(10))
    #expect(due(&timers, at: 15.9) == [])
    #expect(due(&timers, at: 16.4) == [.initiateHandshake, .forgetSourceAddress])
    #expect(due(&timers, at: 100) == [])
    timers.sent(data: true, at: .seconds(101))
    timers.receivedAuthenticated(data: false, at: .seconds(110))
    timers.sent(data: false, at: .seconds(111))
    #expect(due(&timers, at: 200) == [])
  }

  @Test(
    "only the initiator asks for new keys: after 120 s when it sends, after 165 s when it receives",
    arguments: [
      (HandshakeRole.initiator, true, 119.9, false), (.initiator, true, 120, true), (.initiator, false, 164.9, false),
      (.initiator, false, 165, true), (.responder, true, 170, false), (.responder, false, 170, false),
    ])
  func rekey(_ role: HandshakeRole, _ sends: Bool, _ seconds: Double, _ asks: Bool) {
    var timers = established(as: role)
    if sends { timers.sent(data: true, at: .seconds(seconds)) } else { timers.receivedAuthenticated(data: true, at: .seconds(seconds)) }
    let found = timers.take()
    #expect(found.contains(.initiateHandshake) == asks)
    // Not for every packet.
    if sends {
      timers.sent(data: true, at: .seconds(seconds + 0.05))
    } else {
      timers.receivedAuthenticated(data: true, at: .seconds(seconds + 0.05))
    }
    if asks { #expect(!timers.take().contains(.initiateHandshake)) }
    timers.established(as: .initiator, at: .seconds(seconds + 1))
    timers.sent(data: true, at: .seconds(seconds + 2))
    #expect(timers.take() == [])
  }

  @Test("a persistent keepalive follows any authentic packet, and starts by itself")
  func persistent() {
    var timers = SessionTimers(persistentKeepalive: .seconds(25), seed: 1)
    #expect(timers.nextDeadline == nil)
    timers.start(at: .seconds(1))
    #expect(due(&timers, at: 1) == .sendKeepalive)
    timers.sent(data: false, at: .seconds(1))
    #expect(timers.nextDeadline == .seconds(26))
    timers.receivedAuthenticated(data: false, at: .seconds(20))
    #expect(due(&timers, at: 44.9) == [])
    #expect(due(&timers, at: 45) == .sendKeepalive)
    // Also when nothing can be sent.
    #expect(due(&timers, at: 70) == .sendKeepalive)
    timers.persistentKeepalive = nil
    #expect(due(&timers, at: 200) == [])
    #expect(timers.nextDeadline == nil)
  }

  @Test("keys are erased 540 s after the last session, or after a handshake that failed")
  func erasure() {
    var timers = established(as: .initiator)
    timers.established(as: .initiator, at: .seconds(100))
    #expect(due(&timers, at: 639.9) == [])
    #expect(due(&timers, at: 640) == .eraseKeys)
    #expect(timers.nextDeadline == nil)
    timers.gaveUp(at: .seconds(700))
    timers.gaveUp(at: .seconds(800))
    #expect(due(&timers, at: 1240) == .eraseKeys)
  }

  @Test("after a suspend of five minutes everything that is due is due once")
  func suspend() {
    var timers = established(as: .initiator)
    timers.sent(data: true, at: .seconds(1))
    timers.receivedAuthenticated(data: true, at: .seconds(2))
    #expect(due(&timers, at: 302) == .sendKeepalive)
    timers.sent(data: true, at: .seconds(302))
    #expect(timers.take() == .initiateHandshake)
  }
}
