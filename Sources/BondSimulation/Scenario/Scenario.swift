package import CausewayBase
internal import CausewaySimulation

/// What is simulated: links, what flows over them, how long. Read from YAML by `Scenario.init(reading:)`.
package struct Scenario: Sendable {
  package static let mostLinks = 16
  package static let mostFlows = 200
  package static let longest = Duration.seconds(3600)
  /// Ethernet, IPv4 and UDP: what a datagram weighs on a wire beside itself.
  package static let datagramOverhead = 14 + 20 + 8
  static let ipOverhead = 20 + 8

  package var links: [LinkPair] = []
  /// Beside each link's own events: what happens to the client's address on it.
  package var addressEvents: [AddressEvent] = []
  package var flows: [FlowSpecification] = []
  /// Names that the bond knows, and those of `Baseline`.
  package var schedulers: [String] = ["auto"]
  package var duration = Duration.seconds(30)
  package var seed: UInt64 = 1
  /// Of the inner interface.
  package var mtu = 1400
  /// From here on for the figures that leave out the start.
  package var steadyFrom = Duration.seconds(3)

  package init() {}
}

package struct AddressEvent: Sendable, Equatable {
  package enum Kind: Sendable, Equatable { case rebind, address }
  package var at: Instant
  package var link: Int
  package var kind: Kind

  package init(at: Instant, link: Int, kind: Kind) {
    self.at = at
    self.link = link
    self.kind = kind
  }
}

/// What a bond is compared with.
package enum Baseline {
  /// Each link by itself, without a bond.
  package static let alone = "alone"
  /// Packets by turns over all links, without a bond.
  package static let spray = "spray"
  package static let names = [alone, spray]
}

/// Some flows of one kind.
package struct FlowSpecification: Sendable {
  package enum Kind: String, Sendable, CaseIterable {
    /// A bulk transfer.
    case tcp
    /// Packets at a steady rate.
    case udp
    /// ICMP echo.
    case ping
    /// UDP requests that are sent back.
    case echo
  }
  package enum Congestion: String, Sendable, CaseIterable { case cubic, bbr }
  package enum Direction: String, Sendable, CaseIterable { case up, down }

  package var kind: Kind
  package var count = 1
  /// Of tcp and udp; who sends.
  package var direction = Direction.down
  /// Of udp: of the inner IP packets.
  package var bytesPerSecond = 125_000.0
  /// Of whole inner IP packets; nil: 1400 for udp, 84 for ping, 428 for echo.
  package var packetByteCount: Int?
  /// Between requests.
  package var interval = Duration.milliseconds(20)
  package var start = Duration.zero
  /// Nil: to the end.
  package var stop: Duration?
  package var usesECN = false
  /// Of tcp.
  package var congestion = Congestion.cubic
  /// The receiver's window of a tcp flow, and what the sender keeps in flight at most.
  package var windowByteCount = 6 * 1024 * 1024

  package init(_ kind: Kind) { self.kind = kind }
}
