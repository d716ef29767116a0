package import CausewayBase
package import CausewaySimulation

/// What came of one run.
package struct RunResult: Sendable {
  package var flows: [FlowResult] = []
  package var links: [LinkResult] = []
  /// Of the client's end and the server's.
  package var counters: [EndpointCounters] = []
  package var strayPackets = 0
  package var isHung = false

  /// Of all tcp and udp flows together, bits of payload a second over their whole time.
  package var goodput: Double { flows.reduce(0) { $0 + $1.goodput } }
  package var steadyGoodput: Double { flows.reduce(0) { $0 + $1.steadyGoodput } }

  /// Round trips of all ping and echo flows; nil without answers.
  package func roundTrip(_ share: Double) -> Duration? {
    DelaySamples.percentile(share, of: flows.filter { $0.kind == .ping || $0.kind == .echo }.flatMap(\.delays).sorted())
  }

  /// Share of numbered packets that never came; nil without such.
  package var loss: Double? {
    let counted = flows.filter { $0.kind != .tcp }
    let sent = counted.reduce(0) { $0 + $1.sent }
    return sent == 0 ? nil : Double(sent - counted.reduce(0) { $0 + $1.received }) / Double(sent)
  }

  /// Each link's part of all bytes carried, both ways.
  package var shares: [Double] {
    let bytes = links.map { Double($0.up.carriedByteCount + $0.down.carriedByteCount) }
    let sum = max(1, bytes.reduce(0, +))
    return bytes.map { $0 / sum }
  }
}

package struct LinkResult: Sendable {
  package var name: String
  package var up: LinkModel.Statistics
  package var down: LinkModel.Statistics
}

/// What came of one flow. Counts of packets; those that a kind of flow doesn't have stay 0.
package struct FlowResult: Sendable {
  package var kind: FlowSpecification.Kind
  package var direction: FlowSpecification.Direction
  /// Bits of payload a second: over its whole time, and from the scenario's steady moment on.
  package var goodput = 0.0
  package var steadyGoodput = 0.0
  /// Payload bytes by tenth of a second.
  package var buckets: [Int] = []
  package var sent = 0
  package var received = 0
  package var duplicates = 0
  package var reordered = 0
  package var marked = 0
  /// Round trips of ping and echo, one way of udp, in ns, ascending, from the steady moment on.
  package var delays: [UInt64] = []
  package var longestGap = Duration.zero
  /// Of ping and echo.
  package var requests: [(at: Instant, isAnswered: Bool)] = []
  // Of tcp
  package var retransmitted = 0
  package var reductions = 0
  package var undone = 0
  package var timeouts = 0
  package var isAborted = false

  init(kind: FlowSpecification.Kind, direction: FlowSpecification.Direction) {
    self.kind = kind
    self.direction = direction
  }

  mutating func goodput(of meter: GoodputMeter, _ start: Instant, _ stop: Instant, _ steady: Instant) {
    buckets = meter.buckets
    goodput = 8 * Double(meter.byteCount(from: .zero, to: stop - start)) / max(0.1, (stop - start).inSeconds)
    steadyGoodput = 8 * Double(meter.byteCount(from: steady - start, to: stop - start)) / max(0.1, (stop - steady).inSeconds)
  }
}
