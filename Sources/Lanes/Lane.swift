public import CausewayBase
public import CausewayLinuxIO

/// Whoever uses a lane's bytes.
public protocol LaneOwner: AnyObject {
  /// Frames' bytes that arrived; returns how many were used. The rest comes again with more behind it.
  func laneReceived(_ bytes: Span<UInt8>) -> Int
  /// Appends what is ready to `out`, about `target` bytes; nothing when there is nothing.
  func laneWantsOutput(into out: ByteBuffer, target: Int)
  /// The connection is over; called once.
  func laneClosed(_ reason: String)
}

/// One connection that carries frames: raw after `Upgrade: causeway/3`, or inside binary WebSocket messages.
///
/// Everything that became ready in a loop turn leaves in one write at its end. Only about 64 KiB are taken from the session at a time and only
/// while the socket is writable (TCP_NOTSENT_LOWAT keeps its queue short), so that who is next is decided late.
public final class Lane: TCPStreamOwner, TurnEndHandler {
  /// What one production asks of the session.
  public static let outputTarget = 128 * 1024
  /// Unsent bytes in the kernel above which the socket counts as full.
  public static let notSentLowWater = 256 * 1024
  /// Bytes read in a turn before others have theirs.
  public static let readBudget = 256 * 1024
  /// Bytes written in a turn before others have theirs.
  public static let writeBudget = 256 * 1024
  /// How long sent bytes may stay unacknowledged.
  public static let userTimeout = Duration.seconds(20)
  private static let readByteCount = 256 * 1024
  /// How long a closing lane waits for the peer to read, and for our last words to leave.
  public static let lingerLimit = Duration.seconds(2)
  /// Bytes kept for an owner that does not take them yet (a login under way), above which nothing is read.
  public static let inputLimit = 256 * 1024

  public let stream: TCPStream
  /// Held until the lane closes.
  public var owner: (any LaneOwner)?
  private let input: ByteBuffer
  private let output = ByteBuffer()
  private let framing: WebSocketFraming?
  private var isFlushScheduled = false
  private var isClosed = false
  private var closesAfterFlush = false
  private var isLingering = false
  private var flushed: (() -> Void)?
  private var linger: LoopTimer?
  private let loop: EventLoop

  /// - Parameters:
  ///   - received: bytes that came behind the upgrade's head.
  ///   - framing: nil for a raw lane.
  public init(_ stream: TCPStream, received: Span<UInt8>, framing: WebSocketFraming?) {
    self.stream = stream
    self.framing = framing
    loop = stream.loop
    input = ByteBuffer()
    input.append(received)
    stream.setNoDelay()
    stream.setNotSentLowWater(Self.notSentLowWater)
    stream.setUserTimeout(Self.userTimeout)
  }

  /// Begins to read and write for `owner`; bytes that are already here are delivered in the next turn. May be called again to hand a
  /// lane on: what the earlier owner has not used goes to the new one.
  public func start(_ owner: any LaneOwner) {
    self.owner = owner
    stream.owner = self
    stream.continueSoon()
  }

  /// Asks for output at the end of this turn.
  public func scheduleFlush() {
    guard !isFlushScheduled, !isClosed else { return }
    isFlushScheduled = true
    loop.atTurnEnd(self)
  }

  /// Writes now what is ready.
  public func flushNow() {
    if !isClosed { flush() }
  }

  /// Takes what the owner has to say once more at the end of this turn, writes it, finishes and closes. What the peer still sends for
  /// `lingerLimit` is dropped, so that a reset does not overtake our last words. A peer that does not take them ends the same way.
  /// - Parameter completion: called once, when the last byte is with the kernel or the lane is closed.
  public func closeAfterFlush(_ completion: @escaping () -> Void = {}) {
    guard !isClosed, !closesAfterFlush else { return completion() }
    closesAfterFlush = true
    flushed = completion
    // The timer holds the lane: nobody else may.
    let timer = LoopTimer(loop) { _ in self.close() }
    timer.set(after: Self.lingerLimit)
    linger = timer
    scheduleFlush()
  }

  private func tellFlushed() {
    let completion = flushed
    flushed = nil
    completion?()
  }

