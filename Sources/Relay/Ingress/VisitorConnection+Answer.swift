internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTunnelCore
internal import CausewayWire

extension VisitorConnection {
  /// In the middle of a body that needs no framing the pieces are nothing but body: one system call takes them all.
  func streamReceived(_ bytes: Span<UInt8>, pieces: [Range<Int>]) -> Bool {
    let total = pieces.reduce(0) { $0 + $1.count }
    guard phase == .exchange, answerStarted, unsent.isEmpty, stream.isWritable, total <= records.bodyRemaining, takesWhole(total) else {
      return false
    }
    handled &+= UInt64(total)
    records.skipBody(total)
    if case .length(let left) = body { body = .length(left - UInt64(total)) }
    ingress.counters.bytesToVisitors &+= UInt64(total)
    switch stream.write(bytes, pieces: pieces) {
    case .bytes(total): break
    case .bytes(let count):
      sendDeadline = now + ingress.limits.sendProgress
      watch(sendDeadline)
      unsent.append(bytes, pieces: pieces, skipping: count)
    case .failed:
      visitorGone()
      return true
    }
    noteDrain()
    return true
  }

  /// Whether so many body bytes go to the visitor as they are, and are not the last.
  private func takesWhole(_ count: Int) -> Bool {
    switch body {
    case .length(let left): UInt64(count) < left
    case .untilClose: true
    case .none, .chunked: false
    }
  }

  func streamReceived(_ bytes: Span<UInt8>) {
    guard phase == .exchange else { return }
    handled &+= UInt64(bytes.count)
    let out = ingress.output
    out.removeAll()
    var offset = 0
    var isComplete = false
    do throws(RecordError) {
      while phase == .exchange && !isComplete, let event = try records.next(bytes, &offset) {
        switch event {
        case .head(let kind, let payload): isComplete = try receiveHead(kind, bytes, payload, out)
        case .collectedHead(let kind):
          let collected = records.collected
          isComplete = try receiveHead(kind, collected.bytes, 0..<collected.count, out)
        case .data(let range): try receiveBody(bytes.extracting(range), out)
        }
      }
    } catch {
      flushOutput(out)
      return breakExchange(.protocolViolation, .stream(.originMalformed))
    }
    if phase == .raw { return becomeRaw(out, bytes.extracting(offset..<bytes.count)) }
    flushOutput(out)
    guard phase == .exchange else { return }
    if isComplete { return answerComplete() }
    if visitorFinished { setPhaseDeadline(after: ingress.limits.finishedVisitor) }
    noteDrain()
  }

  private func flushOutput(_ out: ByteBuffer) {
    if !out.isEmpty { transmit(out.bytes) }
    out.removeAll()
  }

  /// - Returns: whether the answer is complete.
  private func receiveHead(_ kind: RecordKind, _ bytes: Span<UInt8>, _ payload: Range<Int>, _ out: ByteBuffer) throws(RecordError) -> Bool {
    switch kind {
    case .response where !answerStarted:
      try receiveAnswerHead(bytes, payload, out)
      return false
    case .trailers where answerStarted:
      if case .length = body { throw .malformed("the answer is shorter than announced") }
      if body == .chunked { try VisitorResponse.appendTrailers(bytes, payload, into: out) }
      return true
    default: throw .malformed("record out of order")
    }
  }

  private func receiveAnswerHead(_ bytes: Span<UInt8>, _ payload: Range<Int>, _ out: ByteBuffer) throws(RecordError) {
    let mayPersist = !ingress.isDraining && !visitorFinished && canDiscardUpload
    let response = try VisitorResponse.append(
      bytes, payload, to: facts, mayPersist: mayPersist, at: { WallTime.current.seconds }, into: out)
    switch response.kind {
    case .informational, .withheld:
      if response.status == 100 { awaitsContinue = false }
    case .switching: phase = .raw
    case .final:
      answerStarted = true
      body = response.body
      keepsAlive = response.keepsAlive
      // No WebSocket after all: our direction has nothing more to say.
      if facts.isWebSocket { driver?.finish(id) }
    }
  }

  /// Nothing of the request is left, or so little that reading it is cheaper than a new connection.
  var canDiscardUpload: Bool {
    switch upload {
    case .done: true
    case .length(let left): left <= ingress.limits.discardableBody && !awaitsContinue
    case .chunked: false
    }
  }

