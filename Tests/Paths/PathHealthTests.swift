import CausewayBase
import Testing

@testable import CausewayPaths

/// A path's health with a network that answers every probe after `roundTrip`, or none.
private struct Bench {
  var health = PathHealth(at: Instant(nanoseconds: 1_000_000_000))
  var roundTrip = RoundTripEstimator()
  var now: UInt64 = 1_000_000_000
  var answers = true
  var delay: UInt64 = 20_000_000
  var silentSince: UInt64?
  var mayBeSuspected = true
  var changes: [PathChange] = []
  var probes: [UInt64] = []
  /// Segments that a connection below has delivered after so many milliseconds, and when it was asked.
  var delivered: (UInt64) -> UInt64 = { _ in 0 }
  var asks: [UInt64] = []
  private var echoes: [(UInt64, UInt32)] = []

  var milliseconds: UInt64 { (now - 1_000_000_000) / 1_000_000 }

  /// Runs in steps of a millisecond, as a loop with a coarse timer would.
  mutating func run(milliseconds: UInt64, step: UInt64 = 1) {
    let end = now + milliseconds * 1_000_000
    while now < end {
      now += step * 1_000_000
      while let (at, id) = echoes.first, at <= now {
        echoes.removeFirst()
        if let sample = health.echoReceived(id, at: Instant(nanoseconds: now)) {
          roundTrip.update(sample, acknowledgementDelay: 0, at: Instant(nanoseconds: now))
        }
      }
      health.observe(roundTrip, silentSince: silentSince.map { Instant(nanoseconds: $0) }, mayBeSuspected: mayBeSuspected)
      if health.nextDeadline.nanoseconds <= now { health.advance(to: Instant(nanoseconds: now)) }
      takeFacts()
    }
  }

  mutating func takeFacts() {
    while let fact = health.nextFact() {
      switch fact {
      case .sendProbe(let id):
        health.probeSent(id, at: Instant(nanoseconds: now))
        probes.append(now)
        if answers { echoes.append((now + delay, id)) }
      case .askTransport:
        asks.append(milliseconds)
        health.transportTold(delivered: delivered(milliseconds), at: Instant(nanoseconds: now))
      case .changed(let change):
        changes.append(change)
        if change.to != .normal { silentSince = nil }
      }
    }
  }

  mutating func becomeNormal() {
    run(milliseconds: 500)
    changes = []
    probes = []
  }

  /// Idle for long enough that the variation has settled.
  mutating func settle() {
    for _ in 0..<40 {
      roundTrip.update(delay, acknowledgementDelay: 0, at: Instant(nanoseconds: now))
      health.acknowledged(sentAt: Instant(nanoseconds: now), at: Instant(nanoseconds: now))
    }
  }
}

@Suite struct PathHealthTests {
  @Test func `the first echo makes a new path normal`() {
    var bench = Bench()
    bench.run(milliseconds: 100)
    #expect(bench.changes.map(\.to) == [.normal])
    #expect(bench.changes[0].reason == .firstEcho)
  }

  @Test func `a new path that never answers is lost after three time-outs`() {
    var bench = Bench()
    bench.answers = false
    bench.run(milliseconds: 4000)
    #expect(bench.changes.map(\.to) == [.lost])
    #expect(bench.health.state == .lost)
  }

