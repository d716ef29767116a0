public import CausewayBase

extension Session {
  /// Takes bytes of the present connection and appends what follows from them to `events`; ranges point into `bytes`.
  /// - Returns: how many bytes were used. The rest is the beginning of a frame: give it again with more behind it.
  public func receive(_ bytes: Span<UInt8>, at now: Instant, into events: inout [SessionEvent]) throws(SessionError) -> Int {
    if !bytes.isEmpty { heartbeat.received(at: now) }
    var offset = 0
    while offset < bytes.count {
      if receiver.remaining > 0 {
        let part = min(receiver.remaining, bytes.count - offset)
        receiver.remaining -= part
        receivePart(offset..<offset + part, into: &events, at: now)
        offset += part
        continue
      }
      guard bytes.count - offset >= FrameHeader.byteCount else { break }
      let header = try FrameHeader(bytes, at: offset)
      if header.kind == .data {
        guard bytes.count - offset >= FrameHeader.byteCount + FrameHeader.offsetByteCount else { break }
        guard header.payloadByteCount >= FrameHeader.offsetByteCount else { throw .malformedFrame("data frame without an offset") }
        let streamOffset = bytes.integer(at: offset + FrameHeader.byteCount, as: UInt64.self)
        try beginData(header, at: streamOffset, into: &events, at: now)
        offset += FrameHeader.byteCount + FrameHeader.offsetByteCount
        continue
      }
      let end = offset + FrameHeader.byteCount + header.payloadByteCount
      guard bytes.count >= end else { break }
      try receiveWhole(header, bytes, offset + FrameHeader.byteCount..<end, into: &events, at: now)
      offset = end
    }
    counters.bytesReceived += UInt64(offset)
    return offset
  }

  private func beginData(_ header: FrameHeader, at streamOffset: UInt64, into events: inout [SessionEvent], at now: Instant)
    throws(SessionError)
  {
    let count = header.payloadByteCount - FrameHeader.offsetByteCount
    let endsStream = header.flags.contains(.end)
    guard !awaitsPeerSynchronization else { throw .unexpectedFrame("data before synchronize") }
    var known = streams[header.stream]
    if known == nil { known = try openedByPeer(header, at: streamOffset, into: &events) }
    guard let stream = known else {
      receiver = ReceiverState(stream: nil, remaining: count, endsStream: endsStream)
      return
    }
    guard role == .client || stream.isAnnounced else { throw .unexpectedFrame("data for stream \(header.stream), not opened yet") }
    guard !stream.endReceived, streamOffset == stream.received else { throw .offsetMismatch(header.stream) }
    guard stream.received + UInt64(count) <= stream.window.credit else { throw .creditExceeded(header.stream) }
    receiver = ReceiverState(stream: stream, remaining: count, endsStream: endsStream)
    if count == 0 { receivePart(0..<0, into: &events, at: now) }
  }

  /// The new stream that a data frame opens, or nil for a dead one's.
  private func openedByPeer(_ header: FrameHeader, at streamOffset: UInt64, into events: inout [SessionEvent]) throws(SessionError)
    -> StreamState?
  {
    let id = header.stream
    guard role == .client, id > highestStream else {
      // Frames of a stream that we reset or finished may still be under way.
      guard id != 0, id <= highestStream else { throw .unexpectedFrame("data for stream \(id), never opened") }
      return nil
    }
    let count = header.payloadByteCount - FrameHeader.offsetByteCount
    guard streamOffset == 0, count > 0 else { throw .offsetMismatch(id) }
    guard count <= limits.initialWindow else { throw .creditExceeded(id) }
    guard streams.count < limits.maximumStreams, budget?.takeStream() ?? true else { throw .tooManyStreams }
    highestStream = id
    let stream = StreamState(id: id, pool: pool, limits: limits)
    streams[id] = stream
    events.append(.opened(id))
    return stream
  }

  /// A piece of the current data frame's payload.
  private func receivePart(_ range: Range<Int>, into events: inout [SessionEvent], at now: Instant) {
    guard let stream = receiver.stream, !stream.isForgotten else { return }
    stream.received += UInt64(range.count)
    if !range.isEmpty { events.append(.data(stream.id, range)) }
    if receiver.remaining == 0 {
      receiver.stream = nil
      if receiver.endsStream { receiveEnd(of: stream, into: &events) }
    }
    markDirty(stream)
    if stream.received - stream.reportedReceived >= UInt64(limits.acknowledgementThreshold) {
      acknowledgeNow = true
    } else if acknowledgementDeadline == nil {
      acknowledgementDeadline = now.later(acknowledgementDelay)
    }
    if stream.endReceived { forgetIfDone(stream) }
  }

  private func receiveEnd(of stream: StreamState, into events: inout [SessionEvent]) {
    stream.endReceived = true
    stream.received += 1
    growWindows(by: -stream.window.growth)
    stream.window.close()
    events.append(.end(stream.id))
  }

