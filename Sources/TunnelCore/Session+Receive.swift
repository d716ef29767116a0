public import CausewayBase

extension Session {
  /// Takes bytes of the present connection and appends what follows from them to `events`; ranges point into `bytes`.
  /// - Returns: how many bytes were used. The rest is the beginning of a frame: give it again with more behind it.
  public func receive(_ bytes: Span<UInt8>, at now: Instant, into events: inout [SessionEvent]) throws(SessionError) -> Int {
    heartbeat.received(at: now)
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

  private func beginData(_ header: FrameHeader, at streamOffset: UInt64, into events: inout [SessionEvent], at now: Instant) throws(SessionError) {
    let count = header.payloadByteCount - FrameHeader.offsetByteCount
    receiver = ReceiverState(stream: header.stream, remaining: count, endsStream: header.flags.contains(.end), isDropped: false)
    if streams[header.stream] == nil {
      guard role == .client, header.stream > highestStream else {
        // Frames of a stream that we reset or finished may still be under way.
        guard header.stream != 0, header.stream <= highestStream else { throw .unexpectedFrame("data for stream \(header.stream), never opened") }
        receiver.isDropped = true
        return
      }
      guard streamOffset == 0, count > 0 else { throw .offsetMismatch(header.stream) }
      guard streams.count < limits.maximumStreams else { throw .tooManyStreams }
      highestStream = header.stream
      streams[header.stream] = StreamState(id: header.stream, pool: pool, limits: limits)
      events.append(.opened(header.stream))
    }
    let stream = streams[header.stream]!
    guard !stream.endReceived, streamOffset == stream.received else { throw .offsetMismatch(header.stream) }
    guard stream.received + UInt64(count) <= stream.window.credit else { throw .creditExceeded(header.stream) }
    if count == 0 { receivePart(0..<0, into: &events, at: now) }
  }

  /// A piece of the current data frame's payload.
  private func receivePart(_ range: Range<Int>, into events: inout [SessionEvent], at now: Instant) {
    guard !receiver.isDropped, let stream = streams[receiver.stream] else { return }
    stream.received += UInt64(range.count)
    if !range.isEmpty { events.append(.data(stream.id, range)) }
    if receiver.remaining == 0 && receiver.endsStream {
      stream.endReceived = true
      stream.received += 1
      events.append(.end(stream.id))
    }
    markDirty(stream)
    if stream.received - stream.reportedReceived >= UInt64(limits.acknowledgementThreshold) {
      acknowledgeNow = true
    } else if acknowledgementDeadline == nil {
      acknowledgementDeadline = now + limits.acknowledgementDelay
    }
    if stream.endReceived { forgetIfDone(stream) }
  }

  private func receiveWhole(_ header: FrameHeader, _ bytes: Span<UInt8>, _ payload: Range<Int>, into events: inout [SessionEvent], at now: Instant)
    throws(SessionError)
  {
    switch header.kind {
    case .data: return  // handled by `beginData`
    case .acknowledge:
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
    if entry.credit > stream.credit {
      stream.credit = entry.credit
      wake(stream, at: now)
      if stream.wantsWritable && capacity(of: stream) > 0 && !stream.isFinished {
        stream.wantsWritable = false
        events.append(.writable(stream.id))
      }
    }
    forgetIfDone(stream)
  }

  // MARK: Resume

  private func synchronize(_ entry: AckEntry, at now: Instant) throws(SessionError) {
    synchronizedStreams.insert(entry.stream)
    guard let stream = streams[entry.stream] else { return }
    guard entry.received >= stream.acknowledged, entry.received <= stream.sendTotal else { throw .offsetMismatch(entry.stream) }
    if stream.sent > entry.received { counters.bytesReplayed += stream.sent - entry.received }
    stream.acknowledged = entry.received
    stream.sent = entry.received
    stream.queue.drop(upTo: min(entry.received, stream.queue.endOffset))
    stream.credit = max(stream.credit, entry.credit)
  }

  /// The peer has told all it knows. What it did not name is finished there, was reset there, or never reached it.
  private func finishSynchronization(peerHighest: StreamID, into events: inout [SessionEvent], at now: Instant) throws(SessionError) {
    awaitsPeerSynchronization = false
    events.append(.synchronized)
    for id in streams.keys.sorted() where !synchronizedStreams.contains(id) {
      let stream = streams[id]!
      if role == .relay && id > peerHighest {
        guard stream.acknowledged == 0 else { throw .offsetMismatch(id) }
        stream.sent = 0  // never arrived: begin again
        stream.isAnnounced = false
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
