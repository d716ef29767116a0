public import CausewayBase

/// What the shell must do or know after `Session.receive`, in order.
public enum SessionEvent: Equatable, Sendable {
  /// The relay opened a stream (client side only). Its first bytes follow.
  case opened(StreamID)
  /// Stream bytes: a range of the span given to `receive`.
  case data(StreamID, Range<Int>)
  /// The peer finished its direction, in order.
  case end(StreamID)
  /// The stream is dead and forgotten.
  case reset(StreamID, ResetCode)
  /// `sendCapacity` is above zero again.
  case writable(StreamID)
  /// A control message: a range of the span given to `receive`.
  case control(Range<Int>)
  /// The peer told all its streams: replay has begun.
  case synchronized
}

/// Which side this is. Only the relay opens streams.
public enum SessionRole: Sendable { case relay, client }

/// Streams over a connection that may be replaced under them.
///
/// The shell feeds received bytes to `receive`, hands out what `produce` appends, and calls `advance` when `nextDeadline` is due. A session
/// outlives its connection: after `detach` it keeps what the peer has not acknowledged; `attach` on a new, proven connection makes both
/// sides tell what they have, and every stream goes on at the right byte. Not for use by more than one thread.
public final class Session {
  public let role: SessionRole
  public let limits: SessionLimits
  let pool: ChunkPool
  var streams: [StreamID: StreamState] = [:]
  /// The highest stream ever opened by the relay, as this side knows it.
  var highestStream: StreamID = 0
  var scheduler: StreamScheduler
  /// Streams whose progress is to be acknowledged; a finished one stays here until that is done.
  var dirty: [StreamState] = []
  var acknowledgementDeadline: Instant?
  var acknowledgeNow = false
  var pendingResets: [(StreamID, ResetCode)] = []
  var pendingPongs: [UInt64] = []
  let pendingControl = ByteBuffer()
  /// Streams whose producer may go on, collected for the next `takeWritable`.
  var writable: [StreamID] = []
  private var writableSpare: [StreamID] = []
  private(set) var windowGrowth = 0
  let budget: WindowBudget?
  var receiver = ReceiverState()
  public internal(set) var isAttached = false
  var mustSynchronize = false
  var awaitsPeerSynchronization = false
  /// Our streams that the peer named.
  var synchronizedStreams: Set<StreamID> = []
  /// When a peer that stopped synchronizing is given up.
  var synchronizationDeadline = Instant.distantFuture
  var heartbeat: Heartbeat
  var counters = SessionCounters()
  let acknowledgementDelay: UInt64

  /// What `receive` remembers between calls.
  struct ReceiverState {
    /// Whose data frame has only partly arrived; nil: a dead stream's, its bytes are dropped.
    var stream: StreamState?
    var remaining = 0
    var endsStream = false
  }

  /// - Parameter budget: shared with other sessions of the thread; nil for none.
  public init(role: SessionRole, limits: SessionLimits = SessionLimits(), budget: WindowBudget? = nil, pool: ChunkPool, at now: Instant) {
    self.role = role
    self.budget = budget
    self.limits = limits
    self.pool = pool
    scheduler = StreamScheduler(limits: limits)
    heartbeat = Heartbeat(limits: limits, at: now)
    acknowledgementDelay = UInt64(clamping: limits.acknowledgementDelay.wholeNanoseconds)
  }

  deinit {
    budget?.grow(by: -windowGrowth)
    for _ in streams { budget?.giveStreamBack() }
  }

  public var streamCount: Int { streams.count }
  public var openStreams: [StreamID] { Array(streams.keys) }
  public func isOpen(_ id: StreamID) -> Bool { streams[id] != nil }
  public var roundTripNanoseconds: UInt64 { heartbeat.lastRoundTrip }
  public var minimumRoundTripNanoseconds: UInt64 { heartbeat.minimumRoundTrip }
  public var statistics: SessionCounters { counters }
  /// Bytes held for replay, over all streams. Costs a walk.
  public var unacknowledgedByteCount: Int { streams.values.reduce(0) { $0 + $1.queue.count } }

  // MARK: The connection

  /// When the present connection last brought a byte.
  public var lastReceived: Instant { heartbeat.lastReceived }

  /// Sends a ping at the next chance: to find out soon whether the peer is still there.
  public func requestPing() { heartbeat.requestPing() }

