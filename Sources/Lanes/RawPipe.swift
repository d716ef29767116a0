public import CausewayBase
public import CausewayLinuxIO
public import CausewayTunnelCore

/// Who wants to know when a pipe is over.
public protocol RawPipeOwner: AnyObject {
  func pipeEnded(_ pipe: RawPipe)
}

/// Raw bytes between a socket and a stream, both ways, each direction with its own end: TCP tunnels, and WebSockets after their 101.
///
/// While nothing is under way it holds no buffer: a parked WebSocket is this object, a descriptor and a stream's state.
public final class RawPipe: StreamHandler, TCPStreamOwner {
  /// Bytes read from the socket in a turn before others have theirs.
  public static let readBudget = 256 * 1024

  private let driver: SessionDriver
  public let id: StreamID
  public let socket: TCPStream
  private weak var owner: (any RawPipeOwner)?
  private let brokenCode: ResetCode
  private var pending: ChunkQueue
  private var drain = DrainReporter()
  /// Stream bytes taken so far, records before the pipe included.
  private var handled: UInt64
  private var streamIsOver = false
  private var socketIsOver = false
  private var isFinished = false
  /// Bytes that went each way.
  public private(set) var bytesToSocket: UInt64 = 0
  public private(set) var bytesFromSocket: UInt64 = 0

  /// Takes over `socket` and the handling of stream `id`. Reading begins in the next turn.
  /// - Parameters:
  ///   - handledBefore: bytes of the stream that somebody else has taken before the pipe (its records).
  ///   - brokenCode: what the other side is told when the socket breaks.
  public init(
    _ driver: SessionDriver, _ id: StreamID, _ socket: TCPStream, pool: ChunkPool, owner: (any RawPipeOwner)? = nil,
    handledBefore: UInt64 = 0,
    brokenCode: ResetCode = .originAborted
  ) {
    self.brokenCode = brokenCode
    self.driver = driver
    self.id = id
    self.socket = socket
    self.owner = owner
    pending = ChunkQueue(pool: pool)
    handled = handledBefore
    socket.setNotSentLowWater(DrainReporter.notSentLowWater)
    socket.owner = self
    driver.setHandler(id, self)
    socket.continueSoon()
  }

  // MARK: Stream to socket

  public func streamReceived(_ bytes: Span<UInt8>) {
    guard !isFinished else { return }
    bytesToSocket += UInt64(bytes.count)
    handled += UInt64(bytes.count)
    var written = 0
    if pending.isEmpty && socket.isWritable {
      switch socket.write(bytes) {
      case .bytes(let count): written = count
      case .failed: return breakOff()
      }
    }
    if written < bytes.count { pending.append(bytes.extracting(written..<bytes.count)) }
    reportDrain()
  }

  public func streamReceived(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> Bool {
    guard !isFinished else { return true }
    let total = pieces.reduce(0) { $0 + $1.count }
    bytesToSocket += UInt64(total)
    handled += UInt64(total)
    var written = 0
    if pending.isEmpty && socket.isWritable {
      switch socket.write(bytes, pieces: pieces) {
      case .bytes(let count): written = count
      case .failed:
        breakOff()
        return true
      }
    }
    if written < total { pending.append(bytes, pieces: pieces, skipping: written) }
    reportDrain()
    return true
  }

  public func streamEnded() {
    guard !isFinished else { return }
    streamIsOver = true
    passOnEnd()
  }

  public func streamReset(_ code: ResetCode) {
    guard !isFinished else { return }
    socket.abort()
    finish()
  }

  public func streamWritable() {
    if !isFinished { readAvailable() }
  }

  private func passOnEnd() {
    guard streamIsOver, pending.isEmpty else { return }
    if socketIsOver {
      driver.release(id)
      socket.close()
      finish()
    } else {
      socket.finishWriting()
    }
  }

  private func reportDrain() {
    if !streamIsOver { drain.note(id, handled: handled, pending: pending.count, socket: socket, to: driver) }
  }

  // MARK: Socket to stream

  public func streamIsReady(_ stream: TCPStream) {
    guard !isFinished else { return }
    if !pending.isEmpty && socket.isWritable { flush() }
    if isFinished { return }
    // A reset behind its end: no read will find it, and we may have nothing to write for long.
    if socketIsOver && socket.hasFailed { return breakOff() }
    readAvailable()
  }

  private func flush() {
    while !pending.isEmpty && socket.isWritable {
      let outcome = pending.consumeFirstRun { run -> (consumed: Int, result: WriteOutcome) in
        let outcome = socket.write(run)
        if case .bytes(let count) = outcome { return (count, outcome) }
        return (0, outcome)
      }
      if case .failed? = outcome { return breakOff() }
    }
    reportDrain()
    passOnEnd()
  }

  private func readAvailable() {
    var budget = Self.readBudget
    while socket.isReadable && !socketIsOver && !isFinished {
      if budget <= 0 { return socket.continueSoon() }
      let capacity = driver.sendCapacity(id)
      if capacity == 0 { return }
      switch driver.sendFrom(socket, id, atMost: capacity, asRecord: false) {
      case .bytes(let count):
        budget -= count
        bytesFromSocket += UInt64(count)
      case .wouldBlock: return
      case .end:
        socketIsOver = true
        driver.finish(id)
        if streamIsOver && pending.isEmpty {
          driver.release(id)
          socket.close()
          finish()
        }
      case .failed: breakOff()
      }
    }
  }

  /// The socket is broken: the other side must see a reset, not an end.
  private func breakOff() {
    guard !isFinished else { return }
    driver.reset(id, brokenCode)
    socket.close()
    finish()
  }

  private func finish() {
    isFinished = true
    pending.removeAll()
    owner?.pipeEnded(self)
  }
}
