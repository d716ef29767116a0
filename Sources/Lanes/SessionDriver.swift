public import CausewayBase
public import CausewayLinuxIO
public import CausewayTunnelCore

/// Joins a `Session` to the loop: feeds it from its present lane, hands its events to the handlers of its streams, flushes at the end of
/// each turn in which something was queued, and keeps its timer.
public final class SessionDriver: LaneOwner {
  public let loop: EventLoop
  public let session: Session
  public weak var owner: (any SessionDriverOwner)?
  public private(set) var lane: Lane?
  private var handlers: [StreamID: any StreamHandler] = [:]
  private var events: [SessionEvent] = []
  private var pieces: [Range<Int>] = []
  private var timer: LoopTimer?

  /// - Parameter budget: shared by the loop's sessions; nil for none.
  public init(role: SessionRole, limits: SessionLimits = SessionLimits(), budget: WindowBudget? = nil, pool: ChunkPool, loop: EventLoop) {
    self.loop = loop
    session = Session(role: role, limits: limits, budget: budget, pool: pool, at: loop.now)
    timer = LoopTimer(loop) { [unowned self] now in self.timerFired(now) }
  }

  public var isAttached: Bool { lane != nil }
  /// Streams that somebody handles: for tests, which watch that none is left.
  package var handlerCount: Int { handlers.count }

  // MARK: Lanes

  /// The session travels on `lane` from now on; an older one is fenced: closed, and nothing of it is heard any more.
  /// - Parameter start: false when the lane's bytes are already flowing to this driver.
  public func attach(_ lane: Lane, resumed: Bool) {
    self.lane?.close(abruptly: true)
    self.lane = lane
    session.attach(resumed: resumed, at: loop.now)
    lane.start(self)
    lane.scheduleFlush()
    rearm()
  }

  /// Gives the lane up (a dead peer, a shutdown). Streams stay for a resume.
  public func detach(abruptly: Bool = true) {
    lane?.close(abruptly: abruptly)
    lane = nil
    session.detach()
    timer?.cancel()
  }

  /// The same, after what is queued (a last word) has been written. `completion` runs when it has, or can't be.
  public func detachAfterFlush(_ completion: @escaping () -> Void = {}) {
    guard let lane else { return completion() }
    lane.closeAfterFlush(completion)
    lane.flushNow()
    // What the lane has not taken by now stays here: another lane may carry it.
    lane.owner = nil
    self.lane = nil
    session.detach()
    timer?.cancel()
  }

  /// Ends every stream; their handlers hear a reset.
  public func endAllStreams(_ code: ResetCode) {
    var ended: [SessionEvent] = []
    session.endAllStreams(code, into: &ended)
    for event in ended {
      if case .reset(let id, let code) = event { handlers.removeValue(forKey: id)?.streamReset(code) }
    }
  }

  public func laneReceived(_ bytes: Span<UInt8>) -> Int {
    let used: Int
    var batch = events
    events = []
    batch.removeAll(keepingCapacity: true)
    do throws(SessionError) {
      used = try session.receive(bytes, at: loop.now, into: &batch)
    } catch {
      // What came before the fault counts as received, so it must be delivered: the session may go on over another lane.
      dispatch(batch, bytes)
      lose("the other side broke the protocol: \(error)")
      return bytes.count
    }
    dispatch(batch, bytes)
    events = batch
    if lane != nil && session.hasOutput(at: loop.now) { lane?.scheduleFlush() }
    rearm()
    return used
  }

  /// Hands events on; data of one stream in a row as one call.
  private func dispatch(_ batch: [SessionEvent], _ bytes: Span<UInt8>) {
    var index = 0
    while index < batch.count {
      guard case .data(let id, let range) = batch[index], index + 1 < batch.count, case .data(id, _) = batch[index + 1] else {
        dispatch(batch[index], bytes)
        index += 1
        continue
      }
      var run = pieces
      pieces = []
      run.removeAll(keepingCapacity: true)
      run.append(range)
      index += 1
      while index < batch.count, run.count < TCPStream.pieceLimit, case .data(id, let next) = batch[index] {
        run.append(next)
        index += 1
      }
      if handlers[id]?.streamReceived(bytes, pieces: run) != true {
        // One by one: the first may put another handler in place.
        for piece in run { dispatch(.data(id, piece), bytes) }
      }
      pieces = run
    }
  }

  private func dispatch(_ event: SessionEvent, _ bytes: Span<UInt8>) {
    switch event {
    case .data(let id, let range):
      guard let handler = handlers[id] else { return discard(id) }
      handler.streamReceived(bytes.extracting(range))
    case .end(let id): handlers[id]?.streamEnded()
    case .writable(let id): handlers[id]?.streamWritable()
    case .reset(let id, let code): handlers.removeValue(forKey: id)?.streamReset(code)
    case .opened(let id): handlers[id] = owner?.sessionOpened(id)
    case .control(let range): owner?.sessionReceivedControl(bytes.extracting(range))
    case .synchronized: owner?.sessionSynchronized()
    }
  }

