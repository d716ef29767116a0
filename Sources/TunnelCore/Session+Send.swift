public import CausewayBase

extension Session {
  /// Whether `produce` would append anything now.
  public func hasOutput(at now: Instant) -> Bool {
    guard isAttached else { return false }
    if mustSynchronize || !pendingControl.isEmpty || !pendingPongs.isEmpty || heartbeat.wantsPing(at: now) { return true }
    if awaitsPeerSynchronization { return false }
    return !pendingResets.isEmpty || acknowledgeNow || !scheduler.isEmpty || (acknowledgementDeadline.map { $0 <= now } ?? false)
  }

  /// Appends frames to `out` until it holds about `target` bytes (at most one frame more) or nothing is ready. Control first,
  /// acknowledgements next, then data by the scheduler's order.
  public func produce(into out: ByteBuffer, upTo target: Int, at now: Instant) {
    guard isAttached else { return }
    let before = out.count
    produceControl(into: out, at: now)
    if mustSynchronize { produceSynchronization(into: out) }
    guard !awaitsPeerSynchronization else {
      counters.bytesSent += UInt64(out.count - before)
      return
    }
    let acknowledgementDue = acknowledgeNow || (acknowledgementDeadline.map { $0 <= now } ?? false)
    if acknowledgementDue || !scheduler.isEmpty { produceAcknowledgements(into: out) }
    while out.count < target, let stream = scheduler.next() { produceData(of: stream, into: out, at: now) }
    counters.bytesSent += UInt64(out.count - before)
  }

  /// Queues a control message (an encoded MessagePack map).
  public func sendControl(_ message: Span<UInt8>) {
    FrameHeader.appendControl(message, to: pendingControl)
  }

  // MARK: Time

  /// When `advance` is due: a ping, a late acknowledgement, a death. Nil while detached. After `advance` it lies in the future, also
  /// when what was due could not be sent yet: `hasOutput` tells that.
  public var nextDeadline: Instant? {
    guard isAttached else { return nil }
    return min(heartbeat.nextDeadline, acknowledgementDeadline ?? .distantFuture, synchronizationDeadline)
  }

  /// - Returns: false when the connection must be given up: nothing came for `deadAfterSilence`, or no synchronization after a resume.
  public func advance(to now: Instant) -> Bool {
    guard isAttached else { return true }
    heartbeat.advance(to: now)
    if let deadline = acknowledgementDeadline, deadline <= now {
      acknowledgementDeadline = nil
      acknowledgeNow = true
    }
    return !heartbeat.isDead(at: now) && now < synchronizationDeadline
  }

  // MARK: Inside

  private func produceControl(into out: ByteBuffer, at now: Instant) {
    if !pendingControl.isEmpty {
      let control = pendingControl
      out.append(control.bytes)
      control.removeAll()
      control.trim(above: 4096)
    }
    if !pendingPongs.isEmpty {
      for echo in pendingPongs {
        FrameHeader(.pong, payloadByteCount: 8).write(to: out)
        out.appendBigEndian(echo)
      }
      pendingPongs.removeAll(keepingCapacity: true)
    }
    if heartbeat.wantsPing(at: now) {
      FrameHeader(.ping, payloadByteCount: 8).write(to: out)
      out.appendBigEndian(now.nanoseconds)
      heartbeat.pingSent(at: now)
    }
    guard !mustSynchronize, !awaitsPeerSynchronization else { return }
    for (id, code) in pendingResets {
      FrameHeader(.reset, payloadByteCount: 2, stream: id).write(to: out)
      out.appendBigEndian(code.rawValue)
    }
    pendingResets.removeAll(keepingCapacity: true)
  }

  private func produceAcknowledgements(into out: ByteBuffer) {
    acknowledgeNow = false
    acknowledgementDeadline = nil
    dirty.removeAll { !$0.isDirty }  // reset meanwhile
    let total = dirty.count
    guard total > 0 else { return }
    let perFrame = (FrameHeader.maximumFrameByteCount - FrameHeader.byteCount) / AckEntry.byteCount
    var written = 0
    func beginFrameIfNeeded() {
      guard written % perFrame == 0 else { return }
      FrameHeader(.acknowledge, payloadByteCount: min(perFrame, total - written) * AckEntry.byteCount).write(to: out)
    }
    for stream in dirty {
      beginFrameIfNeeded()
      AckEntry(stream: stream.id, received: stream.received, credit: stream.window.credit).write(to: out)
      stream.isDirty = false
      stream.reportedReceived = stream.received
      written += 1
    }
    dirty.removeAll(keepingCapacity: true)
  }

  private func produceData(of stream: StreamState, into out: ByteBuffer, at now: Instant) {
    let ceiling = scheduler.othersWait ? limits.sharedFrame : FrameHeader.maximumDataByteCount
    let count = min(stream.sendableByteCount, ceiling)
    let endsStream = stream.isFinished && stream.sent + UInt64(count) == stream.queue.endOffset
    if count > 0 || endsStream {
      FrameHeader(.data, flags: endsStream ? .end : [], payloadByteCount: count + FrameHeader.offsetByteCount, stream: stream.id).write(
        to: out)
      out.appendBigEndian(stream.sent)
      stream.queue.copy(from: stream.sent, count: count, into: out)
      stream.sent += UInt64(count) + (endsStream ? 1 : 0)
      stream.isAnnounced = true
      stream.deficit -= count
      stream.burstByteCount += count
      stream.lastSent = now
    }
    if stream.sendableByteCount > 0 || stream.mustSendEnd {
      scheduler.putBack(stream)
    } else {
      stream.isQueued = false
    }
    if stream.wantsWritable && !stream.isFinished && stream.unsentByteCount <= limits.sendBacklog / 2 && capacity(of: stream) > 0 {
      stream.wantsWritable = false
      writable.append(stream.id)
    }
  }

  private func produceSynchronization(into out: ByteBuffer) {
    mustSynchronize = false
    let perFrame = (FrameHeader.maximumFrameByteCount - FrameHeader.byteCount) / AckEntry.byteCount
    let ids = streams.keys.sorted()
    var start = 0
    repeat {
      let end = min(start + perFrame, ids.count)
      let isLast = end == ids.count
      FrameHeader(
        .synchronize, flags: isLast ? .end : [], payloadByteCount: (end - start) * AckEntry.byteCount, stream: isLast ? highestStream : 0
      ).write(to: out)
      for id in ids[start..<end] {
        let stream = streams[id]!
        AckEntry(stream: id, received: stream.received, credit: stream.window.credit).write(to: out)
        stream.reportedReceived = stream.received
      }
      start = end
    } while start < ids.count
  }
}
