internal import CausewayBase
internal import CausewayLanes
internal import CausewayLinuxIO
internal import CausewayRelayCore
internal import CausewayTunnelCore
internal import CausewayWire

/// One visitor's HTTP connection: reads a head, opens a stream to the tunnel's client, pumps the request's body there and the answer back,
/// and begins again. One request at a time; what a visitor sends ahead stays unread. While nothing is under way it holds no buffer.
///
/// Files: +Request (heads and routes), +Upload (request bodies), +Answer (records to HTTP), +Ends (closing, time).
final class VisitorConnection: TCPStreamOwner, StreamHandler, RouteWaiter, RawPipeOwner, IngressMember {
  enum Phase: UInt8 {
    /// Between requests, or inside a head.
    case head
    /// The head is here; its name's session is away.
    case waiting
    /// A stream is open.
    case exchange
    /// The answer is out; the rest of a small body is read and dropped.
    case discarding
    /// A pipe has the socket.
    case raw
    /// Nothing more will be read; what waits is sent, then the connection ends.
    case finishing
    /// Our direction is ended; what the visitor still sends is dropped, so that no RST deletes the answer on its way.
    case lingering
    case closed
  }

  enum Upload: Equatable {
    case done
    /// So many bytes are still to come.
    case length(UInt64)
    case chunked
  }

  static let readByteCount = 16 * 1024
  /// Bytes read in a turn before others have theirs.
  static let readBudget = 256 * 1024
  /// Requests answered by ourselves in a turn.
  static let requestBudget = 16
  /// Body pieces up to this are joined with what is around them; longer ones go to the socket as they are.
  static let joinedByteCount = 4 * 1024

  let stream: TCPStream
  let ingress: Ingress
  let visitor: Visitor
  var slot = -1
  var phase = Phase.head
  private var timer: LoopTimer?
  /// When the present phase is over; `distantFuture` for none.
  var phaseDeadline = Instant.distantFuture
  /// When what waits for the visitor must have moved.
  var sendDeadline = Instant.distantFuture

  /// Bytes that were read and not used; nil mostly.
  var held: ByteBuffer?
  /// `held` has something that the parser has not seen.
  var mustParse = false
  /// What the kernel did not take. Bounded by the stream's window, because credit is given for drained bytes only.
  var unsent: ChunkQueue

  // The way to the tunnel.
  var route: Route?
  var routeHost: [UInt8] = []
  var waitingName: String?
  var waitUntil = Instant.distantFuture
  var driver: SessionDriver?
  var id: StreamID = 0

  // The present request.
  var facts = RequestFacts()
  var format = PageFormat.plain
  var upload = Upload.done
  /// What is left of the data record whose header has been written.
  var uploadRecord = 0
  var decoder: UploadDecoder?
  var rate: BodyRate?
  /// The visitor waits for 100 before it sends its body.
  var awaitsContinue = false
  /// The visitor ended its direction.
  var visitorFinished = false

  // The present answer.
  var records = RecordParser()
  var answerStarted = false
  var body = VisitorBody.none
  var keepsAlive = false
  var handled: UInt64 = 0
  var drainReporter = DrainReporter()
  var pipe: RawPipe?
  /// The answer was cut: end without ceremony.
  var isCut = false
  var lingerEnd = Instant.zero
  var lingered = 0

  init(_ stream: TCPStream, _ visitor: Visitor, _ ingress: Ingress) {
    self.stream = stream
    self.visitor = visitor
    self.ingress = ingress
    unsent = ChunkQueue(pool: ingress.pool)
    timer = LoopTimer(ingress.loop) { [unowned self] now in self.timerFired(now) }
    phaseDeadline = ingress.loop.now + ingress.limits.firstByte
    watch(phaseDeadline)
    stream.owner = self
  }

  var now: Instant { ingress.loop.now }

  func streamIsReady(_ stream: TCPStream) {
    guard phase != .closed else { return }
    if !unsent.isEmpty && stream.isWritable { flush() }
    work()
  }

