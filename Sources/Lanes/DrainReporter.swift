internal import CausewayBase
public import CausewayLinuxIO
public import CausewayTunnelCore

/// Tells a session how much of one stream has been passed on to a socket, and how much of that its peer's TCP has acknowledged.
///
/// The kernel is asked (one `ioctl`) only when the stream's window wants a report, about every half window.
public struct DrainReporter {
  /// Unsent bytes that a socket behind a stream may hold (TCP_NOTSENT_LOWAT): what a slow reader makes the kernel keep for it.
  public static let notSentLowWater = 256 * 1024

  private var roundTrip: (nanoseconds: UInt64, until: Instant) = (0, .zero)

  public init() {}

  /// Call it after bytes of stream `id` were taken or written on.
  /// - Parameters:
  ///   - handled: stream bytes taken so far.
  ///   - pending: those of them that wait in user space.
  ///   - socket: where they go; nil before it is connected.
  public mutating func note(_ id: StreamID, handled: UInt64, pending: Int, socket: TCPStream?, to driver: SessionDriver) {
    guard driver.wantsDrainReport(id) else { return }
    let consumed = handled - min(handled, UInt64(pending))
    let unacknowledged = UInt64(socket?.unacknowledgedByteCount ?? 0)
    let now = driver.loop.now
    // It changes slowly, and the question costs.
    if let socket, now >= roundTrip.until { roundTrip = (socket.minimumRTTNanoseconds, now + .milliseconds(100)) }
    driver.drained(id, upTo: consumed, acknowledged: consumed - min(consumed, unacknowledged), pathRoundTrip: roundTrip.nanoseconds)
  }
}
