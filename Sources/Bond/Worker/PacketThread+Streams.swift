import CausewayBase
import CausewayBondCore
import CausewayLinuxIO
import CausewayPaths
import CausewayWire

// TCP paths of a packet thread: what connections receive and send. What a connection carries is the engine's business; here its messages are
// cut and put together.

extension PacketThread {
  // MARK: Events

  /// A connection is ready for something.
  func streamReady(_ number: UInt32, _ interest: PacketPoll.Interest, _ now: Instant) {
    guard let connection = streams[number] else { return }
    if connection.isConnecting { return finishConnecting(connection, now) }
    if interest.contains(.write) { flush(connection, now) }
    if streams[number] === connection { receive(connection, now) }
  }

  private func finishConnecting(_ connection: StreamConnection, _ now: Instant) {
    guard let place = uplinkPlace(connection.uplink) else { return closeStream(connection, now, retries: false) }
    if let code = connection.socket.takeError() {
      noteStreamFailure(place, "\(SystemError(code, "connect TCP \(SocketAddress(connection.remote))"))")
      return closeStream(connection, now)
    }
    connection.isConnecting = false
    connection.deadline = Instant(nanoseconds: now.nanoseconds &+ StreamSet.connectPatience)
    watch(connection)
    uplinks[place].isFailing = false
    let route = Route(socket: connection.number, remote: connection.remote, isStream: true)
    engine.streamConnected(
      uplinks[place].index, of: uplinks[place].peer, route: route, startsWithHandshake: uplinks[place].wasRefused, at: now)
    updateStreamDeadline()
  }

  private func watch(_ connection: StreamConnection) {
    try? poll.change(
      connection.socket.descriptor, tag: Tag.socket + UInt64(connection.number), to: connection.isBlocked ? [.read, .write] : .read)
  }

  private func receive(_ connection: StreamConnection, _ now: Instant) {
    for _ in 0..<StreamSet.readLimit {
      switch connection.receive() {
      case .bytes:
        figures.receives &+= 1
        guard readStream(connection, now) else { return }
      case .wouldBlock: return
      case .end, .failed: return closeStream(connection, now)
      }
    }
  }

  /// Hands over what is whole.
  /// - Returns: False when the connection is not ours any more.
  @discardableResult
  func readStream(_ connection: StreamConnection, _ now: Instant) -> Bool {
    guard takeMessages(connection, now) else {
      if streams[connection.number] === connection {
        streams.figures.violations &+= 1
        closeStream(connection, now)
      }
      return false
    }
    return true
  }

  /// An accepted connection's first message names the path, and that its thread.
  /// - Returns: Whether this thread goes on with it.
  private func keepsStream(_ connection: StreamConnection, _ message: Range<Int>, _ now: Instant) -> Bool {
    guard plan.configuration.shardCount > 1, connection.uplink == nil else { return true }
    guard let index = connection.receiverIndex(of: message) else { return true }  // a handshake message: the first thread's
    guard let target = engine.shard(forReceiver: index) else { return false }
    guard target != plan.configuration.shard else { return true }
    let input = connection.takeInput()
    streams.admission.remove(connection.number)
    poll.deregister(connection.socket.descriptor)
    streams.remove(connection)
    let descriptor = connection.socket.release()
    if !hand(.stream(descriptor: descriptor, remote: connection.remote, input: input), to: target) {
      _ = TCPPathSocket(adopting: descriptor)  // closes it
    }
    updateStreamDeadline()
    return false
  }

  /// - Returns: False when the connection may live no longer.
  private func takeMessages(_ connection: StreamConnection, _ now: Instant) -> Bool {
    var offset = 0
    let route = Route(socket: connection.number, remote: connection.remote, isStream: true)
    while true {
      switch connection.nextMessage(at: &offset) {
      case .incomplete:
        // What was delivered lies in the input.
        flushDeliveries()
        connection.dropInput(before: offset)
        return true
      case .violation:
        flushDeliveries()
        return false
      case .message(let range):
        if !connection.framing.isAuthenticated, !keepsStream(connection, range, now) { return false }
        figures.receivedDatagrams &+= 1
        engine.verdict = .dropped
        // SAFETY: the range lies within the input, which stays until the deliveries are written.
        unsafe engine.receive(
          connection.input + range.lowerBound, count: range.count, segmentByteCount: 0, from: route, trafficClass: 0, at: now)
        if !connection.framing.isAuthenticated {
          flushDeliveries()
          guard judge(connection, now) else { return false }
        }
      }
    }
  }

  /// What a stranger's message proved.
  private func judge(_ connection: StreamConnection, _ now: Instant) -> Bool {
    switch engine.verdict {
    case .dropped: return false
    case .accepted: connection.framing.allowAnotherFirstMessage()
    case .authentic:
      connection.authenticate()
      connection.deadline = .distantFuture
      streams.admission.remove(connection.number)
      if let place = uplinkPlace(connection.uplink) {
        uplinks[place].backoff.worked()
        uplinks[place].wasRefused = false
      }
      updateStreamDeadline()
    }
    return true
  }