  /// Does what the present phase can do now, and what follows from it.
  func work() {
    var before: Phase
    repeat {
      before = phase
      switch phase {
      case .head: readHead()
      case .exchange: if upload == .done { watchVisitor() } else { pumpUpload() }
      case .discarding: discard()
      case .finishing: if unsent.isEmpty { finishNow() }
      case .lingering: linger()
      case .waiting, .raw, .closed: return
      }
    } while phase != before
  }

  // MARK: Bytes to the visitor

  /// Writes both pieces in one system call; what the kernel does not take waits.
  func transmit(_ first: Span<UInt8>, _ second: Span<UInt8> = Span()) {
    guard phase != .closed else { return }
    let total = first.count + second.count
    ingress.counters.bytesToVisitors &+= UInt64(total)
    var written = 0
    if unsent.isEmpty && stream.isWritable {
      switch stream.write(first, second) {
      case .bytes(let count): written = count
      case .failed: return visitorGone()
      }
      if written == total { return }
    }
    if unsent.isEmpty {
      sendDeadline = now + ingress.limits.sendProgress
      watch(sendDeadline)
    }
    if written < first.count {
      unsent.append(first.extracting(written..<first.count))
      unsent.append(second)
    } else {
      unsent.append(second.extracting(written - first.count..<second.count))
    }
  }

  func flush() {
    var moved = false
    while !unsent.isEmpty && stream.isWritable {
      let outcome = unsent.consumeFirstRun { run -> (consumed: Int, result: WriteOutcome) in
        let outcome = stream.write(run)
        if case .bytes(let count) = outcome { return (count, outcome) }
        return (0, outcome)
      }
      if case .failed? = outcome { return visitorGone() }
      moved = true
    }
    if moved { sendDeadline = unsent.isEmpty ? .distantFuture : now + ingress.limits.sendProgress }
    noteDrain()
  }

  func noteDrain() {
    guard id != 0, let driver, handled >= UInt64(driver.session.limits.initialWindow / 2) else { return }
    drainReporter.note(id, handled: handled, pending: unsent.count, socket: stream, to: driver)
  }

  // MARK: Time

  /// Makes sure that the timer fires at `deadline` or before. Moving a deadline later touches only a field.
  func watch(_ deadline: Instant) {
    if let armed = timer?.deadline, armed <= deadline { return }
    if deadline < .distantFuture { timer?.set(at: deadline) }
  }

  func setPhaseDeadline(after limit: Duration) {
    phaseDeadline = now + limit
    watch(phaseDeadline)
  }

  private func timerFired(_ now: Instant) {
    if !unsent.isEmpty && now >= sendDeadline {
      ingress.counters.timeouts &+= 1
      stream.abort()
      return visitorGone()
    }
    if phase == .exchange && upload != .done && rate?.isTooSlow(at: now) == true {
      ingress.counters.timeouts &+= 1
      breakExchange(.cancelled, .bodyTooSlow)
    }
    if now >= phaseDeadline {
      phaseDeadline = .distantFuture
      phaseExpired()
    }
    guard phase != .closed && phase != .raw else { return }
    watch(phaseDeadline)
    if !unsent.isEmpty { watch(sendDeadline) }
    if phase == .exchange, upload != .done, let rate { watch(rate.deadline) }
  }

  /// For good.
  func stopTimer() {
    timer?.cancel()
    timer = nil
  }

  // MARK: Input buffers

  /// Where the next bytes go: behind those that are held, else to the loop's scratch memory.
  var inputBuffer: ByteBuffer { held ?? ingress.input }

  /// Keeps what is left in `buffer`, and no memory when nothing is.
  func park(_ buffer: ByteBuffer) {
    if buffer === held {
      if buffer.isEmpty { held = nil }
    } else if !buffer.isEmpty {
      let own = ByteBuffer(capacity: buffer.count)
      own.append(buffer.bytes)
      buffer.removeAll()
      held = own
    }
  }
}

/// Made for chunked uploads only.
final class UploadDecoder {
  var chunks = ChunkedDecoder()
}