  private func receiveBody(_ piece: Span<UInt8>, _ out: ByteBuffer) throws(RecordError) {
    guard answerStarted else { throw .malformed("body before the head") }
    switch body {
    case .none: return  // an answer to HEAD, 204, 304: never a byte, whatever comes
    case .length(let left):
      guard UInt64(piece.count) <= left else { throw .malformed("the answer is longer than announced") }
      body = left == UInt64(piece.count) ? .none : .length(left - UInt64(piece.count))
      forward(piece, out)
    case .untilClose: forward(piece, out)
    case .chunked:
      ChunkedEncoder.appendHead(byteCount: piece.count, to: out)
      forward(piece, out)
      out.append("\r\n")
    }
  }

  /// Small pieces are joined, so that a short answer leaves in one system call; large ones are not copied.
  private func forward(_ piece: Span<UInt8>, _ out: ByteBuffer) {
    if piece.count <= Self.joinedByteCount { return out.append(piece) }
    transmit(out.bytes, piece)
    out.removeAll()
  }

  /// After a 101: raw both ways, beginning with what came behind either head.
  private func becomeRaw(_ out: ByteBuffer, _ rest: Span<UInt8>) {
    guard let driver else { return }
    ingress.counters.webSockets &+= 1
    stopTimer()
    stream.setKeepAlive(idle: .seconds(75))
    stream.setUserTimeout(.zero)  // a pause is no fault here
    // What the pipe is given first (our head, what waited) counts as its own; before it came what is left.
    let given = UInt64(unsent.count + out.count + rest.count)
    let pipe = RawPipe(
      driver, id, stream, pool: ingress.pool, owner: self, handledBefore: handled - min(handled, given), brokenCode: .cancelled)
    self.pipe = pipe
    while !unsent.isEmpty {
      _ = unsent.consumeFirstRun { run -> (consumed: Int, result: Void) in
        pipe.streamReceived(run)
        return (run.count, ())
      }
    }
    pipe.streamReceived(out.bytes)
    out.removeAll()
    if !rest.isEmpty { pipe.streamReceived(rest) }
    if let held { driver.send(id, held.bytes) }
    held = nil
    routeHost = []
    route = nil
  }

  func pipeEnded(_ pipe: RawPipe) {
    ingress.counters.bytesToVisitors &+= pipe.bytesToSocket
    ingress.counters.bytesFromVisitors &+= pipe.bytesFromSocket
    letGo()
  }

  private func answerComplete() {
    if upload == .done {
      driver?.release(id)
    } else {
      driver?.reset(id, .cancelled)  // early answer: the client need not read on
    }
    endExchange(keepsAlive)
    work()
  }

  // MARK: Streams that end early

  func streamEnded() {
    guard phase == .exchange else { return }
    breakExchange(.cancelled, .noAnswer)
  }

  func streamReset(_ code: ResetCode) {
    guard phase == .exchange else { return }
    id = 0
    breakExchange(code, .stream(code))
  }

  /// The exchange cannot go on. Before an answer has begun the visitor gets `refusal`, after that a cut that it can see.
  func breakExchange(_ code: ResetCode, _ refusal: Refusal) {
    if id != 0 { driver?.reset(id, code) }
    id = 0
    records.reset()
    if !answerStarted {
      answer(refusal)
      return work()
    }
    ingress.counters.truncatedAnswers &+= 1
    if body == .untilClose {
      // A close would look like the body's end.
      stream.abort()
      return close()
    }
    isCut = true
    endExchange(false)
    work()
  }

  // MARK: Our own answers

  /// Answers the present request with a page; the caller calls `work` unless it is inside it.
  func answer(_ refusal: Refusal) {
    ingress.counters.refusedRequests &+= 1
    let keeps = facts.keepsAlive && !refusal.closes && canDiscardUpload && !ingress.isDraining && !visitorFinished
    let out = ingress.output
    out.removeAll()
    RefusalPage.append(refusal, format, to: facts, keepsAlive: keeps, at: WallTime.current.seconds, scratch: ingress.text, into: out)
    flushOutput(out)
    endExchange(keeps)
  }

  func answerOK(_ text: StaticString) {
    let keeps = facts.keepsAlive && canDiscardUpload && !ingress.isDraining
    let out = ingress.output
    out.removeAll()
    RefusalPage.appendOK(text, to: facts, keepsAlive: keeps, at: WallTime.current.seconds, scratch: ingress.text, into: out)
    flushOutput(out)
    endExchange(keeps)
  }
}