  /// A new connection carries the session from now on. `resumed` is false for the first one.
  public func attach(resumed: Bool, at now: Instant) {
    isAttached = true
    heartbeat = Heartbeat(limits: limits, at: now)
    receiver = ReceiverState()
    mustSynchronize = resumed
    awaitsPeerSynchronization = resumed
    synchronizedStreams.removeAll()
    synchronizationDeadline = resumed ? now + limits.deadAfterSilence : .distantFuture
    if resumed {
      scheduler.removeAll()
      // What was on its way is told by `synchronize` or lost with the connection.
      pendingResets.removeAll()
      pendingPongs.removeAll()
      pendingControl.removeAll()
      for stream in dirty { stream.isDirty = false }
      dirty.removeAll()
      acknowledgementDeadline = nil
      acknowledgeNow = false
    }
  }

  /// The connection is gone. Streams stay; nothing is produced until `attach`.
  public func detach() {
    isAttached = false
    awaitsPeerSynchronization = false
    synchronizationDeadline = .distantFuture
    receiver = ReceiverState()
  }

  /// Forgets every stream; each is reported.
  public func endAllStreams(_ code: ResetCode, into events: inout [SessionEvent]) {
    for id in streams.keys.sorted() {
      forget(streams[id]!)
      events.append(.reset(id, code))
    }
    scheduler.removeAll()
    for stream in dirty { stream.isDirty = false }
    dirty.removeAll()
    pendingResets.removeAll()
    writable.removeAll()
    acknowledgementDeadline = nil
    acknowledgeNow = false
  }

  // MARK: Streams, sending

  /// Opens a stream with its first bytes (a head record). Relay only. Nil when `maximumStreams` are open, or the budget's.
  public func open(_ first: Span<UInt8>, at now: Instant) -> StreamID? {
    precondition(role == .relay && !first.isEmpty, "only the relay opens streams, and with their first bytes")
    guard streams.count < limits.maximumStreams, highestStream < .max, budget?.takeStream() ?? true else { return nil }
    highestStream += 1
    let stream = StreamState(id: highestStream, pool: pool, limits: limits)
    streams[highestStream] = stream
    stream.queue.append(first)
    wake(stream, at: now)
    return highestStream
  }

  /// Less room than this is not offered: a system call and a record for a few bytes cost more than a short wait. Below half of the
  /// initial window, so that credit always comes.
  static let worthwhileCapacity = 4096

  /// Bytes that `append` should be given at most now: credit not used up, and a bounded backlog. Zero: wait for `.writable`.
  public func sendCapacity(_ id: StreamID) -> Int {
    guard let stream = streams[id], !stream.isFinished else { return 0 }
    let capacity = capacity(of: stream)
    if capacity == 0 { stream.wantsWritable = true }
    return capacity
  }

  func capacity(of stream: StreamState) -> Int {
    let byCredit = stream.credit > stream.queue.endOffset ? Int(clamping: stream.credit - stream.queue.endOffset) : 0
    let capacity = min(byCredit, limits.sendBacklog - stream.unsentByteCount)
    return capacity < min(Self.worthwhileCapacity, limits.initialWindow / 4) ? 0 : capacity
  }

  /// Queues bytes. Heads and trailers may exceed `sendCapacity`; bodies must not.
  public func append(_ id: StreamID, _ bytes: Span<UInt8>, at now: Instant) {
    guard let stream = streams[id], !stream.isFinished else { return }
    stream.queue.append(bytes)
    wake(stream, at: now)
  }

  /// Lets `body` read from a socket straight into the stream's queue, behind a record header that it fills in itself. It gets at least
  /// `minimum` (at most `ChunkPool.largeByteCount`) and at most `maximum` bytes.
  public func appendDirectly<R>(
    _ id: StreamID, atLeast minimum: Int = 1, atMost maximum: Int, at now: Instant,
    _ body: (UnsafeMutableRawBufferPointer) -> (written: Int, result: R)
  ) -> R? {
    guard maximum > 0, maximum >= minimum, let stream = streams[id], !stream.isFinished else { return nil }
    let before = stream.queue.endOffset
    let result = unsafe stream.queue.withFreeSpace(atLeast: minimum, atMost: maximum, body)
    if stream.queue.endOffset > before { wake(stream, at: now) }
    return result
  }

  /// Ends our direction behind what is queued.
  public func finish(_ id: StreamID, at now: Instant) {
    guard let stream = streams[id], !stream.isFinished else { return }
    stream.isFinished = true
    wake(stream, at: now)
  }

