import CausewayBase
import Testing

@testable import CausewayTunnelCore

@Suite struct ReconnectPolicyTests {
  let start = Instant(nanoseconds: 1_000_000_000_000)

  @Test("the first attempt is due at once, and by the raw upgrade")
  func beginsAtOnce() {
    var policy = ReconnectPolicy(seed: 1, at: start)
    #expect(policy.nextDeadline == start)
    let step = policy.advance(to: start)
    #expect(step == .attempt(useWebSocket: false))
    let again = policy.advance(to: start)
    #expect(again == nil)
  }

  @Test(
    "a lost connection is tried again at once, then after 0.25 to 0.75 s for 60 s, then ever more slowly, up to 15 s",
    arguments: 1...20 as ClosedRange<UInt64>)
  func timing(seed: UInt64) {
    var policy = ReconnectPolicy(seed: seed, at: start)
    _ = policy.advance(to: start)
    policy.succeeded()
    #expect(policy.nextDeadline == nil)
    let lost = start + .seconds(100)
    policy.lost(at: lost)
    #expect(policy.nextDeadline == lost)
    var now = lost
    var delays: [(outage: Double, delay: Double)] = []
    while (now - lost).inSeconds < 600 {
      guard case .attempt? = policy.advance(to: now) else { return #expect(Bool(false), "no attempt at \(now - lost)") }
      policy.attemptFailed(at: now)
      guard let next = policy.nextDeadline else { return #expect(Bool(false), "no deadline") }
      delays.append(((now - lost).inSeconds, (next - now).inSeconds))
      now = next
    }
    for (outage, delay) in delays {
      if outage <= 60 { #expect((0.2499...0.7501).contains(delay), "after \(outage) s: \(delay) s") }
      #expect(delay <= 15, "after \(outage) s: \(delay) s")
    }
    #expect(delays.last!.delay > 11)
    let quick = delays.filter { $0.outage <= 60 }.map(\.delay)
    #expect(quick.max()! - quick.min()! > 0.3, "jitter: not all clients at the same moment")
  }

  @Test(
    "a relay's Retry-After wins, cut to five minutes",
    arguments: [(0, 0), (1, 1), (20, 20), (300, 300), (86_400, 300), (-5, 0), (Int.max, 300)] as [(Int, Int)])
  func retryAfter(_ told: Int, _ waited: Int) {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.attemptFailed(retryAfter: .seconds(told), at: start)
    #expect(policy.nextDeadline == start + .seconds(waited))
  }

  @Test("a network change ends a wait, but not the one that the relay asked for")
  func networkChange() {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.attemptFailed(at: start)
    let now = start + .milliseconds(100)
    policy.networkChanged(at: now)
    #expect(policy.nextDeadline == now)
    _ = policy.advance(to: now)
    policy.attemptFailed(retryAfter: .seconds(100), at: now)
    policy.networkChanged(at: now + .seconds(1))
    #expect(policy.nextDeadline == now + .seconds(100))
    _ = policy.advance(to: now + .seconds(100))
    policy.attemptFailed(at: now + .seconds(100))
    policy.networkChanged(at: now + .seconds(100))
    #expect(policy.nextDeadline == now + .seconds(100), "the relay's word holds for one wait")
  }

  @Test(
    "a network change leaves a step that hangs three seconds, and the next attempt is due at once",
    arguments: [.connect, .tls, .upgrade, .login] as [ConnectStep])
  func networkChangeWhileConnecting(_ step: ConnectStep) {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.began(step, at: start)
    let now = start + .seconds(1)
    policy.networkChanged(at: now)
    policy.networkChanged(at: now + .seconds(1))
    let due = now + .seconds(3)
    #expect(policy.nextDeadline == due, "a second change gives no more time")
    let abandoned = policy.advance(to: due)
    #expect(abandoned == .abandon(step))
    policy.abandoned(step, at: due)
    let next = policy.advance(to: due)
    #expect(next == .attempt(useWebSocket: false), "not the upgrade's fault")
  }

  @Test("progress after a network change has its full limit again")
  func progressAfterNetworkChange() {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.networkChanged(at: start)
    policy.began(.upgrade, at: start + .seconds(1))
    #expect(policy.nextDeadline == start + .seconds(1) + ConnectStep.upgrade.limit)
  }

  @Test("a refused raw upgrade is followed at once by a WebSocket, for ten minutes")
  func fallback() {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.rawUpgradeRefused(at: start)
    var step = policy.advance(to: start)
    #expect(step == .attempt(useWebSocket: true))
    policy.succeeded()
    policy.lost(at: start + .seconds(599))
    step = policy.advance(to: start + .seconds(599))
    #expect(step == .attempt(useWebSocket: true))
    policy.succeeded()
    policy.lost(at: start + .seconds(601))
    step = policy.advance(to: start + .seconds(601))
    #expect(step == .attempt(useWebSocket: false))
  }

  @Test("an upgrade that is swallowed counts as refused; a WebSocket that is swallowed too does not")
  func swallowedUpgrade() {
    var policy = ReconnectPolicy(seed: 1, at: start)
    _ = policy.advance(to: start)
    policy.began(.upgrade, at: start)
    let late = start + ConnectStep.upgrade.limit
    var step = policy.advance(to: late)
    #expect(step == .abandon(.upgrade))
    policy.abandoned(.upgrade, at: late)
    step = policy.advance(to: late)
    #expect(step == .attempt(useWebSocket: true))
    policy.began(.upgrade, at: late)
    let later = late + ConnectStep.upgrade.limit
    policy.abandoned(.upgrade, at: later)
    let next = policy.nextDeadline!
    #expect(next > later)
    step = policy.advance(to: next)
    #expect(step == .attempt(useWebSocket: false))
  }

  @Test("connections lost one right after the other are not hammered")
  func flapping() {
    var policy = ReconnectPolicy(seed: 3, at: start)
    _ = policy.advance(to: start)
    policy.succeeded()
    policy.lost(at: start + .seconds(5))
    #expect(policy.nextDeadline == start + .seconds(5))
    var now = start + .seconds(5)
    for _ in 0..<10 {
      _ = policy.advance(to: now)
      policy.succeeded()
      let lost = now + .milliseconds(3)
      policy.lost(at: lost)
      #expect(policy.nextDeadline! >= lost + .milliseconds(249))
      now = policy.nextDeadline!
    }
    _ = policy.advance(to: now)
    policy.succeeded()
    now = now + .seconds(2)
    policy.lost(at: now)
    #expect(policy.nextDeadline == now)
  }

  @Test(
    "at every moment some timer leads onward, and within 15 s (or its own Retry-After) a new attempt begins",
    arguments: 1...200 as ClosedRange<UInt64>)
  func neverStuck(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var policy = ReconnectPolicy(seed: seed, at: start)
    var now = start
    for turn in 0..<400 {
      switch policy.state {
      case .ended: return #expect(Bool(false), "ended by itself")
      case .online: #expect(policy.nextDeadline == nil)
      case .waiting(let until):
        #expect(policy.nextDeadline == until)
        #expect(until <= now + ReconnectPolicy.longestRetryAfter, "turn \(turn)")
      case .connecting(let step, let deadline):
        #expect(policy.nextDeadline == deadline)
        #expect(deadline <= now + step.limit)
      }
      // Time goes on, to the deadline or not so far; then something happens, sensible or not.
      if let next = policy.nextDeadline, Bool.random(using: &random) {
        now = max(now, next)
      } else {
        now = now + .milliseconds(Int.random(in: 0...20_000, using: &random))
      }
      let wasDue = policy.nextDeadline.map { $0 <= now } ?? false
      switch policy.advance(to: now) {
      case .abandon(let step)?: policy.abandoned(step, at: now)
      case .attempt?: #expect(policy.nextDeadline! > now)
      case nil: #expect(!wasDue, "a due deadline led to nothing")
      }
      switch Int.random(in: 0..<9, using: &random) {
      case 0: policy.began(ConnectStep.allCases.randomElement(using: &random)!, at: now)
      case 1: policy.attemptFailed(at: now)
      case 2: policy.attemptFailed(retryAfter: .seconds(Int.random(in: -5...1000, using: &random)), at: now)
      case 3: policy.rawUpgradeRefused(at: now)
      case 4: policy.networkChanged(at: now)
      case 5: policy.lost(at: now)
      case 6: policy.forgetFallback()
      case 7: if case .connecting = policy.state { policy.succeeded() }
      default: break
      }
    }
    policy.end()
    #expect(policy.nextDeadline == nil)
    policy.lost(at: now)
    policy.attemptFailed(at: now)
    policy.rawUpgradeRefused(at: now)
    policy.networkChanged(at: now)
    let step = policy.advance(to: .distantFuture)
    #expect(policy.state == .ended && step == nil)
  }
}
