package import CausewayBase

/// No bond at all: each packet goes out as it is, by turns over the links that are named. Over one link this is the bare link; over
/// several it is what a tunnel without order and repair does.
package final class NaiveEndpoint: SimulatedEndpoint {
  private let side: SimulatedSide
  private let links: [Int]
  private var remotes: [SimulatedAddress]
  private var turn = 0
  private let outgoing = PacketFIFO()
  private let incoming = PacketFIFO()

  package init(_ side: SimulatedSide, links: [Int]) {
    self.side = side
    self.links = links
    remotes = links.map { side == .client ? .server : .client(link: $0) }
  }

  package func offer(_ packet: Span<UInt8>, at now: Instant) { outgoing.append(packet) }

  package func receive(_ datagram: inout MutableSpan<UInt8>, from origin: DatagramOrigin, at now: Instant) {
    if side == .server, let position = links.firstIndex(of: origin.link) { remotes[position] = origin.remote }
    guard let congestionBits = Self.bitsIfIntact(datagram.span) else { return }
    if origin.congestionBits == 3 && congestionBits != 0 { InnerHeader.markCongestion(&datagram) }
    incoming.append(datagram.span)
  }

  private static func bitsIfIntact(_ packet: Span<UInt8>) -> UInt8? {
    guard let header = InnerHeader(packet), header.isIntact(packet) else { return nil }
    return header.congestionBits
  }

  package func nextDatagram(into buffer: inout MutableSpan<UInt8>, at now: Instant) -> OutgoingDatagram? {
    guard let count = outgoing.take(into: &buffer) else { return nil }
    defer { turn = (turn + 1) % links.count }
    // The bits of the inner header, as RFC 6040 copies them.
    return OutgoingDatagram(byteCount: count, link: links[turn], remote: remotes[turn], congestionBits: buffer[1] & 3)
  }

  package func deliver(at now: Instant, _ body: (Span<UInt8>) -> Void) { incoming.drain(body) }

  package var nextDeadline: Instant? { nil }
  package func advance(to now: Instant) {}
}
