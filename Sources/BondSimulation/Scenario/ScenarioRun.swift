internal import CausewayBase
internal import CausewaySimulation

/// One run of a scenario with one kind of endpoints.
package final class ScenarioRun {
  package let world: SimulatedWorld
  private let scenario: Scenario
  private var probes: [FlowProbe] = []

  package init(_ scenario: Scenario, seed: UInt64, endpoint: @escaping SimulatedWorld.EndpointFactory) {
    self.scenario = scenario
    world = SimulatedWorld(links: scenario.links, seed: seed, endpoint: endpoint)
    for event in scenario.addressEvents {
      world.schedule(at: event.at) { world in
        switch event.kind {
        case .rebind: world.rebind(link: event.link)
        case .address: world.changeAddress(link: event.link)
        }
      }
    }
    var random = SeededRandom(seed: seed ^ 0xF10F)
    for flow in scenario.flows {
      for _ in 0..<flow.count { add(flow, &random) }
    }
  }

  package func run() -> RunResult {
    world.run(until: .zero + scenario.duration)
    return result()
  }

  private func add(_ flow: FlowSpecification, _ random: inout SeededRandom) {
    let start = Instant.zero + flow.start
    let stop = min(.zero + scenario.duration, flow.stop.map { .zero + $0 } ?? .distantFuture)
    let number = probes.count
    let ends = SimulatedSide.allCases.map { FlowAddress(number: number, side: $0) }
    let (client, server): (any FlowEnd, any FlowEnd)
    let probe: FlowProbe
    switch flow.kind {
    case .ping, .echo:
      let byteCount = flow.packetByteCount ?? (flow.kind == .ping ? 84 : 428)
      let asker = EchoClient(
        ends[0], isICMP: flow.kind == .ping, packetByteCount: byteCount, interval: flow.interval, start: start, stop: stop)
      let answerer = EchoServer(ends[1], isICMP: flow.kind == .ping, packetByteCount: byteCount)
      (client, server) = (asker, answerer)
      probe = .echo(asker, answerer)
    case .udp:
      let source = DatagramSource(
        flow.direction == .up ? ends[0] : ends[1], packetByteCount: flow.packetByteCount ?? scenario.mtu,
        bytesPerSecond: flow.bytesPerSecond, usesECN: flow.usesECN, start: start, stop: stop)
      let sink = DatagramSink(flow.direction == .up ? ends[1] : ends[0], start: start)
      (client, server) = flow.direction == .up ? (source, sink) : (sink, source)
      probe = .datagrams(source, sink)
    case .tcp:
      let segment = scenario.mtu - TCPHeader.dataHeaderByteCount
      let sender = TCPSender(
        flow.direction == .up ? ends[0] : ends[1], opens: flow.direction == .up, usesECN: flow.usesECN, segmentByteCount: segment,
        window: UInt64(flow.windowByteCount), congestion: flow.congestion, start: start, stop: stop,
        seed: UInt32(truncatingIfNeeded: random.next()))
      let receiver = TCPReceiver(
        flow.direction == .up ? ends[1] : ends[0], opens: flow.direction == .down, usesECN: flow.usesECN, segmentByteCount: segment,
        window: UInt32(min(flow.windowByteCount, 16_000_000)), start: start, seed: UInt32(truncatingIfNeeded: random.next()))
      (client, server) = flow.direction == .up ? (sender, receiver) : (receiver, sender)
      probe = .transfer(sender, receiver)
    }
    world.hosts[0].add(client, at: .zero)
    world.hosts[1].add(server, at: .zero)
    probes.append(probe)
    specifications.append((flow, start, stop))
  }

  private var specifications: [(flow: FlowSpecification, start: Instant, stop: Instant)] = []

  // MARK: What came of it

  package func result() -> RunResult {
    var result = RunResult()
    result.links = world.links.enumerated().map { number, link in
      LinkResult(
        name: scenario.links[number].name, up: link.upward.statistics, down: link.downward.statistics)
    }
    result.flows = zip(probes, specifications).map { probe, specification in flowResult(probe, specification) }
    result.counters = world.endpoints.map { $0?.counters ?? EndpointCounters() }
    result.strayPackets = world.strayPacketCount
    result.isHung = world.isHung
    return result
  }

  private func flowResult(_ probe: FlowProbe, _ specification: (flow: FlowSpecification, start: Instant, stop: Instant)) -> FlowResult {
    var result = FlowResult(kind: specification.flow.kind, direction: specification.flow.direction)
    let steady = max(.zero + scenario.steadyFrom, specification.start)
    switch probe {
    case .echo(let client, let server):
      (result.sent, result.received) = (client.sentCount, client.answeredCount)
      (result.duplicates, result.reordered) = (client.duplicateCount + server.duplicateCount, client.reorderedCount)
      result.longestGap = client.longestGap
      result.delays = client.delays.sorted(from: steady)
      result.requests = client.requests()
    case .datagrams(let source, let sink):
      (result.sent, result.received) = (source.sentCount, sink.receivedCount)
      (result.duplicates, result.reordered, result.marked) = (sink.duplicateCount, sink.reorderedCount, sink.markedCount)
      result.delays = sink.delays.sorted(from: steady)
      result.goodput(of: sink.meter, specification.start, specification.stop, steady)
    case .transfer(let sender, let receiver):
      result.goodput(of: receiver.meter, specification.start, specification.stop, steady)
      (result.retransmitted, result.reductions) = (sender.retransmittedCount, sender.reductionCount)
      (result.undone, result.timeouts) = (sender.undoCount, sender.timeoutTotal)
      (result.duplicates, result.reordered) = (receiver.duplicateCount, receiver.outOfOrderCount)
      (result.marked, result.isAborted) = (receiver.markedCount, sender.isAborted)
    }
    return result
  }
}

private enum FlowProbe {
  case echo(EchoClient, EchoServer)
  case datagrams(DatagramSource, DatagramSink)
  case transfer(TCPSender, TCPReceiver)
}