  /// Nobody wants these bytes any more: the window stays open for them until the peer hears so, or ends the stream.
  private func discard(_ id: StreamID) {
    guard session.wantsDrainReport(id) else { return }
    session.drained(id, upTo: session.receivedByteCount(id), pathRoundTrip: 0, at: loop.now)
  }

  public func laneWantsOutput(into out: ByteBuffer, target: Int) {
    session.produce(into: out, upTo: out.count + target, at: loop.now)
    session.takeWritable { id in handlers[id]?.streamWritable() }
    rearm()
  }

  public func laneClosed(_ reason: String) {
    lane = nil
    session.detach()
    timer?.cancel()
    owner?.sessionLostLane(reason)
  }

  private func lose(_ reason: String) {
    guard lane != nil else { return }
    detach()
    owner?.sessionLostLane(reason)
  }

  private func timerFired(_ now: Instant) {
    guard lane != nil else { return }
    guard session.advance(to: now) else { return lose("nothing was heard for \(Int(session.limits.deadAfterSilence.inSeconds)) s") }
    if session.hasOutput(at: now) { lane?.scheduleFlush() }
    if now.nanoseconds(since: session.lastReceived) > Self.quietNanoseconds { lane?.trim() }
    rearm()
  }

  /// A lane without a byte for so long gives its buffers back.
  private static let quietNanoseconds: UInt64 = 1_000_000_000

  private func rearm() {
    guard let deadline = session.nextDeadline else { return }
    timer?.set(at: deadline)
  }

  /// Asks the peer for a sign of life and tells after `limit` whether any byte came.
  public func probe(limit: Duration, _ completion: @escaping (_ isAlive: Bool) -> Void) {
    guard lane != nil else { return completion(false) }
    let start = loop.now
    session.requestPing()
    lane?.scheduleFlush()
    let step = limit.wholeNanoseconds / 20
    var probe: LoopTimer?
    probe = LoopTimer(loop) { [weak self] now in
      // The timer keeps itself alive until it has told.
      guard let timer = probe else { return }
      let isAlive = self.map { $0.lane != nil && $0.session.lastReceived > start } ?? false
      if !isAlive, let self, self.lane != nil, now < start + limit { return timer.set(at: now + .nanoseconds(step)) }
      probe = nil
      completion(isAlive)
    }
    probe?.set(at: start + .nanoseconds(step))
  }

  // MARK: Streams

  /// Opens a stream with its head (relay only); nil when the session is full.
  public func open(_ head: Span<UInt8>, _ handler: any StreamHandler) -> StreamID? {
    guard let id = session.open(head, at: loop.now) else { return nil }
    handlers[id] = handler
    lane?.scheduleFlush()
    return id
  }

  /// Another object handles the stream from now on (a WebSocket after its 101).
  public func setHandler(_ id: StreamID, _ handler: any StreamHandler) {
    if session.isOpen(id) { handlers[id] = handler }
  }

  /// The handler wants to hear no more of this stream (it has all it needs); the session still finishes it.
  public func release(_ id: StreamID) { handlers[id] = nil }

  public func sendCapacity(_ id: StreamID) -> Int { session.sendCapacity(id) }

  public func send(_ id: StreamID, _ bytes: Span<UInt8>) {
    session.append(id, bytes, at: loop.now)
    lane?.scheduleFlush()
  }

  /// Reads from `source` straight into the stream, at most `maximum` bytes; with `asRecord` a data record's header goes before them.
  public func sendFrom(_ source: TCPStream, _ id: StreamID, atMost maximum: Int, asRecord: Bool) -> ReadOutcome {
    let headerByteCount = asRecord ? Record.headerByteCount : 0
    let outcome = unsafe session.appendDirectly(id, atMost: maximum + headerByteCount, at: loop.now) {
      space -> (written: Int, result: ReadOutcome) in
      guard space.count > headerByteCount else { return (0, .bytes(0)) }
      let outcome = unsafe source.read(into: UnsafeMutableRawBufferPointer(rebasing: space.dropFirst(headerByteCount)))
      guard case .bytes(let count) = outcome else { return (0, outcome) }
      if asRecord { unsafe Record.writeHeader(.data, payloadByteCount: count, to: space) }
      return (headerByteCount + count, outcome)
    }
    lane?.scheduleFlush()
    return outcome ?? .wouldBlock
  }

  public func finish(_ id: StreamID) {
    session.finish(id, at: loop.now)
    lane?.scheduleFlush()
  }

  public func reset(_ id: StreamID, _ code: ResetCode) {
    handlers[id] = nil
    session.reset(id, code)
    lane?.scheduleFlush()
  }

  public func wantsDrainReport(_ id: StreamID) -> Bool { session.wantsDrainReport(id) }

  /// See `Session.drained`.
  public func drained(_ id: StreamID, upTo offset: UInt64, acknowledged: UInt64, pathRoundTrip: UInt64) {
    session.drained(id, upTo: offset, acknowledged: acknowledged, pathRoundTrip: pathRoundTrip, at: loop.now)
    if session.hasOutput(at: loop.now) { lane?.scheduleFlush() }
  }

  public func sendControl(_ message: Span<UInt8>) {
    session.sendControl(message)
    lane?.scheduleFlush()
  }
}
