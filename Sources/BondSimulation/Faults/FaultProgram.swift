internal import CausewayBase
internal import CausewayBondCore
internal import CausewaySimulation

/// Links, flows and a list of faults drawn from a seed: the same seed, the same program.
package struct FaultProgram: Sendable, CustomStringConvertible {
  package var seed: UInt64
  package var links: [LinkPair] = []
  package var faults: [Fault] = []
  /// From the last fault's bound to the end traffic is watched for so long.
  package var watch = Duration.seconds(10)
  static let firstFault = Duration.seconds(6)

  /// - Parameter kinds: what may happen.
  package init(seed: UInt64, kinds: [Fault.Kind] = Fault.Kind.allCases, faultCount: ClosedRange<Int> = 1...3) {
    self.seed = seed
    var random = SeededRandom(seed: seed ^ 0xFA017)
    let linkCount = Int.random(in: 2...3, using: &random)
    for number in 0..<linkCount { links.append(Self.link(number, &random)) }
    var at = Self.firstFault
    for _ in 0..<Int.random(in: faultCount, using: &random) {
      let kind = kinds.randomElement(using: &random)!
      let duration = Self.duration(kind, &random)
      let link = Int.random(in: 0..<linkCount, using: &random)
      let start = at + .milliseconds(Int.random(in: 0...1999, using: &random))
      faults.append(Fault(kind, start: start, duration: duration, link: link))
      // Often another link suffers at the same time.
      if !kind.isTotal, Bool.random(using: &random), let second = kinds.filter({ !$0.isTotal }).randomElement(using: &random) {
        let other = (link + 1) % linkCount
        faults.append(
          Fault(second, start: start + .milliseconds(Int.random(in: 0...999, using: &random)), duration: duration, link: other))
      }
      at = faults.map { $0.end + $0.recoveryBound }.max()! + .seconds(2)
    }
  }

  /// The named faults only, over two ordinary links of 10 Mbit/s: what is judged are moments, not rates.
  package init(_ faults: [Fault], seed: UInt64 = 1) {
    self.seed = seed
    self.faults = faults
    watch = .seconds(5)
    links = (0..<2).map { number in
      var parameters = LinkParameters()
      (parameters.bytesPerSecond, parameters.delay) = (1_250_000, .milliseconds(10 + 5 * number))
      parameters.overheadByteCount = Scenario.datagramOverhead
      parameters.mtu = 1500 - Scenario.ipOverhead
      return LinkPair(name: "link\(number)", parameters)
    }
  }

  private static func link(_ number: Int, _ random: inout SeededRandom) -> LinkPair {
    var parameters = LinkParameters()
    parameters.bytesPerSecond = UInt64(125_000 * Int.random(in: 5...60, using: &random))
    parameters.delay = .milliseconds(Int.random(in: 2...60, using: &random))
    parameters.overheadByteCount = Scenario.datagramOverhead
    parameters.mtu = 1500 - Scenario.ipOverhead
    parameters.queueByteCount = 1000 * Int.random(in: 30...256, using: &random)
    if Bool.random(using: &random) { parameters.loss = .share(Double.random(in: 0...0.01, using: &random)) }
    if Bool.random(using: &random) {
      parameters.jitter = .milliseconds(Int.random(in: 1...5, using: &random))
      parameters.jitterReorders = Bool.random(using: &random)
    }
    return LinkPair(name: "link\(number)", parameters)
  }

  private static func duration(_ kind: Fault.Kind, _ random: inout SeededRandom) -> Duration {
    switch kind {
    case .allDead: .seconds(Int.random(in: 1...60, using: &random))
    case .allDeadLong: .seconds(600)
    case .sleep: .seconds(300)
    case .clientRestart, .serverRestart, .bothRestart: .milliseconds(Int.random(in: 50...3000, using: &random))
    case .rebind, .address: .zero
    default: .milliseconds(Int.random(in: 500...8000, using: &random))
    }
  }

  package var healedAt: Duration { faults.map { $0.end + $0.recoveryBound }.max() ?? Self.firstFault }
  package var duration: Duration { healedAt + watch }
  /// While both ends run, and flows send.
  var awakeTime: Duration { faults.reduce(duration) { $1.kind == .sleep ? $0 - $1.duration : $0 } }

  package var description: String { "seed \(seed): " + faults.map(\.description).joined(separator: ", ") }

  /// Whether some link is never touched and nobody restarts or sleeps.
  package var leavesOneLink: Bool {
    !faults.contains { $0.kind.isTotal } && Set(faults.map(\.link)).count < links.count
  }

  /// How long a ping may be silent while a link stays whole. That a path is dead shows when its acknowledgements are later than its round
  /// trip usually lets them be; so one that dies while a link's round trip is 600 ms is given half as much again, and so is one that dies
  /// within `stepMemory` of that: what an idle path takes is seen when its probe of each second comes back, and believed when those of
  /// the next half second say the same. A flow that moves to such a link on purpose hears nothing for that link's round trip.
  /// - Parameter ignoresDelay: Whether the scheduler gives packets to links by share or preference, however long they take.
  func longestSilence(_ usual: Duration, ignoresDelay: Bool) -> Duration {
    let stepped = faults.contains { $0.kind == .delayStep }
    let usual = ignoresDelay && stepped ? max(usual, Fault.steppedDelay * 2 + Self.moveSlack) : usual
    let isRemembered = faults.contains { step in
      step.kind == .delayStep && faults.contains { $0.isOutage && $0.start >= step.start && $0.start <= step.end + Self.stepMemory }
    }
    return isRemembered ? max(usual, Fault.steppedDelay * 3) : usual
  }

  /// What a move to a slower link adds to its round trip: the time between two requests, jitter, and a packet or two before it.
  static let moveSlack = Duration.milliseconds(50)

  /// A second to the next probe, its round trip of 600 ms where it left before the step ended, and three more probes.
  static let stepMemory = Duration.milliseconds(2500)

  /// So many seconds' worth of packets may come after a later one because of faults. Where several links lose packets the worst of them
  /// counts: no packet takes more than one.
  var lateSeconds: Double {
    let moments = Set(faults.flatMap { [$0.start, $0.end] }).sorted()
    let unnoticed = faults.reduce(0) { $0 + $1.changeCount * Fault.noticeTime }
    return zip(moments, moments.dropFirst()).reduce(unnoticed) { sum, span in
      let worst = faults.filter { $0.start <= span.0 && $0.end >= span.1 }.map(\.lateShare).max() ?? 0
      return sum + worst * (span.1 - span.0).inSeconds
    }
  }

  /// Packets that may come after a later one because they went before their receiver's order was known: at the start and after a restart what
  /// waited for keys goes as plain WireGuard, which knows no order, and a link whose jitter lets packets overtake each other mixes it.
  var unorderedPackets: Int {
    let mixes = links.contains { $0.upward.jitterReorders && $0.upward.jitter > .zero }
    guard mixes else { return 0 }
    let restarts = faults.count { [.clientRestart, .serverRestart, .bothRestart].contains($0.kind) }
    return (1 + restarts) * EngineLimits().stagedPackets
  }

  /// Whether a restart may make a packet come twice: what was delivered is forgotten with the process.
  var forgets: Bool { faults.contains { [.clientRestart, .serverRestart, .bothRestart].contains($0.kind) } }

  func scenario(tcp: Bool) -> Scenario {
    var scenario = Scenario()
    scenario.links = links
    scenario.duration = duration
    let ping = FlowSpecification(.ping)
    var echo = FlowSpecification(.echo)
    echo.packetByteCount = 428
    var up = FlowSpecification(.udp)
    (up.bytesPerSecond, up.packetByteCount, up.direction) = (60_000, 600, .up)
    var down = up
    down.direction = .down
    scenario.flows = [ping, echo, up, down]
    // Minutes of a bulk transfer say nothing more than seconds of it.
    if tcp && duration < .seconds(120) {
      var transfer = FlowSpecification(.tcp)
      transfer.direction = seed % 2 == 0 ? .up : .down
      transfer.congestion = seed / 2 % 2 == 0 ? .cubic : .bbr
      scenario.flows.append(transfer)
    }
    return scenario
  }
}