  /// Closes without a word to the owner. With `abruptly` the peer sees a reset.
  public func close(abruptly: Bool = false) {
    guard !isClosed else { return }
    isClosed = true
    linger?.cancel()
    linger = nil
    owner = nil
    if !abruptly { sayClose(WebSocketFraming.normalClosure) }
    if abruptly { stream.abort() } else { stream.close() }
    tellFlushed()
  }

  deinit {
    // The loop holds an open stream; a lane that nobody holds would leave it there for ever.
    stream.close()
  }

  public func streamIsReady(_ stream: TCPStream) {
    if !input.isEmpty || framing?.hasPayload == true { deliver() }
    readAvailable()
    if !isClosed && stream.isWritable { flush() }
  }

  public func turnWillEnd() {
    isFlushScheduled = false
    if !isClosed { flush() }
  }

  private func readAvailable() {
    var budget = Self.readBudget
    while stream.isReadable && !isClosed && input.count < Self.inputLimit {
      if budget <= 0 {
        stream.continueSoon()
        break
      }
      switch stream.read(into: input, atMost: Self.readByteCount) {
      case .bytes(let count):
        budget -= count
        deliver()
      case .wouldBlock: break
      case .end: return fail("the connection was closed by the other side")
      case .failed(let error): return fail(error.message)
      }
    }
  }

  /// Gives buffers back that are empty: called while the lane is quiet, so that a busy one keeps them.
  public func trim() {
    input.trim()
    output.trim()
  }

  private func deliver() {
    let input = self.input
    if let framing {
      do throws(WebSocketFraming.Failure) {
        try framing.receive(input) { bytes in self.owner?.laneReceived(bytes) ?? bytes.count }
      } catch {
        sayClose(WebSocketFraming.protocolError)
        return fail("the other side broke the WebSocket protocol: \(error.reason)")
      }
      if isClosed { return }
      if framing.isClosing {
        sayClose(nil)  // the answer is waiting already
        return fail("the other side closed the WebSocket")
      }
      if framing.hasControlOutput { scheduleFlush() }
      return
    }
    if isLingering { return input.removeAll() }
    while !input.isEmpty, let owner {
      let used = owner.laneReceived(input.bytes)
      if isClosed { return }
      input.consume(used)
      if used == 0 { return }
    }
  }

  /// Gives our close frame, if one is due, to the kernel right before the end: what it does not take is lost.
  private func sayClose(_ code: UInt16?) {
    guard let framing, stream.isOpen else { return }
    framing.sendClose(code)
    framing.produce(into: output) { _ in }
    let output = self.output
    while !output.isEmpty && stream.isWritable {
      guard case .bytes(let count) = stream.write(output.bytes), count > 0 else { return }
      output.consume(count)
    }
  }

  private func flush() {
    var budget = Self.writeBudget
    let output = self.output
    while stream.isWritable && !isClosed {
      if output.isEmpty {
        guard budget > 0 else { return stream.continueSoon() }
        fill()
        if output.isEmpty { break }
      }
      switch stream.write(output.bytes) {
      case .bytes(let count):
        budget -= count
        output.consume(count)
      case .failed(let error): return fail(error.message)
      }
    }
    guard output.isEmpty else { return }
    guard closesAfterFlush && !isLingering && !isClosed else { return }
    if let framing, !framing.hasSentClose {
      framing.sendClose(WebSocketFraming.normalClosure)
      return flush()
    }
    beginLingering()
  }

  private func beginLingering() {
    owner = nil
    isLingering = true
    if framing == nil {
      stream.finishWriting()
    } else {
      linger?.set(after: WebSocketFraming.closeLimit)  // the peer's close frame ends it
    }
    tellFlushed()
  }

  private func fill() {
    if let framing {
      framing.produce(into: output) { buffer in self.owner?.laneWantsOutput(into: buffer, target: Self.outputTarget) }
    } else {
      owner?.laneWantsOutput(into: output, target: Self.outputTarget)
    }
  }

  private func fail(_ reason: String) {
    guard !isClosed else { return }
    isClosed = true
    linger?.cancel()
    linger = nil
    let owner = self.owner
    self.owner = nil
    stream.close()
    tellFlushed()
    owner?.laneClosed(reason)
  }
}