  // MARK: Sending

  func sendStream(_ run: OutgoingRun, _ bytes: UnsafeMutablePointer<UInt8>, _ now: Instant) {
    guard let connection = streams[run.route.socket], !connection.isConnecting else {
      figures.sendFailures &+= UInt64(run.datagramCount)
      return
    }
    let wasBlocked = connection.isBlocked
    figures.sends &+= 1
    switch unsafe connection.send(bytes, count: run.byteCount, segmentByteCount: run.segmentByteCount, streams.output) {
    case .sent: figures.sentDatagrams &+= UInt64(run.datagramCount)
    case .blocked:
      figures.sentDatagrams &+= UInt64(run.datagramCount)
      if !wasBlocked { block(connection, now) }
    case .dropped: streams.figures.droppedDatagrams &+= UInt64(run.datagramCount)
    case .failed: return closeStream(connection, now)
    }
    if now.nanoseconds(since: connection.reportedAt) >= StreamSet.reportInterval { report(connection, now) }
  }

  private func block(_ connection: StreamConnection, _ now: Instant) {
    watch(connection)
    engine.setStream(connection.number, isBlocked: true, at: now)
    tune(connection, now)
  }

  private func flush(_ connection: StreamConnection, _ now: Instant) {
    switch connection.flush() {
    case .sent:
      watch(connection)
      engine.setStream(connection.number, isBlocked: false, at: now)
    case .blocked, .dropped: break
    case .failed: closeStream(connection, now)
    }
  }

  /// The kernel may hold a little of the path's time, so that its queue isn't the delay and yet never runs dry.
  private func tune(_ connection: StreamConnection, _ now: Instant) {
    guard now.nanoseconds(since: connection.tunedAt) >= StreamSet.tuneInterval else { return }
    connection.tunedAt = now
    let capacity = Double(engine.capacity(ofStream: connection.number))
    connection.socket.setUnsentLimit(Int(min(capacity * Double(StreamSet.unsentTime) / 1e9, Double(Int32.max))))
  }

  /// What the kernel says of connections that the engine asked about.
  func tellOfStreams(_ now: Instant) {
    for number in streams.asked {
      if let connection = streams[number] { report(connection, now) }
    }
    streams.asked.removeAll(keepingCapacity: true)
  }

  private func report(_ connection: StreamConnection, _ now: Instant) {
    connection.reportedAt = now
    guard let info = connection.socket.info() else { return }
    let report = TransportReport(
      deliveredByteCount: info.deliveredByteCount, roundTrip: UInt64(clamping: info.roundTripTime.wholeNanoseconds))
    engine.streamTold(connection.number, report, at: now)
  }

  // MARK: The end

  /// - Parameter retries: An uplink connects again after a pause.
  func closeStream(_ connection: StreamConnection, _ now: Instant, retries: Bool = true) {
    guard streams[connection.number] === connection else { return }
    let wasConnecting = connection.isConnecting
    poll.deregister(connection.socket.descriptor)
    streams.admission.remove(connection.number)
    streams.remove(connection)
    if let place = uplinkPlace(connection.uplink), uplinks[place].stream == connection.number {
      uplinks[place].stream = 0
      if !wasConnecting {
        // It stood and the peer closed it: the next one begins differently, so it need not wait long.
        if !connection.framing.isAuthenticated, !uplinks[place].wasRefused { uplinks[place].backoff.worked() }
        uplinks[place].wasRefused = !connection.framing.isAuthenticated
      }
      if retries { retryStream(place, now) }
    }
    engine.streamEnded(connection.number, at: now)
    hasMoreToSend = true  // other paths have something to tell
    updateStreamDeadline()
  }

  /// Connections that the engine's events named.
  func closeNamedStreams(_ now: Instant) {
    let list = streams.closing
    streams.closing.removeAll(keepingCapacity: true)
    for number in list { if let connection = streams[number] { closeStream(connection, now) } }
  }

  // MARK: Time

  func advanceStreams(_ now: Instant) {
    while let number = streams.admission.expire(at: now) {
      streams.figures.evictions &+= 1
      if let connection = streams[number] { closeStream(connection, now) }
    }
    while let late = streams.first(where: { $0.deadline <= now }) {
      if let place = uplinkPlace(late.uplink) {
        // Its SYNs were pause enough.
        if late.isConnecting { uplinks[place].backoff.worked() }
        noteStreamFailure(place, "TCP \(SocketAddress(late.remote)) \(late.isConnecting ? "does not answer" : "says nothing authentic")")
      }
      closeStream(late, now)
    }
    for place in uplinks.indices where uplinks[place].retryAt <= now { connectStream(place, now) }
    updateStreamDeadline()
  }

  func updateStreamDeadline() {
    var deadline = streams.admission.nextDeadline ?? .distantFuture
    for uplink in uplinks where uplink.plan.transport == .tcp {
      deadline = min(deadline, uplink.retryAt)
      if let connection = streams[uplink.stream] { deadline = min(deadline, connection.deadline) }
    }
    streams.deadline = deadline
  }
}
