internal import CausewayBase

/// What an acknowledgement does: clears the scoreboard, samples round trips, finds losses, moves the window.
extension TCPSender {
  /// What one acknowledgement brought.
  private struct Progress {
    var delivered = 0
    var advanced = false
    /// Of the newest segment that was sent once, for HyStart; of the oldest, for the time-out.
    var newestSentAt: UInt64?
    var oldestSentAt: UInt64?
    var sackedSentAt: UInt64?
    var reportsDuplicate = false
    var rate = BBRController.RateSample()
    var rateSentAt: UInt64 = 0
  }

  func acknowledge(upTo segment: UInt64, _ header: TCPHeader, at now: UInt64) {
    if segment < board.unacknowledged { return }
    var progress = Progress()
    let lostBefore = board.lostCount
    let inFlightBefore = board.inFlight
    removeAcknowledged(upTo: segment, now, &progress)
    applyBlocks(header, upTo: segment, now, &progress)
    sampleRoundTrip(progress, now)
    if progress.advanced {
      timeoutCount = 0
      armTimeout(now)
    }
    endProbe(segment, progress)
    if rackAdvanced && (board.sackedCount > 0 || board.lostCount > 0) { detectLoss(now) }
    rackAdvanced = false
    if board.outCount == 0 { reorderAt = nil }
    changeState(header, progress, lostBefore: lostBefore, now)
    if bbr != nil { updateModel(&progress, lostBefore: lostBefore, inFlightBefore, now) }
    armProbe(now)
  }

  private func removeAcknowledged(upTo segment: UInt64, _ now: UInt64, _ progress: inout Progress) {
    progress.advanced = segment > board.unacknowledged
    while board.unacknowledged < segment {
      let number = board.unacknowledged
      let known = board.removeFirst()
      if known.isSacked { continue }
      progress.delivered += 1
      if !known.wasRetransmitted {
        progress.newestSentAt = known.sentAt
        if progress.oldestSentAt == nil { progress.oldestSentAt = known.sentAt }
        if number + 1 < highestSacked { noteReordering(Int(highestSacked - number)) }
      }
      noteDelivered(number, known, now, &progress)
    }
    if segment > mostOutUntil {
      mostOutUntil = board.next
      mostOut = board.outCount
    }
  }

  private func applyBlocks(_ header: TCPHeader, upTo segment: UInt64, _ now: UInt64, _ progress: inout Progress) {
    let size = UInt64(segmentByteCount)
    let origin = segment * size
    for index in 0..<header.blocks.count {
      let block = header.blocks[index]
      let start = WireSequence.unwrap(block.start &- base, near: origin) / size
      let end = WireSequence.unwrap(block.end &- base, near: origin) / size
      guard start < end else { continue }
      // A duplicate report: below the cumulative point, or inside the second block.
      if index == 0, start < segment || isInside(block, header) {
        progress.reportsDuplicate = true
        noteDuplicate(start)
        continue
      }
      guard start >= board.unacknowledged, end <= board.next else { continue }
      sack(start, end, now, &progress)
    }
    lastBlocks = header.blocks
  }

  private func isInside(_ block: (start: UInt32, end: UInt32), _ header: TCPHeader) -> Bool {
    guard header.blocks.count > 1 else { return false }
    let outer = header.blocks[1]
    return Int32(bitPattern: block.start &- outer.start) >= 0 && Int32(bitPattern: outer.end &- block.end) >= 0
  }

  private func sack(_ start: UInt64, _ end: UInt64, _ now: UInt64, _ progress: inout Progress) {
    // What the previous acknowledgement said already is skipped.
    var number = start
    while number < end {
      for index in 0..<lastBlocks.count {
        let known = lastBlocks[index]
        let size = UInt64(segmentByteCount)
        let knownStart = WireSequence.unwrap(known.start &- base, near: number * size) / size
        let knownEnd = WireSequence.unwrap(known.end &- base, near: number * size) / size
        if knownStart <= number && number < knownEnd && board[number].isSacked { number = min(end, max(number, knownEnd)) }
      }
      if number >= end { break }
      let known = board[number]
      if !known.isSacked {
        if !known.wasRetransmitted {
          if number + 1 < highestSacked { noteReordering(Int(highestSacked - number)) }
          progress.sackedSentAt = known.sentAt
        }
        board.markSacked(number)
        progress.delivered += 1
        noteDelivered(number, known, now, &progress)
      }
      number += 1
    }
    highestSacked = max(highestSacked, end)
  }

