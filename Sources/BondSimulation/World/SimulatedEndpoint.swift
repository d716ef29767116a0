package import CausewayBase

/// Where a datagram comes from or goes to: an address of the simulated outer network.
package struct SimulatedAddress: Hashable, Sendable {
  /// As an IPv4 address.
  package var host: UInt32
  package var port: UInt16

  package init(host: UInt32, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// The one address of the server.
  package static let server = SimulatedAddress(host: 0xCB00_7101, port: 51820)

  /// The client's address on a link as the server sees it. Each `generation` is another one: a new port behind the same NAT, or a new
  /// host.
  package static func client(link: Int, hostGeneration: Int = 0, portGeneration: Int = 0) -> SimulatedAddress {
    SimulatedAddress(
      host: 0xC633_6400 | UInt32(truncatingIfNeeded: link) << 4 | UInt32(truncatingIfNeeded: hostGeneration) & 15,
      port: UInt16(truncatingIfNeeded: 20_000 + link * 1000 + portGeneration % 1000))
  }

  var packed: UInt64 { UInt64(host) << 16 | UInt64(port) }
  init(packed: UInt64) { self.init(host: UInt32(truncatingIfNeeded: packed >> 16), port: UInt16(truncatingIfNeeded: packed)) }
}

/// What is known of a datagram that arrived.
package struct DatagramOrigin: Sendable {
  /// The link it came on, at both ends.
  package var link: Int
  package var remote: SimulatedAddress
  /// The outer header's ECN bits.
  package var congestionBits: UInt8

  package init(link: Int, remote: SimulatedAddress, congestionBits: UInt8 = 0) {
    self.link = link
    self.remote = remote
    self.congestionBits = congestionBits
  }
}

/// Where a datagram is to go.
package struct OutgoingDatagram: Sendable {
  package var byteCount: Int
  /// Which of its links a client takes. A server's datagrams go where `remote` is.
  package var link: Int
  package var remote: SimulatedAddress
  package var congestionBits: UInt8

  package init(byteCount: Int, link: Int, remote: SimulatedAddress, congestionBits: UInt8 = 0) {
    self.byteCount = byteCount
    self.link = link
    self.remote = remote
    self.congestionBits = congestionBits
  }
}

/// What an endpoint counted; zeros where it doesn't know such a thing.
package struct EndpointCounters: Equatable, Sendable {
  /// Packets it sent again on its own, and those a receiver got back that way or by FEC.
  package var resent = 0
  package var repaired = 0
  /// Packets that it gave up.
  package var unrepaired = 0
  /// Packets that it stopped sending again.
  package var abandoned = 0
  package var duplicatesDropped = 0
  /// Packets of FEC sent, and packets first sent: their quotient is the overhead.
  package var repairCount = 0
  package var firstCount = 0
  /// Packets the fair queue dropped or marked.
  package var queueDropped = 0
  package var queueMarked = 0
  /// How long packets that came out of order were held, on average and at most.
  package var meanHold = Duration.zero
  package var longestHold = Duration.zero
  /// Bytes in its buffers now and the limit they have.
  package var heldByteCount = 0
  package var heldByteLimit = Int.max

  package init() {}
}

/// One end of what is simulated: a bond, or something simpler to compare it with. The four verbs of a core, IP packets on the inner side
/// and datagrams on the outer. The world calls nothing from inside another call.
package protocol SimulatedEndpoint: AnyObject {
  /// Takes an IP packet that the host sends into the tunnel. There is no back-pressure.
  func offer(_ packet: Span<UInt8>, at now: Instant)
  /// Takes a datagram; its bytes may be changed in place.
  func receive(_ datagram: inout MutableSpan<UInt8>, from origin: DatagramOrigin, at now: Instant)
  /// Writes the next datagram to the start of `buffer`, or returns nil when none is due. Called until nil.
  func nextDatagram(into buffer: inout MutableSpan<UInt8>, at now: Instant) -> OutgoingDatagram?
  /// Hands every IP packet that is ready for the host to `body`, in order.
  func deliver(at now: Instant, _ body: (Span<UInt8>) -> Void)
  var nextDeadline: Instant? { get }
  func advance(to now: Instant)
  /// The system says that a link went down or came back, as netlink does; links that merely lose everything are not announced.
  func linkChanged(_ link: Int, isUp: Bool, at now: Instant)
  var counters: EndpointCounters { get }
}

extension SimulatedEndpoint {
  package func linkChanged(_ link: Int, isUp: Bool, at now: Instant) {}
  package var counters: EndpointCounters { EndpointCounters() }
}

/// Which end: the client has the links, the server one address.
package enum SimulatedSide: Int, CaseIterable, Sendable {
  case client = 0
  case server = 1
  package var other: SimulatedSide { self == .client ? .server : .client }
}
