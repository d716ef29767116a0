internal import CausewayBase
public import CausewayLinuxIO

/// Kept connections to one local service, last in first out: the warmest serves next, the rest age out.
public final class OriginPool: TCPStreamOwner {
  /// Idle connections kept for one target.
  public static let idleLimit = 512
  /// Shorter than any common server's own limit (Node 5 s, nginx 75 s), so that we close first.
  public static let idleTime = Duration.seconds(4)

  private var idle: [(stream: TCPStream, since: Instant)] = []
  private var timer: LoopTimer?

  public init() {}

  var count: Int { idle.count }

  func take() -> TCPStream? {
    while let (stream, _) = idle.popLast() {
      // Readable while idle means closed, or bytes that nobody asked for: either way it is of no use.
      if stream.isOpen && !stream.isReadable { return stream }
      stream.close()
    }
    return nil
  }

  func put(_ stream: TCPStream) {
    // A read that asked for just the rest of an answer has not seen that nothing follows: one more look is cheaper than a connection.
    if stream.isReadable && !Self.isSilent(stream) { return stream.close() }
    guard stream.isOpen, !stream.isReadable, idle.count < Self.idleLimit else { return stream.close() }
    stream.owner = self
    idle.append((stream, stream.loop.now))
    if timer == nil { timer = LoopTimer(stream.loop) { [unowned self] now in self.expire(now) } }
    if idle.count == 1 { timer?.set(at: stream.loop.now + Self.idleTime) }
  }

  /// Whether there is nothing to read, not even an end.
  private static func isSilent(_ stream: TCPStream) -> Bool {
    var byte: UInt8 = 0
    // SAFETY: one byte of this frame, for the length of the call.
    return unsafe withUnsafeMutableBytes(of: &byte) { unsafe stream.read(into: $0) } == .wouldBlock
  }

  public func streamIsReady(_ stream: TCPStream) {
    guard stream.isReadable else { return }
    stream.close()
    idle.removeAll { $0.stream === stream }
  }

  private func expire(_ now: Instant) {
    let cut = idle.firstIndex { $0.since + Self.idleTime > now } ?? idle.count
    for entry in idle[..<cut] { entry.stream.close() }
    idle.removeSubrange(..<cut)
    if let oldest = idle.first { timer?.set(at: oldest.since + Self.idleTime) }
  }

  public func closeAll() {
    for entry in idle { entry.stream.close() }
    idle.removeAll()
  }
}