  // MARK: Round trips

  private func sampleRoundTrip(_ progress: Progress, _ now: UInt64) {
    guard let sentAt = progress.oldestSentAt ?? progress.sackedSentAt else { return }
    let sample = max(1, now - sentAt)
    if let newest = progress.newestSentAt ?? progress.sackedSentAt {
      least = min(least, max(1, now - newest))
      cubic.sample(delay: max(1, now - newest), acknowledged: board.unacknowledged, sent: board.next, at: now)
    }
    if smoothed == 0 {
      smoothed = sample
      variation = sample / 2
    } else {
      let difference = sample > smoothed ? sample - smoothed : smoothed - sample
      variation = (3 * variation + difference) / 4
      smoothed = (7 * smoothed + sample) / 8
    }
  }

  private func updateModel(_ progress: inout Progress, lostBefore: Int, _ inFlightBefore: Int, _ now: UInt64) {
    if applicationLimitedUntil != 0 && delivered > applicationLimitedUntil { applicationLimitedUntil = 0 }
    var sample = progress.rate
    if sample.delivered >= 0 {
      sample.delivered = Int(delivered - sample.priorDelivered)
      // Shorter than any round trip: acknowledgements were compressed.
      if sample.interval < least { sample.delivered = -1 }
    }
    sample.roundTrip = (progress.newestSentAt ?? progress.sackedSentAt).map { max(1, now - $0) }
    sample.acknowledged = progress.delivered
    sample.losses = max(0, board.lostCount - lostBefore)
    (sample.inFlight, sample.priorInFlight, sample.deliveredTotal) = (board.inFlight, inFlightBefore, delivered)
    bbr?.update(sample, isRecovering: state == .recovery || state == .loss, segmentByteCount: segmentByteCount, at: now)
  }

  // MARK: RACK (RFC 8985)

  private func noteDelivered(_ number: UInt64, _ segment: Scoreboard.Segment, _ now: UInt64, _ progress: inout Progress) {
    delivered += 1
    deliveredAt = now
    // The newest sending that is acknowledged is the sample.
    if progress.rate.delivered < 0 || (segment.sentAt, segment.delivered) >= (progress.rateSentAt, progress.rate.priorDelivered) {
      progress.rateSentAt = segment.sentAt
      progress.rate.delivered = 0
      progress.rate.priorDelivered = segment.delivered
      progress.rate.isApplicationLimited = segment.isApplicationLimited
      progress.rate.interval = max(segment.sentAt - min(segment.sentAt, segment.firstSentAt), now - segment.deliveredAt)
      firstSentAt = segment.sentAt
    }
    let roundTrip = now - segment.sentAt
    // An acknowledgement that comes too soon is for the first copy.
    if segment.wasRetransmitted && roundTrip < min(least, 1_000_000_000) { return }
    if segment.sentAt > rackSentAt || (segment.sentAt == rackSentAt && number > rackSegment) {
      (rackSentAt, rackSegment, rackRoundTrip, rackAdvanced) = (segment.sentAt, number, roundTrip, true)
    }
  }

  private func noteReordering(_ distance: Int) {
    reorderingSeen = true
    reordering = min(300, max(reordering, distance))
  }

  private func noteDuplicate(_ number: UInt64) {
    if undoRetransmissions > 0 { undoRetransmissions -= 1 }
    // Once a round trip the reordering window grows.
    if number >= lastDuplicateRound {
      lastDuplicateRound = board.next
      windowSteps = min(255, windowSteps + 1)
      windowStepsPersist = 16
    }
    reorderingSeen = true
  }

  private var reorderingWindow: UInt64 {
    if !reorderingSeen && (state == .recovery || state == .loss || board.sackedCount >= reordering) { return 0 }
    let base = least == .max ? 0 : least / 4
    return min(base * UInt64(windowSteps), smoothed)
  }

  func detectLoss(_ now: UInt64) {
    guard rackSentAt > 0 else { return }
    let longest = board.markLost(sentBefore: rackSentAt, rackSegment, olderThan: rackRoundTrip + reorderingWindow, at: now)
    reorderAt = longest > 0 ? Instant(nanoseconds: now + longest + 1000) : nil
  }

