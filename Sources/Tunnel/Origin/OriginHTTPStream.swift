internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayTunnelCore
internal import CausewayWire

/// One HTTP or WebSocket stream at the client: records from the relay become a request to the local service, its answer becomes records.
///
/// Request bytes pass straight to the socket; what the kernel does not take waits in `pending`, whose size the stream's window bounds.
/// Answer bytes are read only while the session can take them, bulk straight into its queue. Objects are reused.
final class OriginHTTPStream: StreamHandler, TCPStreamOwner {
  /// The first read of an answer: a head and the beginning of its body, below a stream's first credit.
  static let headReadByteCount = 16 * 1024
  /// Bytes read from one service in a turn before others have theirs.
  static let readBudget = 256 * 1024

  /// How the answer goes on.
  enum Answer: Equatable {
    case head
    case known(UInt64)
    case chunked
    case untilClose
    case done
  }

  let context: OriginContext
  var id: StreamID = 0
  var tunnel: LocalTunnel?
  var socket: TCPStream?
  var dialer: OriginDialer?
  var request: OriginRequest?
  var records = RecordParser()
  var pending: ChunkQueue
  var drain = DrainReporter()
  /// Stream bytes taken so far.
  var handled: UInt64 = 0
  /// What took the stream over, within the call that found out.
  private var raw: OriginTCPStream?
  var requestEnded = false
  /// Of a body of known length: what the relay still owes. A byte more would begin a request of its own at the service.
  private var bodyRemaining: UInt64 = 0
  var answer = Answer.head
  var chunks = ChunkedDecoder()
  /// What is left of the data record whose header has been written: a body of known length needs few of them.
  var recordRemaining = 0
  /// The answer's head so far, when it came in pieces.
  let headInput = ByteBuffer()
  /// The request, as long as it may have to be sent again on a fresh connection.
  let replay = ByteBuffer()
  var isReused = false
  var gotAnswerByte = false
  var keepsConnection = false
  var isOver = true
  var startedAt = Instant.zero
  var deadline = Instant.distantFuture
  // For observers only.
  var isTold = false
  var method = ""
  var target = ""
  var status = 0

  init(_ context: OriginContext) {
    self.context = context
    pending = ChunkQueue(pool: context.pool)
  }

  func begin(_ id: StreamID) {
    self.id = id
    drain = DrainReporter()
    handled = 0
    isOver = false
    requestEnded = false
    bodyRemaining = 0
    answer = .head
    isReused = false
    gotAnswerByte = false
    keepsConnection = false
    recordRemaining = 0
    status = 0
    startedAt = context.loop.now
    deadline = .distantFuture
  }

  // MARK: From the relay

  func streamReceived(_ bytes: Span<UInt8>) {
    guard !isOver else { return }
    handled += UInt64(bytes.count)
    receiveRecords(bytes)
    if !isOver { reportDrain() }
  }

