import CausewayBase
import CausewayBondSimulation
import CausewaySimulation
import Testing

/// The judge is tested on ends whose faults are known: a bare link and a sprayer without order.
@Suite struct FaultTests {
  private func bare(_ side: SimulatedSide, _ link: Int) -> NaiveEndpoint { NaiveEndpoint(side, links: [link]) }

  @Test("what happens to another link breaks nothing on this one", arguments: Fault.Kind.allCases.filter { !$0.isTotalFault })
  func elsewhere(_ kind: Fault.Kind) {
    let run = FaultRun(FaultProgram([Fault(kind, start: .seconds(6), duration: .seconds(4), link: 1)]))
    let verdict = run.run { side, _, _ in bare(side, 0) }
    #expect(verdict.violations == [], "\(run.program)")
  }

  @Test("a bare link that dies is silent too long; one that comes back answers again") func death() {
    var program = FaultProgram([Fault(.blackhole, start: .seconds(6), duration: .seconds(4), link: 0)])
    let verdict = FaultRun(program).run { side, _, _ in bare(side, 0) }
    // Four seconds, less what the transfer beside it had put into the link's queue and still arrives: 0.2 s of 10 Mbit/s.
    #expect(
      verdict.violations.count == 2
        && verdict.violations.allSatisfy { text in ["3.8", "3.9", "4.0"].contains { text.contains("silent for \($0)") } },
      "\(verdict.violations)")
    program = FaultProgram([Fault(.allDead, start: .seconds(6), duration: .seconds(30))])
    #expect(FaultRun(program).run { side, _, _ in bare(side, 0) }.violations == [])
  }

  @Test("a flow that goes by a link of 600 ms on purpose is silent for its round trip; one that heeds delay may not be") func delayed() {
    var run = FaultRun(FaultProgram([Fault(.delayStep, start: .seconds(6), duration: .seconds(4), link: 0)]))
    #expect(run.run(tcp: false) { side, _, _ in bare(side, 0) }.violations.contains { $0.contains("silent for 0.6") })
    run.ignoresDelay = true
    #expect(!run.run(tcp: false) { side, _, _ in bare(side, 0) }.violations.contains { $0.contains("silent") })
  }

  @Test("copies and disorder on the wire show where nothing mends them") func judges() {
    let doubled = FaultRun(FaultProgram([Fault(.duplication, start: .seconds(6), duration: .seconds(4), link: 0)]))
    #expect(doubled.run { side, _, _ in bare(side, 0) }.violations.contains { $0.contains("delivered twice") })
    let mixed = FaultRun(FaultProgram([Fault(.reordering, start: .seconds(6), duration: .seconds(8), link: 0)]))
    #expect(mixed.run { side, _, _ in NaiveEndpoint(side, links: [0, 1]) }.violations.contains { $0.contains("out of order") })
  }

  @Test("a sleep and a ten-minute outage pass in virtual time", arguments: [Fault.Kind.sleep, .allDeadLong, .clientRestart, .bothRestart])
  func long(_ kind: Fault.Kind) {
    let duration: Duration = kind == .allDeadLong ? .seconds(600) : kind == .sleep ? .seconds(300) : .seconds(1)
    let run = FaultRun(FaultProgram([Fault(kind, start: .seconds(6), duration: duration)]))
    #expect(run.run { side, _, _ in bare(side, 0) }.violations == [])
  }

  @Test("a NAT that forgets cuts off who doesn't send; the naive server follows who does") func rebind() {
    for kind in [Fault.Kind.rebind, .address] {
      let run = FaultRun(FaultProgram([Fault(kind, start: .seconds(6), duration: .zero, link: 0)]))
      #expect(run.run { side, _, _ in bare(side, 0) }.violations == [])
    }
  }

  @Test("who never stops sending, or asks to be woken for ever, counts as hung") func hung() {
    for kind in [StubbornEndpoint.Kind.sends, .wakes] {
      let run = FaultRun(FaultProgram([Fault(.rebind, start: .seconds(6), duration: .zero)]))
      #expect(run.run(tcp: false) { _, _, _ in StubbornEndpoint(kind) }.violations.contains { $0.hasPrefix("hung") })
    }
  }

  @Test("the seed decides the whole program and the whole run", arguments: 1...4 as ClosedRange<UInt64>) func determinism(_ seed: UInt64) {
    let program = FaultProgram(seed: seed)
    #expect(program.description == FaultProgram(seed: seed).description)
    #expect(program.description != FaultProgram(seed: seed + 100).description)
    guard program.duration < .seconds(60) else { return }
    let verdicts = (0..<2).map { _ in FaultRun(program).run(tcp: false) { side, _, _ in NaiveEndpoint(side, links: [0, 1]) } }
    #expect(verdicts[0].violations == verdicts[1].violations)
    #expect(verdicts[0].result.links.map(\.down) == verdicts[1].result.links.map(\.down))
  }
}

extension Fault.Kind {
  fileprivate var isTotalFault: Bool {
    [.allDead, .allDeadLong, .sleep, .clientRestart, .serverRestart, .bothRestart].contains(self)
  }
}

private final class StubbornEndpoint: SimulatedEndpoint {
  enum Kind { case sends, wakes }
  let kind: Kind
  init(_ kind: Kind) { self.kind = kind }
  func offer(_ packet: Span<UInt8>, at now: Instant) {}
  func receive(_ datagram: inout MutableSpan<UInt8>, from origin: DatagramOrigin, at now: Instant) {}
  func nextDatagram(into buffer: inout MutableSpan<UInt8>, at now: Instant) -> OutgoingDatagram? {
    kind == .sends ? OutgoingDatagram(byteCount: 0, link: 99, remote: .server) : nil
  }
  func deliver(at now: Instant, _ body: (Span<UInt8>) -> Void) {}
  var nextDeadline: Instant? { kind == .wakes ? .zero : nil }
  func advance(to now: Instant) {}
}