  private func endProbe(_ segment: UInt64, _ progress: Progress) {
    guard let point = probePoint, segment >= point || progress.reportsDuplicate else { return }
    probePoint = nil
  }

  // MARK: State

  private func changeState(_ header: TCPHeader, _ progress: Progress, lostBefore: Int, _ now: UInt64) {
    let newlyLost = board.lostCount > lostBefore
    // BBR pays no heed to marks.
    if header.flags & TCPHeader.echo != 0 && usesECN && state == .open && bbr == nil { enterReduced() }
    switch state {
    case .recovery, .loss:
      if tryUndo(header, progress) { break }
      if board.unacknowledged >= recoveryPoint { endRecovery() }
    case .reduced:
      if board.unacknowledged >= recoveryPoint { endRecovery() }
    case .open: break
    }
    if board.lostCount > 0 && state != .recovery && state != .loss { enterRecovery(newlyDelivered: progress.delivered) }
    if state == .reduced || state == .recovery {
      reduceProportionally(progress, newlyLost: newlyLost)
    } else if progress.delivered > 0, reordering > 3 ? progress.advanced || progress.delivered > 0 : progress.advanced, mayGrow {
      cubic.grow(by: progress.delivered, at: now)
    }
  }

  private var mayGrow: Bool { cubic.isInSlowStart ? cubic.window < 2 * max(mostOut, board.outCount) : isWindowLimited }

  private func startReduction() {
    if state == .open { (priorWindow, priorThreshold) = (cubic.window, cubic.slowStartThreshold) }
    bbr?.saveWindow()
    recoveryPoint = board.next
    if state != .reduced {
      cubic.reduce()
      (deliveredInReduction, sentInReduction) = (0, 0)
      reductionCount += 1
    }
  }

  private func enterReduced() {
    startReduction()
    owesReducedFlag = true
    undoMarker = nil
    state = .reduced
  }

  func enterRecovery(newlyDelivered: Int) {
    startReduction()
    undoMarker = board.unacknowledged
    undoRetransmissions = board.retransmissionCount
    firstRetransmission = nil
    state = .recovery
  }

  private func endRecovery() {
    if state != .loss || cubic.window > cubic.slowStartThreshold { cubic.setWindow(cubic.slowStartThreshold) }
    state = .open
    undoMarker = nil
    firstRetransmission = nil
    if windowStepsPersist > 0 {
      windowStepsPersist -= 1
      if windowStepsPersist == 0 { windowSteps = 1 }
    }
  }

  /// RFC 6937, as Linux does it.
  private func reduceProportionally(_ progress: Progress, newlyLost: Bool) {
    guard progress.delivered > 0 else { return }
    deliveredInReduction += progress.delivered
    let threshold = cubic.slowStartThreshold
    let room = threshold - board.inFlight
    var count: Int
    if room < 0 {
      count = (threshold * deliveredInReduction + priorWindow - 1) / max(1, priorWindow) - sentInReduction
    } else {
      count = max(deliveredInReduction - sentInReduction, progress.delivered)
      if progress.advanced && !newlyLost { count += 1 }
      count = min(room, count)
    }
    count = max(count, sentInReduction > 0 ? 0 : 1)
    cubic.setWindow(board.inFlight + count)
  }

  /// Takes a reduction back when what was sent again had arrived anyhow: the acknowledgement echoes a timestamp older than the first
  /// retransmission (RFC 3522), or every retransmission came back as a duplicate (RFC 2883).
  private func tryUndo(_ header: TCPHeader, _ progress: Progress) -> Bool {
    guard undoMarker != nil else { return false }
    let allDuplicates = progress.reportsDuplicate && undoRetransmissions == 0 && firstRetransmission != nil
    let isOlder = firstRetransmission.map { Int32(bitPattern: header.echoedTimestamp &- $0) < 0 } ?? true
    guard allDuplicates || (progress.advanced && isOlder) else { return false }
    board.clearLost()
    cubic.undo(window: priorWindow, threshold: priorThreshold)
    bbr?.undo()
    undoMarker = nil
    firstRetransmission = nil
    undoCount += 1
    state = .open
    return true
  }
}
