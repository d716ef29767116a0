internal import CausewayBase

/// One end of an inner flow, on one host.
protocol FlowEnd: AnyObject {
  /// Takes an intact packet of this flow.
  func receive(_ packet: Span<UInt8>, _ header: InnerHeader, at now: Instant)
  /// Writes the next packet into `writer` and returns its length; nil when there is none to send now.
  func nextPacket(at now: Instant) -> Int?
  var writer: PacketWriter { get }
  var nextDeadline: Instant? { get }
  func advance(to now: Instant)
}

/// Where a flow's packets go: addresses of the hosts behind the two ends, and what tells flows apart.
struct FlowAddress {
  /// 10.77.0.1 and 10.77.0.2.
  static func host(_ side: SimulatedSide) -> UInt32 { 0x0A4D_0001 + UInt32(side.rawValue) }

  var number: Int
  var side: SimulatedSide

  static let firstClientPort = 40_000
  static let firstServerPort = 5_000

  var port: UInt16 { UInt16((side == .client ? Self.firstClientPort : Self.firstServerPort) + number) }
  var remotePort: UInt16 { UInt16((side == .client ? Self.firstServerPort : Self.firstClientPort) + number) }

  func writer(_ protocolNumber: UInt8, longest: Int) -> PacketWriter {
    PacketWriter(from: Self.host(side), to: Self.host(side.other), protocolNumber: protocolNumber, longest: longest)
  }
}
