internal import CausewayBase
internal import CausewaySimulation

/// One thing that goes wrong for a while.
package struct Fault: Sendable, CustomStringConvertible {
  package enum Kind: String, CaseIterable, Sendable {
    case blackhole, blackholeUp, blackholeDown
    /// Dead for half of each second.
    case flap
    /// To 300 ms.
    case delayStep
    /// To a tenth.
    case rateStep
    /// 30 %.
    case heavyLoss
    case burstLoss
    case reordering
    case jitter
    /// To 1300 bytes outside.
    case mtuDrop
    case corruption
    case truncation
    case duplication
    /// Another port behind the NAT.
    case rebind
    /// Another address, announced.
    case address
    /// Every link dead, for less than the keys live.
    case allDead
    /// Every link dead for ten minutes.
    case allDeadLong
    /// The client's machine sleeps for five minutes.
    case sleep
    case clientRestart, serverRestart, bothRestart

    /// Does not belong to one link.
    var isTotal: Bool {
      switch self {
      case .allDead, .allDeadLong, .sleep, .clientRestart, .serverRestart, .bothRestart: true
      default: false
      }
    }
  }

  package var kind: Kind
  package var start: Duration
  package var duration: Duration
  /// Ignored where `kind.isTotal`.
  package var link: Int

  package init(_ kind: Kind, start: Duration, duration: Duration, link: Int = 0) {
    self.kind = kind
    self.start = start
    self.duration = duration
    self.link = link
  }

  package var end: Duration { start + duration }

  package var description: String {
    let place = kind.isTotal ? "" : " on link \(link)"
    return
      "\(kind.rawValue)\(place) at \(SimulationReport.text(start.inSeconds, 2)) s for \(SimulationReport.text(duration.inSeconds, 2)) s"
  }

  /// How long after its end traffic may still stand still: the promises of docs/bond.md.
  package var recoveryBound: Duration {
    switch kind {
    // Keys are gone, or a peer must find out that they are: a handshake and what tells that one is due.
    case .allDeadLong, .sleep: .seconds(6)
    case .clientRestart: .seconds(6)
    case .serverRestart, .bothRestart: .seconds(20)
    default: .seconds(1)
    }
  }

  /// Whether a link carries nothing for a while, one way or both.
  var isOutage: Bool { [.blackhole, .blackholeUp, .blackholeDown, .flap].contains(kind) }

  /// The one-way delay of `delayStep`.
  static let steppedDelay = Duration.milliseconds(300)

  static let heavyLossShare = 0.3
  static let burstLossShare = 0.1
  static let burstPacketCount = 20.0
  static let damagedShare = 0.1

  /// Of packets sent while it lasts, the share that may come after a later one: those that were lost and whose resend was lost too. Where
  /// losses are independent that is p². A burst is over after n packets, and a resend that is sent m packets later still finds it with
  /// e^(-m/n): at most half, since finding a loss takes a round trip and a few tens of milliseconds, 14 of these flows' packets.
  var lateShare: Double {
    switch kind {
    case .heavyLoss: Self.heavyLossShare * Self.heavyLossShare
    case .burstLoss: Self.burstLossShare / 2
    case .corruption, .truncation: Self.damagedShare * Self.damagedShare
    default: 0
    }
  }

  /// How often it changes without notice what a link carries or how long it takes. Until the sender sees it, within `noticeTime`, what it
  /// gives to that link comes late, or is found lost later than anybody waits for it.
  var changeCount: Double {
    switch kind {
    case .blackhole, .blackholeUp, .blackholeDown, .delayStep, .rateStep, .rebind, .address, .mtuDrop: 1
    case .flap: (duration.inSeconds).rounded(.up)
    case .allDead, .allDeadLong, .sleep, .clientRestart, .serverRestart, .bothRestart: 1
    case .heavyLoss, .burstLoss, .reordering, .jitter, .corruption, .truncation, .duplication: 0
    }
  }

  /// Seconds until a path that goes wrong is set aside: the promise is 100-200 ms.
  static let noticeTime = 0.2

  /// Plans what happens in `world`.
  package func schedule(in world: SimulatedWorld) {
    let (start, end) = (Instant.zero + start, Instant.zero + end)
    let link = link
    switch kind {
    case .blackhole: change(world, start, end, up: { $0.isBlackhole = true }, down: { $0.isBlackhole = true })
    case .blackholeUp: change(world, start, end, up: { $0.isBlackhole = true })
    case .blackholeDown: change(world, start, end, down: { $0.isBlackhole = true })
    case .flap:
      var at = start
      while at < end {
        change(world, at, min(end, at + .milliseconds(500)), up: { $0.isBlackhole = true }, down: { $0.isBlackhole = true })
        at = at + .seconds(1)
      }
    case .delayStep: change(world, start, end) { $0.delay = Self.steppedDelay }
    case .rateStep: change(world, start, end) { $0.bytesPerSecond = $0.bytesPerSecond.map { max(12_500, $0 / 10) } }
    case .heavyLoss: change(world, start, end) { $0.loss = .independent(Self.heavyLossShare) }
    case .burstLoss: change(world, start, end) { $0.loss = .share(Self.burstLossShare, meanBurst: Self.burstPacketCount) }
    case .reordering: change(world, start, end) { ($0.reordering, $0.reorderingDelay) = (0.2, .milliseconds(15)) }
    case .jitter: change(world, start, end) { ($0.jitter, $0.jitterReorders) = ($0.delay, true) }
    case .mtuDrop: change(world, start, end) { $0.mtu = 1300 - Scenario.ipOverhead }
    case .corruption: change(world, start, end) { $0.corruption = Self.damagedShare }
    case .truncation: change(world, start, end) { $0.truncation = Self.damagedShare }
    case .duplication: change(world, start, end) { $0.duplication = 0.3 }
    case .rebind: world.schedule(at: start) { $0.rebind(link: link) }
    case .address: world.schedule(at: start) { $0.changeAddress(link: link) }
    case .allDead, .allDeadLong:
      for index in world.links.indices {
        var fault = self
        (fault.kind, fault.link) = (.blackhole, index)
        fault.schedule(in: world)
      }
    case .sleep:
      let duration = duration
      world.schedule(at: start) { $0.suspend(.client, for: duration) }
    case .clientRestart: restart(world, [.client], start, end)
    case .serverRestart: restart(world, [.server], start, end)
    case .bothRestart: restart(world, [.client, .server], start, end)
    }
  }

  private func restart(_ world: SimulatedWorld, _ sides: [SimulatedSide], _ start: Instant, _ end: Instant) {
    world.schedule(at: start) { world in for side in sides { world.kill(side) } }
    world.schedule(at: end) { world in for side in sides { world.restart(side) } }
  }

  private func change(
    _ world: SimulatedWorld, _ start: Instant, _ end: Instant, up: ((inout LinkParameters) -> Void)? = nil,
    down: ((inout LinkParameters) -> Void)? = nil
  ) {
    let pair = world.links[link]
    for (direction, body) in [(pair.upward, up), (pair.downward, down)] {
      guard let body else { continue }
      let original = direction.model.parameters
      world.schedule(at: start) { world in direction.change(at: world.now, body) }
      world.schedule(at: end) { world in direction.change(at: world.now) { $0 = original } }
    }
  }

  private func change(_ world: SimulatedWorld, _ start: Instant, _ end: Instant, _ both: @escaping (inout LinkParameters) -> Void) {
    change(world, start, end, up: both, down: both)
  }
}
