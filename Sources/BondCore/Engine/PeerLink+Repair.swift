import CausewayBase
import CausewayPaths
import CausewayWire

// What becomes of packets that are under way: acknowledged, lost and sent again, given up.
//
// A slot with a sequence number is in exactly one of these conditions: `copies > 0` (datagrams under way hold it), queued in `resends`,
// or in `copies`/`redundant` (which count as copies). When the last hold goes it returns to the pool.

extension PeerLink {
  /// Applies what `engine.outcome` says. Tokens are slots, or control tokens above `ControlToken.first`.
  func applyOutcome(of path: BondPath, at now: Instant) {
    feedMTUSearch(path, at: now)
    for token in engine.outcome.acknowledged {
      if token >= ControlToken.first { controlAcknowledged(token) } else { acknowledged(token) }
    }
    for token in engine.outcome.lost {
      if token >= ControlToken.first { controlLost(token) } else { lost(token, on: path, at: now) }
    }
    engine.outcome.removeAll()
  }

  /// Full-size packets that vanish while small ones arrive make a path MTU doubtful (RFC 8899 §4.3).
  private func feedMTUSearch(_ path: BondPath, at now: Instant) {
    guard !engine.outcome.lost.isEmpty || path.mtuSearch?.isDoubtful == true else { return }
    let overhead = path.route?.overheadByteCount ?? 28
    for token in engine.outcome.acknowledged {
      let byteCount = token >= ControlToken.first ? Self.transportByteCount : datagramByteCount(pool[token].length)
      path.mtuSearch?.acknowledged(byteCount: min(byteCount, path.datagramLimit) + overhead)
    }
    for token in engine.outcome.lost where token < ControlToken.first {
      let byteCount = min(datagramByteCount(pool[token].length), path.datagramLimit) + overhead
      path.mtuSearch?.lost(byteCount: byteCount, at: now, &path.mtuFacts)
    }
    if path.takeMTUFacts() { controlPending = true }
  }

  @inline(__always) private func acknowledged(_ slot: PacketSlot) {
    var info = pool[slot]
    info.copies &-= 1
    if info.flags.contains(.fragmented) {
      // Whole only when every piece arrived.
      pool[slot] = info
      if info.copies == 0 { info.flags.contains(.damaged) ? requeue(slot) : retire(slot) }
      return
    }
    if !info.flags.contains(.settled) {
      info.flags.insert(.settled)
      stamper.settle(bucket: UInt8(truncatingIfNeeded: info.flowHash))
    }
    pool[slot] = info
    if info.copies == 0 && !info.flags.contains(.queued) { pool.give(slot) }
  }

  /// The last hold of a slot went.
  private func retire(_ slot: PacketSlot) {
    let info = pool[slot]
    if !info.flags.contains(.settled) { stamper.settle(bucket: UInt8(truncatingIfNeeded: info.flowHash)) }
    pool.give(slot)
  }

  private func lost(_ slot: PacketSlot, on path: BondPath, at now: Instant) {
    pool[slot].copies &-= 1
    if pool[slot].flags.contains(.fragmented) { pool[slot].flags.insert(.damaged) }
    let info = pool[slot]
    guard !info.flags.contains(.queued) else { return }
    guard info.copies == 0 else {
      if isOvertakable(info, lostOn: path, at: now) { requeue(slot) }
      return
    }
    if info.flags.contains(.settled) { return pool.give(slot) }
    if engine.configuration.repairs { requeue(slot) } else { abandon(slot) }
  }

  func requeue(_ slot: PacketSlot) {
    pool[slot].flags.insert(.queued)
    pool[slot].flags.remove(.damaged)
    resends.append(slot, pool)
  }

  /// Nobody need wait for it any more: the receiver is told, so that what it holds back comes free.
  func abandon(_ slot: PacketSlot) {
    let info = pool[slot]
    let bucket = UInt8(truncatingIfNeeded: info.flowHash)
    statistics.abandonedPackets &+= 1
    noteSkip(Skip(bucket: bucket, sequence: info.sequence))
    retire(slot)
  }

  static let skipLimit = 64

  private func noteSkip(_ skip: Skip) {
    for index in skips.indices where skips[index].bucket == skip.bucket {
      if Int32(bitPattern: skip.sequence &- skips[index].sequence) > 0 { skips[index] = skip }
      return
    }
    if skips.count < Self.skipLimit { skips.append(skip) }  // beyond it the receiver's own limit ends its wait
    controlPending = true
  }

