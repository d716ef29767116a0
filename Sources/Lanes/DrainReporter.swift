public import CausewayBase
public import CausewayLinuxIO
public import CausewayTunnelCore

/// Tells a session how much of one stream has really left this machine: what the socket's peer has acknowledged, not what the kernel's
/// buffer swallowed. Where nobody else would call again, it polls.
///
/// Make one when a stream has brought `threshold` bytes, and drop it with the stream: short answers never need one.
public final class DrainReporter {
  /// The first poll comes so soon; each one without progress doubles the wait, up to `slowestPoll`.
  public static let firstPoll = Duration.milliseconds(2)
  public static let slowestPoll = Duration.milliseconds(250)
  /// While a poll is due anyway, the kernel is not asked again for fewer new bytes than this.
  private static let stride: UInt64 = 32 * 1024

  private let driver: SessionDriver
  private let id: StreamID
  private let socket: TCPStream
  private var timer: LoopTimer?
  private var delay = DrainReporter.firstPoll
  private var handled: UInt64 = 0
  private var pending = 0
  private var lastLooked: UInt64 = 0
  private var lastDrained: UInt64 = 0

  public init(_ driver: SessionDriver, _ id: StreamID, _ socket: TCPStream) {
    self.driver = driver
    self.id = id
    self.socket = socket
  }

  /// Stream bytes below which a session wants no report: half its initial window.
  public static func threshold(_ driver: SessionDriver) -> UInt64 { UInt64(driver.session.limits.initialWindow / 2) }

  /// - Parameters:
  ///   - handled: stream bytes received so far, records' headers included.
  ///   - pending: bytes for the socket that the kernel has not taken yet.
  public func note(handled: UInt64, pending: Int) {
    let drainedAll = pending == 0 && self.pending > 0
    self.handled = handled
    self.pending = pending
    if timer?.deadline != nil, !drainedAll, handled &- lastLooked < Self.stride { return }
    look()
  }

  private func look() {
    guard driver.wantsDrainReport(id) else { return stop() }
    lastLooked = handled
    let unacknowledged = socket.unacknowledgedByteCount
    // Bytes toward the socket are counted for stream bytes one to one; a chunked body's extra bytes err on the careful side.
    let behind = UInt64(pending + unacknowledged)
    let drained = handled > behind ? handled - behind : 0
    if drained > lastDrained {
      lastDrained = drained
      delay = Self.firstPoll
      driver.drained(id, upTo: drained, pathRoundTrip: socket.smoothedRTTNanoseconds)
    }
    if behind > 0 && driver.wantsDrainReport(id) { poll() } else { stop() }
  }

  private func poll() {
    if timer == nil { timer = LoopTimer(driver.loop) { [weak self] _ in self?.pollDue() } }
    timer?.set(after: delay)
  }

  private func pollDue() {
    delay = min(delay * 2, Self.slowestPoll)
    look()
  }

  private func stop() {
    delay = Self.firstPoll
    timer?.cancel()
  }
}