  @Test func `silent data set a path aside in 1.5 × (srtt + 4 var + 20 ms) and lose it after three probes`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    let start = bench.now
    bench.silentSince = start
    bench.run(milliseconds: 400)
    #expect(bench.changes.map(\.to) == [.unstable, .lost])
    #expect(bench.changes[0].reason == .dataUnacknowledged)
    let suspected = bench.changes[0].at.nanoseconds - start
    let lost = bench.changes[1].at.nanoseconds - start
    #expect(suspected >= 60_000_000 && suspected <= 75_000_000, "suspected after \(suspected)")
    #expect(lost <= 170_000_000, "lost after \(lost)")
  }

  /// Data that are silent from now on, over a connection that is asked.
  private func silentStream(delivered: @escaping (UInt64) -> UInt64) -> Bench {
    var bench = Bench()
    bench.health.asksTransport = true
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    let start = bench.milliseconds
    bench.delivered = { delivered($0 - start) }
    bench.silentSince = bench.now
    bench.changes = []
    return bench
  }

  @Test func `a connection that delivers nothing while its data are silent is suspected as a datagram path is`() {
    var bench = silentStream { _ in 1000 }
    let start = bench.now
    bench.run(milliseconds: 100)
    #expect(bench.changes.first?.reason == .dataUnacknowledged)
    #expect(bench.changes[0].at.nanoseconds - start <= 75_000_000, "\(bench.changes)")
    #expect(bench.asks.count == 2, "once in doubt, once before the verdict")
  }

  @Test func `a connection that gets on behind a lost segment is not suspected`() {
    var bench = silentStream { $0 }
    bench.run(milliseconds: 150)
    #expect(bench.changes.isEmpty, "\(bench.changes)")
    bench.health.acknowledged(sentAt: Instant(nanoseconds: bench.now - 20_000_000), at: Instant(nanoseconds: bench.now))
    bench.silentSince = nil
    bench.run(milliseconds: 500)
    #expect(bench.changes.isEmpty, "\(bench.changes)")
  }

  @Test func `a connection that gets no further is suspected a round trip after its last progress`() {
    var bench = silentStream { min($0, 70) }
    let start = bench.now
    bench.run(milliseconds: 150)
    #expect(bench.changes.map(\.to).first == .unstable)
    #expect((75_000_000...110_000_000).contains(bench.changes[0].at.nanoseconds - start), "\(bench.changes)")
  }

  @Test func `the kernel's word puts suspicion off to three times its time-out and no further`() {
    var bench = silentStream { $0 }
    let start = bench.now
    bench.run(milliseconds: 1)
    let timeout = bench.health.suspicionTimeout
    bench.run(milliseconds: 400)
    #expect(bench.changes.map(\.to).first == .unstable)
    let after = bench.changes[0].at.nanoseconds - start
    #expect(after >= 3 * timeout && after <= 3 * timeout + 5_000_000, "\(after)")
  }

  @Test func `an idle path that became faster is suspected by its new time two seconds later`() {
    var bench = Bench()
    bench.delay = 600_000_000
    bench.run(milliseconds: 10_000)
    bench.delay = 14_000_000
    bench.run(milliseconds: 2500)
    bench.answers = false
    bench.changes = []
    let start = bench.now
    bench.silentSince = start
    bench.run(milliseconds: 200)
    #expect(bench.changes.first?.reason == .dataUnacknowledged)
    #expect(bench.changes[0].at.nanoseconds - start <= 120_000_000, "\(bench.changes)")
  }

  @Test func `a path that became faster is not asked for ever`() {
    var bench = Bench()
    bench.delay = 600_000_000
    bench.run(milliseconds: 10_000)
    bench.delay = 14_000_000
    bench.probes = []
    bench.run(milliseconds: 10_000)
    #expect((12...20).contains(bench.probes.count), "\(bench.probes.count) probes")
  }

  @Test func `a lost probe says nothing of a path that has delivered what left later`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    for _ in 0..<5 {
      bench.health.ask(at: Instant(nanoseconds: bench.now))
      for _ in 0..<30 {
        bench.run(milliseconds: 10)
        bench.health.acknowledged(sentAt: Instant(nanoseconds: bench.now - 5_000_000), at: Instant(nanoseconds: bench.now))
      }
    }
    #expect(bench.probes.count == 5 && bench.changes.isEmpty, "\(bench.changes)")
    bench.run(milliseconds: 5000)
    #expect(bench.health.state == .lost)
  }

  @Test func `suspicion is never faster than 30 ms`() {
    var bench = Bench()
    bench.delay = 100_000
    bench.becomeNormal()
    bench.settle()
    bench.silentSince = bench.now
    bench.run(milliseconds: 29)
    #expect(bench.changes.isEmpty)
  }

  @Test func `an acknowledgement of a suspected path brings it back`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    let start = bench.now
    bench.silentSince = start
    bench.run(milliseconds: 80)
    #expect(bench.health.state == .unstable)
    bench.health.acknowledged(sentAt: Instant(nanoseconds: start), at: Instant(nanoseconds: bench.now))
    bench.takeFacts()
    #expect(bench.changes.map(\.to) == [.unstable, .normal])
    #expect(bench.changes[1].reason == .acknowledged)
  }

  @Test func `the only path is asked and not suspected`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.mayBeSuspected = false
    bench.silentSince = bench.now
    bench.run(milliseconds: 300)
    #expect(bench.changes.isEmpty)
    #expect(bench.probes.count >= 2)
  }

  @Test func `whoever was away looks twice before it suspects`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.silentSince = bench.now
    bench.now += 500_000_000
    bench.run(milliseconds: 1)
    #expect(bench.changes.isEmpty)
    bench.run(milliseconds: 5)
    #expect(bench.changes.map(\.to) == [.unstable])
  }

  @Test func `the peer's hint is answered only by what was sent after it`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.answers = false
    let before = Instant(nanoseconds: bench.now)
    bench.run(milliseconds: 5)
    bench.health.suspectedByPeer(at: Instant(nanoseconds: bench.now))
    bench.health.acknowledged(sentAt: before, at: Instant(nanoseconds: bench.now + 1_000_000))
    bench.takeFacts()
    #expect(bench.health.state == .unstable)
    #expect(bench.changes[0].reason == .suspectedByPeer)
    bench.health.acknowledged(sentAt: Instant(nanoseconds: bench.now), at: Instant(nanoseconds: bench.now + 2_000_000))
    #expect(bench.health.state == .normal)
  }

  @Test func `a lost path returns after three echoes, one round trip apart`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.health.interfaceDown(at: Instant(nanoseconds: bench.now))
    bench.health.interfaceUp(at: Instant(nanoseconds: bench.now))
    bench.takeFacts()
    let start = bench.now
    bench.run(milliseconds: 500)
    #expect(bench.changes.map(\.to) == [.lost, .normal])
    let took = bench.changes[1].at.nanoseconds - start
    #expect(took >= 60_000_000 && took < 70_000_000, "back after \(took)")
  }

  @Test func `no probes while the interface is down, one at once when it is back`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.health.interfaceDown(at: Instant(nanoseconds: bench.now))
    bench.run(milliseconds: 5000)
    #expect(bench.probes.isEmpty)
    #expect(bench.changes.map(\.reason) == [.interfaceDown])
    bench.health.interfaceUp(at: Instant(nanoseconds: bench.now))
    bench.run(milliseconds: 2)
    #expect(bench.probes.count == 1)
  }

  @Test func `a lost path is probed each half second for ten minutes, then every five`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.answers = false
    bench.run(milliseconds: 10_000)
    #expect(bench.health.state == .lost)
    bench.probes = []
    bench.run(milliseconds: 900_000, step: 10)
    let gaps = zip(bench.probes, bench.probes.dropFirst()).map { ($0, $1 - $0) }
    let early = gaps.filter { $0.0 < 1_000_000_000 + 600_000_000_000 }
    #expect(early.allSatisfy { $0.1 <= 520_000_000 })
    let late = gaps.filter { $0.0 > 1_000_000_000 + 620_000_000_000 }
    #expect(late.allSatisfy { $0.1 >= 5_000_000_000 && $0.1 < 5_100_000_000 } && late.count > 40)
  }

  @Test func `more than three flaps a minute hold a path down, twice as long each time`() {
    var bench = Bench()
    bench.becomeNormal()
    var holds: [UInt64] = []
    for _ in 0..<7 {
      bench.health.interfaceDown(at: Instant(nanoseconds: bench.now))
      bench.health.interfaceUp(at: Instant(nanoseconds: bench.now))
      let start = bench.now
      bench.changes = []
      while bench.health.state != .normal && bench.now < start + 60_000_000_000 { bench.run(milliseconds: 5) }
      holds.append((bench.now - start) / 1_000_000)
    }
    #expect(holds[0] < 100 && holds[1] < 100 && holds[2] < 100, "\(holds)")
    #expect(holds[3] >= 1000 && holds[4] >= 2000 && holds[5] >= 4000, "\(holds)")
    #expect(holds[6] <= 30_500, "\(holds)")
  }

  @Test func `a path that was back for a while is lost again without being held down, and what it was held is forgotten by halves`() {
    var bench = Bench()
    bench.becomeNormal()
    func loseAndReturn() -> UInt64 {
      bench.health.interfaceDown(at: Instant(nanoseconds: bench.now))
      bench.health.interfaceUp(at: Instant(nanoseconds: bench.now))
      let start = bench.now
      while bench.health.state != .normal && bench.now < start + 60_000_000_000 { bench.run(milliseconds: 5) }
      return (bench.now - start) / 1_000_000
    }
    var holds: [UInt64] = []
    for _ in 0..<8 {
      bench.run(milliseconds: 3000)
      holds.append(loseAndReturn())
    }
    #expect(holds.allSatisfy { $0 < 100 }, "\(holds)")
    for _ in 0..<6 { _ = loseAndReturn() }
    #expect(bench.health.holdDown == 4_000_000_000)
    bench.run(milliseconds: 8500)
    _ = loseAndReturn()
    #expect(bench.health.holdDown == 2_000_000_000)
    bench.run(milliseconds: 4500)
    _ = loseAndReturn()
    #expect(bench.health.holdDown == 1_000_000_000)
    bench.run(milliseconds: 2500)
    _ = loseAndReturn()
    #expect(bench.health.holdDown == 0)
  }

  @Test func `an idle path's lost probe makes it unstable, three lose it, an answer mends it`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.answers = false
    bench.run(milliseconds: 5000)
    #expect(bench.changes.map(\.to) == [.unstable, .lost])
    #expect(bench.changes.map(\.reason) == [.probeUnanswered, .probesUnanswered])
  }

  @Test func `echoes of probes that were never sent prove nothing`() {
    var bench = Bench()
    bench.answers = false
    for id in [0, 17, 4_000_000_000] as [UInt32] {
      let sample = bench.health.echoReceived(id, at: Instant(nanoseconds: bench.now))
      #expect(sample == nil)
    }
    #expect(bench.health.state == .initializing)
  }

  @Test(arguments: [(1_000_000, 500, 506), (20_000_000, 529, 571), (600_000_000, 1400, 2601)] as [(UInt64, UInt64, UInt64)])
  func `Holt's time-out is predicted × (1.5…3.5) + 500 ms`(_ sample: UInt64, _ least: UInt64, _ most: UInt64) {
    var predictor = HoltPredictor()
    for _ in 0..<50 { predictor.update(sample) }
    #expect(predictor.timeout / 1_000_000 >= least && predictor.timeout / 1_000_000 <= most, "\(predictor.timeout)")
  }

  @Test func `Holt's trend gives a path that grows slower more time`() {
    var steady = HoltPredictor()
    var growing = HoltPredictor()
    for step in 0..<40 {
      steady.update(100_000_000)
      growing.update(UInt64(20_000_000 + step * 2_050_000))
    }
    #expect(growing.timeout > steady.timeout)
  }

  @Test func `silence makes a path doubted before it is suspected, and asks it once`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    bench.silentSince = bench.now
    bench.run(milliseconds: 25)
    #expect(!bench.health.isDoubted)
    bench.run(milliseconds: 10)
    #expect(bench.health.isDoubted && bench.health.state == .normal && bench.probes.count == 1)
    let isNew = bench.health.takeNewDoubt()
    let isNewAgain = bench.health.takeNewDoubt()
    #expect(isNew && !isNewAgain)
  }

  @Test func `when all paths fall silent at once none is suspected before another one answers`() {
    var bench = Bench()
    bench.becomeNormal()
    bench.settle()
    bench.answers = false
    bench.silentSince = bench.now
    var others = OtherPaths()
    others.soundUntil = .zero
    bench.health.observe(others)
    bench.run(milliseconds: 200)
    #expect(bench.health.state == .normal)
    others.newsAt = Instant(nanoseconds: bench.now)
    bench.health.observe(others)
    bench.run(milliseconds: 6)
    #expect(bench.health.state == .unstable)
  }

  @Test func `the first packet in flight starts the clocks of loss and doubt`() {
    let start: UInt64 = 1_000_000_000
    let sender = PathSender(id: PathID(2), at: Instant(nanoseconds: start))
    var outcome = AcknowledgementOutcome()
    sender.advance(to: Instant(nanoseconds: start), anotherPathAlive: true, into: &outcome)
    while let fact = sender.nextFact() {
      if case .sendProbe(let id) = fact { sender.echoReceived(id, at: Instant(nanoseconds: start + 20_000_000)) }
    }
    while sender.nextFact() != nil {}
    let sentAt = Instant(nanoseconds: start + 100_000_000)
    #expect(sender.state == .normal)
    sender.sent(counter: 0, byteCount: 500, token: 7, at: sentAt)
    #expect(sender.nextDeadline <= sentAt + .milliseconds(80))
    sender.advance(to: sentAt + .milliseconds(150), anotherPathAlive: true, into: &outcome)
    #expect(outcome.lost == [7] && sender.isDoubted)
  }
}