  /// Resends that no path will take in time are given up.
  func abandonLate(at now: Instant) {
    let limit = UInt64(engine.configuration.limits.repairDeadline.wholeNanoseconds)
    while resends.head != .none, now.nanoseconds(since: pool[resends.head].sentAt) > limit {
      guard let slot = resends.popFirst(pool) else { return }
      pool[slot].flags.remove(.queued)
      if pool[slot].flags.contains(.settled) {
        if pool[slot].copies == 0 { pool.give(slot) }
      } else if pool[slot].copies == 0 {
        abandon(slot)
      }
    }
  }

  /// Lost packets again, each on the path where it arrives first.
  func nextResendRun(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    resendWait = .distantFuture
    abandonLate(at: now)
    guard !resends.isEmpty else { return nil }
    refreshViews(at: now)
    let head = pool[resends.head].length + overhead
    // What has a copy under way may take its chance on a path that is silent.
    guard let index = earliestIndex(byteCount: head, at: now, fearsSilence: pool[resends.head].copies == 0) else {
      // No path: what waits is given up in time.
      let limit = UInt64(engine.configuration.limits.repairDeadline.wholeNanoseconds)
      resendWait = Instant(nanoseconds: pool[resends.head].sentAt.nanoseconds &+ limit &+ 1)
      return nil
    }
    // Budgets may be passed over, the pace not: what a dead path had in flight would stand in the others' queues.
    resendWait = views[index].nextSend
    guard resendWait <= now else { return nil }
    let path = paths[index]
    guard let route = path.route else { return nil }
    var run = self.run(path, route, 0)
    run.datagramCount = 0
    let byteLimit = min(capacity, max(path.sender.runByteLimit, 2048))
    while resends.head != .none, run.datagramCount < Self.runDatagramLimit {
      let slot = resends.head
      let datagram = datagramByteCount(pool[slot].length)
      if pool[slot].flags.contains(.settled) {  // an acknowledgement came late
        _ = resends.popFirst(pool)
        pool[slot].flags.remove(.queued)
        if pool[slot].copies == 0 { pool.give(slot) }
        continue
      }
      if datagram > path.datagramLimit {
        if run.datagramCount > 0 { break }
        _ = resends.popFirst(pool)
        pool[slot].flags.remove(.queued)
        statistics.resentPackets &+= 1
        return unsafe fillFragments(session, path, route, slot, output, capacity, now)
      }
      if run.datagramCount == 0 {
        run.segmentByteCount = datagram
        run.trafficClass = outerTrafficClass(pool[slot])
      } else if datagram > run.segmentByteCount || run.byteCount + datagram > byteLimit {
        break
      }
      _ = resends.popFirst(pool)
      pool[slot].flags.remove(.queued)
      pool[slot].flags.remove(.fragmented)
      pool[slot].flags.insert(.resent)
      unsafe seal(session, path, slot, to: output + run.byteCount, isCopy: true, at: now)
      statistics.resentPackets &+= 1
      run.byteCount += datagram
      run.datagramCount += 1
      if datagram < run.segmentByteCount { break }
    }
    guard run.datagramCount > 0 else { return nil }
    let views = views
    scheduler.sent(run.byteCount, on: index, views.span)
    finish(run, path, at: now)
    return run
  }

  /// The usable path on which so many bytes arrive first, its pace and queue included, though not its budget: a repair goes before
  /// everything else. Nil when no path is usable.
  func earliestIndex(byteCount: Int, at now: Instant, except avoided: Int = -1, fearsSilence: Bool = true) -> Int? {
    var best: Int?
    var bestTime = UInt64.max
    let views = views
    let scale = ArrivalScale(views.span)
    for index in views.indices where views[index].isUsable && index != avoided {
      let view = views[index]
      let wait = view.nextSend.nanoseconds(since: now)
      let service = UInt64(byteCount) &* 1_000_000_000 / max(view.capacity, 1)
      var time = wait &+ service &+ UInt64(scale.delay(view))
      if fearsSilence, paths[index].sender.isSilent(at: now) { time &+= Self.silenceCost }
      if time < bestTime {
        bestTime = time
        best = index
      }
    }
    return best
  }

  /// So much later a packet counts as arriving on a path whose acknowledgements are overdue, in nanoseconds.
  static let silenceCost: UInt64 = 60_000_000
}

/// Tokens of control packets, above every slot number.
enum ControlToken {
  static let first: UInt32 = 0xFFFF_FF00
  static let plain: UInt32 = 0xFFFF_FF00
  static let paths: UInt32 = 0xFFFF_FF01
  static let parameters: UInt32 = 0xFFFF_FF02
  static let suspicion: UInt32 = 0xFFFF_FF03
}
