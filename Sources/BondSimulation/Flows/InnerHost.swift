internal import CausewayBase
internal import CausewayWire

/// The host behind one end: hands packets to flows and collects what they send.
final class InnerHost {
  let side: SimulatedSide
  private var flows: [any FlowEnd] = []
  private var deadlines: [UInt64] = []
  /// Flows that may have something to send.
  private var restless: [Int] = []
  private var isRestless: [Bool] = []
  /// Packets that are no packet of any flow, or broken: a tunnel must not hand out such.
  private(set) var strayCount = 0
  private(set) var receivedCount = 0

  init(_ side: SimulatedSide) { self.side = side }

  func add(_ flow: any FlowEnd, at now: Instant) {
    flows.append(flow)
    deadlines.append(0)
    isRestless.append(false)
    touch(flows.count - 1)
  }

  private func touch(_ index: Int) {
    deadlines[index] = flows[index].nextDeadline?.nanoseconds ?? .max
    if isRestless[index] { return }
    isRestless[index] = true
    restless.append(index)
  }

  func receive(_ packet: Span<UInt8>, at now: Instant) {
    receivedCount += 1
    guard let header = InnerHeader(packet), header.isIntact(packet), header.destination == FlowAddress.host(side),
      let index = flowNumber(packet, header), flows.indices.contains(index)
    else {
      strayCount += 1
      return
    }
    flows[index].receive(packet.extracting(first: header.totalLength), header, at: now)
    touch(index)
  }

  private func flowNumber(_ packet: Span<UInt8>, _ header: InnerHeader) -> Int? {
    switch header.protocolNumber {
    case InnerHeader.icmp: Int(packet.bigEndian(at: 24, as: UInt16.self))
    case InnerHeader.tcp, InnerHeader.udp:
      Int(packet.bigEndian(at: 22, as: UInt16.self)) - (side == .client ? FlowAddress.firstClientPort : FlowAddress.firstServerPort)
    default: nil
    }
  }

  /// Hands every packet that the flows send now to `body`.
  /// - Returns: whether there was one.
  func drain(at now: Instant, _ body: (Span<UInt8>) -> Void) -> Bool {
    var found = false
    while let index = restless.popLast() {
      isRestless[index] = false
      let flow = flows[index]
      while let count = flow.nextPacket(at: now) {
        found = true
        body(flow.writer.bytes.span.extracting(first: count))
      }
      deadlines[index] = flow.nextDeadline?.nanoseconds ?? .max
    }
    return found
  }

  var nextDeadline: UInt64 {
    var earliest = UInt64.max
    for deadline in deadlines where deadline < earliest { earliest = deadline }
    return earliest
  }

  func advance(to now: Instant) {
    for index in deadlines.indices where deadlines[index] <= now.nanoseconds {
      flows[index].advance(to: now)
      touch(index)
    }
  }
}