  /// In the middle of a body of known length the pieces are nothing but body: one system call takes them all.
  func streamReceived(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> Bool {
    let total = pieces.reduce(0) { $0 + $1.count }
    guard !isOver, let socket, pending.isEmpty, socket.isWritable, answer != .done, case .known? = request?.body,
      total <= records.bodyRemaining, UInt64(total) <= bodyRemaining
    else {
      return false
    }
    handled += UInt64(total)
    records.skipBody(total)
    bodyRemaining -= UInt64(total)
    switch socket.write(bytes, pieces: pieces) {
    case .bytes(let count): if count < total { pending.append(bytes, pieces: pieces, skipping: count) }
    case .failed(let error): writeFailed(error)
    }
    if !isOver { reportDrain() }
    return true
  }

  private func receiveRecords(_ bytes: Span<UInt8>) {
    let out = context.request
    out.removeAll()
    var offset = 0
    do throws(RecordError) {
      while !isOver, let event = try records.next(bytes, &offset) {
        switch event {
        case .head(let kind, let payload):
          try receiveHead(kind, bytes, payload, out)
          if raw != nil { return handOver(bytes.extracting(offset..<bytes.count)) }
        case .collectedHead(let kind):
          let collected = records.collected
          try receiveHead(kind, collected.bytes, 0..<collected.count, out)
          if raw != nil { return handOver(bytes.extracting(offset..<bytes.count)) }
        case .data(let range): sendBody(bytes.extracting(range), out)
        }
      }
    } catch {
      return fail(.protocolViolation)
    }
    guard !isOver, !out.isEmpty else { return }
    forward(out.bytes)
  }

  private func receiveHead(_ kind: RecordKind, _ bytes: Span<UInt8>, _ payload: Range<Int>, _ out: ByteBuffer) throws(RecordError) {
    switch kind {
    case .open where request == nil: try open(bytes, payload, out)
    case .trailers where request != nil && !requestEnded:
      guard bodyRemaining == 0 else { throw .malformed("the body is shorter than announced") }
      requestEnded = true
      if request?.body == .unknown && answer != .done { try OriginRequest.writeChunkedEnd(bytes, trailers: payload, to: out) }
      if answer == .head { awaitAnswer() }
    default: throw .malformed("record out of order")
    }
  }

  private func open(_ bytes: Span<UInt8>, _ payload: Range<Int>, _ out: ByteBuffer) throws(RecordError) {
    var reader = HeadRecordReader(payload: payload)
    let open = try reader.open(bytes)
    guard let tunnel = context.tunnels(open.tunnel), tunnel.isHTTP == (open.kind != .tcp) else { return fail(.tunnelGone) }
    if open.kind == .tcp { return becomeTCP(tunnel) }
    self.tunnel = tunnel
    let request = try OriginRequest.write(bytes, payload: payload, host: tunnel.target.hostHeader, to: out)
    self.request = request
    if case .known(let count) = request.body { bodyRemaining = count }
    isTold = context.tellsRequest()
    if isTold {
      method = bytes.string(in: open.method)
      target = bytes.string(in: open.target)
    }
    if let kept = request.kind == .http ? tunnel.pool.take() : nil {
      isReused = true
      if request.isReplayable {
        replay.removeAll()
        replay.append(out.bytes)
      }
      use(kept)
    } else {
      dial()
    }
    if request.kind == .webSocket {
      requestEnded = true
      awaitAnswer()
    }
  }

  /// The stream is TCP: another object takes it, and the rest of its bytes.
  private func becomeTCP(_ tunnel: LocalTunnel) {
    let stream = OriginTCPStream(context, id, tunnel)
    context.driver.setHandler(id, stream)
    raw = stream
    finish(keeping: false)
  }

  private func handOver(_ rest: Span<UInt8>) {
    let stream = raw
    raw = nil
    stream?.handledBefore = handled - UInt64(rest.count)
    if !rest.isEmpty { stream?.streamReceived(rest) }
  }

  /// A piece of the body, framed for the service.
  private func sendBody(_ body: Span<UInt8>, _ out: ByteBuffer) {
    guard let request, !requestEnded else { return fail(.protocolViolation) }
    if answer == .done {
      // The answer is complete, nobody reads this any more; the service may still wait for it, so its connection serves no other request.
      keepsConnection = false
      return finishIfDone()
    }
    switch request.body {
    case .none: fail(.protocolViolation)
    case .known:
      guard UInt64(body.count) <= bodyRemaining else { return fail(.protocolViolation) }
      bodyRemaining -= UInt64(body.count)
      if out.isEmpty {
        forward(body)
      } else if body.count <= 4096 {
        out.append(body)
      } else {
        forwardJoined(out, body)
      }
    case .unknown:
      out.append(hexadecimal: UInt64(body.count))
      out.append("\r\n")
      out.append(body)
      out.append("\r\n")
    }
  }

  private func awaitAnswer() {
    deadline = context.loop.now + OriginContext.answerLimit
    context.watch(self)
  }

  func streamEnded() {
    guard !isOver else { return }
    if !requestEnded { return fail(.protocolViolation) }
    finishIfDone()
  }

  func streamReset(_ code: ResetCode) {
    guard !isOver else { return }
    finish(keeping: false)
  }

  func streamWritable() {
    if !isOver { readAnswer() }
  }

  // MARK: To the service

  /// Writes bytes, in order behind what waits.
  private func forward(_ bytes: Span<UInt8>) {
    guard let socket, pending.isEmpty, socket.isWritable else { return pending.append(bytes) }
    wrote(socket.write(bytes), bytes, bytes.count)
  }

  /// A head and a large body piece in one system call.
  private func forwardJoined(_ head: ByteBuffer, _ body: Span<UInt8>) {
    guard let socket, pending.isEmpty, socket.isWritable else {
      pending.append(head.bytes)
      head.removeAll()
      return pending.append(body)
    }
    switch socket.write(head.bytes, body) {
    case .bytes(let count):
      if count < head.count {
        pending.append(head.bytes.extracting(count..<head.count))
        pending.append(body)
      } else if count < head.count + body.count {
        pending.append(body.extracting(count - head.count..<body.count))
      }
    case .failed(let error): writeFailed(error)
    }
    head.removeAll()
  }

  private func wrote(_ outcome: WriteOutcome, _ bytes: Span<UInt8>, _ offered: Int) {
    switch outcome {
    case .bytes(let count): if count < offered { pending.append(bytes.extracting(count..<offered)) }
    case .failed(let error): writeFailed(error)
    }
  }

  /// A service that answers early closes while we still write: its answer may be waiting, so reading decides.
  private func writeFailed(_ error: SystemError) {
    pending.removeAll()
  }

  func flushPending() {
    guard let socket else { return }
    while !pending.isEmpty && socket.isWritable {
      let outcome = pending.consumeFirstRun { run -> (consumed: Int, result: WriteOutcome) in
        let outcome = socket.write(run)
        if case .bytes(let count) = outcome { return (count, outcome) }
        return (0, outcome)
      }
      if case .failed(let error)? = outcome { return writeFailed(error) }
    }
  }

  func reportDrain() {
    drain.note(id, handled: handled, pending: pending.count, socket: socket, to: context.driver)
  }

  func streamIsReady(_ stream: TCPStream) {
    guard !isOver, stream === socket else { return }
    if stream.isWritable && !pending.isEmpty {
      flushPending()
      if !isOver { reportDrain() }
    }
    if !isOver { readAnswer() }
  }

  // MARK: The connection

  func use(_ stream: TCPStream) {
    socket = stream
    stream.owner = self
    if !pending.isEmpty {
      flushPending()
      if !isOver { reportDrain() }
    }
    if !isOver && stream.isReadable { readAnswer() }
  }

  func dial() {
    guard let tunnel else { return }
    let dialer = OriginDialer(tunnel: tunnel, context: context) { [weak self] result in
      guard let self, !self.isOver else {
        if case .success(let stream) = result { stream.close() }
        return
      }
      self.dialer = nil
      switch result {
      case .success(let stream): self.use(stream)
      case .failure(let failure): self.fail(failure.code)
      }
    }
    self.dialer = dialer
    dialer.start()
  }

  // MARK: Ends

  func checkDeadline(_ now: Instant) {
    if answer == .head && now >= deadline { fail(.originTimeout) }
  }

  /// The stream can't go on: the relay hears why, the connection is not kept.
  func fail(_ code: ResetCode) {
    guard !isOver else { return }
    // What the visitor gets from the relay in place of an answer.
    if status == 0 && code.isOriginFault { status = code == .originTimeout ? 504 : 502 }
    context.driver.reset(id, code)
    finish(keeping: false)
  }

  func finishIfDone() {
    guard !isOver, answer == .done, requestEnded || !keepsConnection else { return }
    context.driver.release(id)
    finish(keeping: keepsConnection && requestEnded && pending.isEmpty)
  }

  func finish(keeping: Bool) {
    isOver = true
    context.unwatch(self)
    if isTold, let observer = context.observer, let tunnel, request != nil {
      observer.requestFinished(
        tunnel: tunnel, method: method, target: target, status: status, duration: context.loop.now - startedAt)
    }
    dialer?.cancel()
    dialer = nil
    if let socket {
      if keeping { tunnel?.pool.put(socket) } else { socket.close() }
    }
    socket = nil
    tunnel = nil
    request = nil
    pending.removeAll()
    records.reset()
    headInput.removeAll()
    headInput.trim(above: 4096)
    replay.removeAll()
    replay.trim(above: 4096)
    context.give(self)
  }
}