  private func receiveWhole(
    _ header: FrameHeader, _ bytes: Span<UInt8>, _ payload: Range<Int>, into events: inout [SessionEvent], at now: Instant
  )
    throws(SessionError)
  {
    switch header.kind {
    case .data: return  // handled by `beginData`
    case .acknowledge:
      guard !awaitsPeerSynchronization else { throw .unexpectedFrame("acknowledgement before synchronize") }
      guard payload.count % AckEntry.byteCount == 0 else { throw .malformedFrame("acknowledgement of \(payload.count) bytes") }
      for start in stride(from: payload.lowerBound, to: payload.upperBound, by: AckEntry.byteCount) {
        try acknowledge(AckEntry(bytes, at: start), into: &events, at: now)
      }
    case .reset:
      guard payload.count >= 2 else { throw .malformedFrame("reset without a code") }
      let code = ResetCode(rawValue: bytes.integer(at: payload.lowerBound, as: UInt16.self))
      if let stream = streams[header.stream] {
        forget(stream)
        events.append(.reset(header.stream, code))
      }
    case .ping:
      guard payload.count == 8 else { throw .malformedFrame("ping of \(payload.count) bytes") }
      // A flood of pings is answered by its latest few.
      if pendingPongs.count >= 4 { pendingPongs.removeFirst() }
      pendingPongs.append(bytes.integer(at: payload.lowerBound, as: UInt64.self))
    case .pong:
      guard payload.count == 8 else { throw .malformedFrame("pong of \(payload.count) bytes") }
      heartbeat.pongReceived(echo: bytes.integer(at: payload.lowerBound, as: UInt64.self), at: now)
    case .control:
      events.append(.control(payload))
    case .synchronize:
      guard awaitsPeerSynchronization else { throw .unexpectedFrame("synchronize outside a resume") }
      synchronizationDeadline = now + limits.deadAfterSilence
      guard payload.count % AckEntry.byteCount == 0 else { throw .malformedFrame("synchronize of \(payload.count) bytes") }
      for start in stride(from: payload.lowerBound, to: payload.upperBound, by: AckEntry.byteCount) {
        try synchronize(AckEntry(bytes, at: start), at: now)
      }
      if header.flags.contains(.end) { try finishSynchronization(peerHighest: header.stream, into: &events, at: now) }
    }
  }

  private func acknowledge(_ entry: AckEntry, into events: inout [SessionEvent], at now: Instant) throws(SessionError) {
    guard let stream = streams[entry.stream] else { return }
    guard entry.received <= stream.sent else { throw .unexpectedFrame("acknowledgement of bytes never sent") }
    if entry.received > stream.acknowledged {
      stream.acknowledged = entry.received
      stream.queue.drop(upTo: min(entry.received, stream.queue.endOffset))
    }
    if raiseCredit(of: stream, to: entry) {
      wake(stream, at: now)
      if stream.wantsWritable && capacity(of: stream) > 0 && !stream.isFinished {
        stream.wantsWritable = false
        events.append(.writable(stream.id))
      }
    }
    forgetIfDone(stream)
  }

  /// However much a peer grants, no stream holds more than `maximumWindow` unacknowledged.
  /// - Returns: whether the credit grew.
  private func raiseCredit(of stream: StreamState, to entry: AckEntry) -> Bool {
    let (ceiling, overflow) = stream.acknowledged.addingReportingOverflow(UInt64(limits.maximumWindow))
    let credit = min(entry.credit, overflow ? .max : ceiling)
    guard credit > stream.credit else { return false }
    stream.credit = credit
    return true
  }

  // MARK: Resume

  private func synchronize(_ entry: AckEntry, at now: Instant) throws(SessionError) {
    guard let stream = streams[entry.stream] else { return }
    guard entry.received >= stream.acknowledged, entry.received <= stream.sent else { throw .offsetMismatch(entry.stream) }
    synchronizedStreams.insert(entry.stream)
    if stream.sent > entry.received { counters.bytesReplayed += stream.sent - entry.received }
    stream.acknowledged = entry.received
    stream.sent = entry.received
    stream.queue.drop(upTo: min(entry.received, stream.queue.endOffset))
    _ = raiseCredit(of: stream, to: entry)
  }

  /// The peer has told all it knows. What it did not name is finished there, was reset there, or never reached it.
  private func finishSynchronization(peerHighest: StreamID, into events: inout [SessionEvent], at now: Instant) throws(SessionError) {
    guard role == .client || peerHighest <= highestStream else {
      throw .unexpectedFrame("synchronize names stream \(peerHighest), never opened")
    }
    awaitsPeerSynchronization = false
    synchronizationDeadline = .distantFuture
    events.append(.synchronized)
    for id in streams.keys.sorted() where !synchronizedStreams.contains(id) {
      let stream = streams[id]!
      if role == .relay && id > peerHighest {
        guard stream.acknowledged == 0, stream.received == 0 else { throw .offsetMismatch(id) }
        // Never arrived: begin again, in the order of opening whatever it had sent. A later stream that came first would hide it.
        counters.bytesReplayed += stream.sent
        stream.sent = 0
        stream.isAnnounced = false
        stream.burstByteCount = 0
      } else if stream.endReceived && stream.isFinished && stream.sent == stream.sendTotal {
        forget(stream)  // both ends had arrived; only acknowledgements were lost
      } else {
        forget(stream)
        events.append(.reset(id, .cancelled))
      }
    }
    synchronizedStreams.removeAll()
    scheduler.removeAll()  // what was queued meanwhile goes behind older streams
    for id in streams.keys.sorted() {
      let stream = streams[id]!
      forgetIfDone(stream)
      guard streams[id] != nil else { continue }
      wake(stream, at: now)
      if stream.wantsWritable && !stream.isFinished && capacity(of: stream) > 0 {
        stream.wantsWritable = false
        events.append(.writable(id))
      }
    }
  }
}
