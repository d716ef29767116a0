internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore

/// A TCP stream until its local connection stands: then a `RawPipe` takes over. What the visitor says meanwhile is kept, bounded by the
/// stream's first window.
final class OriginTCPStream: StreamHandler {
  private let context: OriginContext
  private let id: StreamID
  private let tunnel: LocalTunnel
  private var early: ChunkQueue
  private var isEnded = false
  /// Stream bytes before the raw ones: the `open` record.
  var handledBefore: UInt64 = 0
  private var dialer: OriginDialer?

  init(_ context: OriginContext, _ id: StreamID, _ tunnel: LocalTunnel) {
    self.context = context
    self.id = id
    self.tunnel = tunnel
    early = ChunkQueue(pool: context.pool)
    let dialer = OriginDialer(tunnel: tunnel, context: context) { [weak self] result in self?.dialed(result) }
    self.dialer = dialer
    dialer.start()
  }

  private func dialed(_ result: Result<TCPStream, OriginFailure>) {
    dialer = nil
    switch result {
    case .failure(let failure): context.driver.reset(id, failure.code)
    case .success(let socket):
      let pipe = RawPipe(context.driver, id, socket, pool: context.pool, handledBefore: handledBefore)
      while !early.isEmpty {
        _ = early.consumeFirstRun { run -> (consumed: Int, result: Void) in
          pipe.streamReceived(run)
          return (run.count, ())
        }
      }
      if isEnded { pipe.streamEnded() }
    }
  }

  func streamReceived(_ bytes: Span<UInt8>) { early.append(bytes) }
  func streamEnded() { isEnded = true }
  func streamWritable() {}
  func streamReset(_ code: ResetCode) {
    dialer?.cancel()
    dialer = nil
  }
}
