public import CausewayBase
public import CausewayPaths

/// A way out of this machine: which of the shell's sockets, the far address, and for a socket without an address of its own the local
/// address that the peer knows. A plain value; the core compares it and never looks inside.
public struct Route: Hashable, Sendable, BitwiseCopyable {
  /// The shell's number of a UDP socket or of a TCP connection.
  public var socket: UInt32
  /// The interface that a datagram came in by, for the answer; 0: routing decides.
  public var interface: UInt32 = 0
  public var remote: DatagramAddress
  /// Port 0; unspecified: the socket or the kernel knows.
  public var local = DatagramAddress.unspecified
  public var isStream: Bool

  public init(socket: UInt32, remote: DatagramAddress, isStream: Bool = false) {
    self.socket = socket
    self.remote = remote
    self.isStream = isStream
  }

  /// IP and UDP headers in front of a datagram; on a TCP connection what a segment and our length take at least.
  @inlinable public var overheadByteCount: Int { (remote.family == .ipv6 ? 40 : 20) + (isStream ? 22 : 8) }

  /// Whether an answer reaches the same peer address through the same socket.
  @inlinable public func hasSameFarEnd(as other: Route) -> Bool { socket == other.socket && remote == other.remote }
}

/// Datagrams for one route, one behind the other in the buffer that was given: all of `segmentByteCount` bytes, the last may be shorter.
public struct OutgoingRun: BitwiseCopyable, Sendable {
  public var route: Route
  /// Whose path it is for, when the send fails; nil for answers to strangers.
  public var peer: PeerID?
  public var path = PathID.handshake
  public var byteCount: Int
  public var segmentByteCount: Int
  public var datagramCount: Int
  /// DSCP and ECN of the outer header.
  public var trafficClass: UInt8 = 0
  /// Set DF: towards our own peers; off towards stock ones.
  public var dontFragment = true

  init(route: Route, byteCount: Int, segmentByteCount: Int, datagramCount: Int) {
    self.route = route
    self.byteCount = byteCount
    self.segmentByteCount = segmentByteCount
    self.datagramCount = datagramCount
  }
}

/// A packet for the TUN device: in the receive buffer that was just fed, or in a slot that goes back with `releaseDeliveries`.
@unsafe public struct Delivery: BitwiseCopyable {
  public var start: UnsafeMutablePointer<UInt8>
  public var count: Int
  public var isChecksumPartial: Bool
  /// `none`: the packet lies in the receive buffer.
  public var slot: PacketSlot
}
