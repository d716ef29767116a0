internal import CausewayBase
public import CausewayLinuxIO
public import CausewayTunnelCore

/// Tells a session how much of one stream has really left this machine: written to the socket *and* acknowledged by its peer's TCP.
///
/// It looks at the socket (one `ioctl`) only when the stream's window asks for it, and by a timer while the kernel's queue is what holds
/// the window back: nothing else would tell when that queue drains.
public final class DrainReporter {
  /// The timer's first and longest wait.
  public static let firstPoll = Duration.milliseconds(2)
  public static let longestPoll = Duration.milliseconds(250)

  private let driver: SessionDriver
  private var id: StreamID = 0
  private var handled: UInt64 = 0
  private var pending = 0
  private var socket: TCPStream?
  private var timer: LoopTimer?
  private var wait = DrainReporter.firstPoll
  private var lastReported: UInt64 = 0
  private var roundTrip: (nanoseconds: UInt64, until: Instant) = (0, .zero)

  public init(driver: SessionDriver) { self.driver = driver }

  /// Begins anew for another stream.
  public func begin(_ id: StreamID) {
    self.id = id
    handled = 0
    pending = 0
    socket = nil
    lastReported = 0
    roundTrip = (0, .zero)
    wait = Self.firstPoll
    timer?.cancel()
  }

  /// Call it after stream bytes were taken or written on.
  /// - Parameters:
  ///   - handled: stream bytes received so far.
  ///   - pending: those of them that wait in user space.
  ///   - socket: where they go; nil before it is connected.
  public func note(handled: UInt64, pending: Int, socket: TCPStream?) {
    guard driver.wantsDrainReport(id) else { return }
    self.handled = handled
    self.pending = pending
    self.socket = socket
    report()
  }

  private func report() {
    let queued = pending + (socket?.unacknowledgedByteCount ?? 0)
    let drained = handled > UInt64(queued) ? handled - UInt64(queued) : 0
    if drained > lastReported {
      lastReported = drained
      wait = Self.firstPoll
      driver.drained(id, upTo: drained, pathRoundTrip: pathRoundTrip())
    }
    guard socket != nil, driver.wantsDrainReport(id) else { return }
    if timer == nil { timer = LoopTimer(driver.loop) { [weak self] _ in self?.poll() } }
    timer?.set(after: wait)
    wait = min(wait * 2, Self.longestPoll)
  }

  /// Asked of the kernel at most every 100 ms: it changes slowly, and the question costs.
  private func pathRoundTrip() -> UInt64 {
    if driver.loop.now >= roundTrip.until { roundTrip = (socket?.smoothedRTTNanoseconds ?? 0, driver.loop.now + .milliseconds(100)) }
    return roundTrip.nanoseconds
  }

  private func poll() {
    guard let socket, socket.isOpen, driver.wantsDrainReport(id) else { return }
    report()
  }

  /// The stream is over.
  public func end() {
    timer?.cancel()
    socket = nil
  }
}