  /// Kills the stream in both directions and forgets it.
  public func reset(_ id: StreamID, _ code: ResetCode) {
    guard let stream = streams[id] else { return }
    forget(stream)
    // Before a resume's replay, not being named in `synchronize` says the same. A stream that never left needs no word, and must have
    // none: the peer takes the highest number it saw for the order of opening.
    if isAttached && !mustSynchronize && (stream.isAnnounced || role == .client) { pendingResets.append((id, code)) }
  }

  /// Streams whose producers may go on since the last call.
  public func takeWritable(_ body: (StreamID) -> Void) {
    guard !writable.isEmpty else { return }
    swap(&writable, &writableSpare)
    for id in writableSpare where streams[id] != nil { body(id) }
    writableSpare.removeAll(keepingCapacity: true)
  }

  // MARK: Streams, receiving

  /// Whether the shell should look how much of this stream has drained and tell it by `drained`.
  public func wantsDrainReport(_ id: StreamID) -> Bool {
    guard let stream = streams[id], !stream.endReceived else { return false }
    return stream.window.wantsReport(received: stream.received)
  }

  /// Everything before `offset` (counted in stream bytes received) has been passed on: the peer may send more.
  /// - Parameters:
  ///   - acknowledged: what of it the far TCP has acknowledged; nil when all. Only that lets the window grow.
  ///   - pathRoundTrip: the far TCP's own round trip in ns, 0 when unknown.
  public func drained(_ id: StreamID, upTo offset: UInt64, acknowledged: UInt64? = nil, pathRoundTrip: UInt64, at now: Instant) {
    guard let stream = streams[id], !stream.endReceived else { return }
    let growthBefore = stream.window.growth
    let offset = min(offset, stream.received)
    let mustTell = stream.window.consume(
      upTo: offset, drained: min(acknowledged ?? offset, offset), at: now, roundTrip: heartbeat.minimumRoundTrip + pathRoundTrip,
      limits: limits,
      headroom: min(limits.windowBudget - windowGrowth, budget?.headroom ?? .max))
    growWindows(by: stream.window.growth - growthBefore)
    if mustTell {
      markDirty(stream)
      acknowledgeNow = true
    }
  }

  /// Bytes of this stream that have arrived so far.
  public func receivedByteCount(_ id: StreamID) -> UInt64 {
    guard let stream = streams[id] else { return 0 }
    return stream.received - (stream.endReceived ? 1 : 0)
  }

  // MARK: Inside

  /// Puts a stream among those that send, if it has anything it may send.
  func wake(_ stream: StreamState, at now: Instant) {
    if stream.sendableByteCount > 0 || stream.mustSendEnd { scheduler.add(stream, at: now) }
  }

  func growWindows(by byteCount: Int) {
    windowGrowth += byteCount
    budget?.grow(by: byteCount)
  }

  func markDirty(_ stream: StreamState) {
    guard !stream.isDirty else { return }
    stream.isDirty = true
    dirty.append(stream)
  }

  /// Drops a stream's state. If all of it arrived, `dirty` still holds it for its last acknowledgement.
  func forget(_ stream: StreamState) {
    streams[stream.id] = nil
    if !stream.isForgotten { budget?.giveStreamBack() }
    stream.isForgotten = true
    stream.isQueued = false
    stream.queue.removeAll()  // the scheduler may hold the stream until its turn comes
    growWindows(by: -stream.window.growth)
    stream.window.close()
    if !stream.endReceived { stream.isDirty = false }
    counters.streamsClosed += 1
  }

  func forgetIfDone(_ stream: StreamState) {
    if stream.endReceived && stream.isSendDone { forget(stream) }
  }
}

/// Totals over the session's life, for metrics and the panel.
public struct SessionCounters: Equatable, Sendable {
  public var bytesSent: UInt64 = 0
  public var bytesReceived: UInt64 = 0
  public var bytesReplayed: UInt64 = 0
  public var streamsClosed: UInt64 = 0

  public init() {}

  public static func += (a: inout SessionCounters, b: SessionCounters) {
    a.bytesSent &+= b.bytesSent
    a.bytesReceived &+= b.bytesReceived
    a.bytesReplayed &+= b.bytesReplayed
    a.streamsClosed &+= b.streamsClosed
  }
}
