import CausewayBase
import CausewayPaths
import CausewayWire

// Packets that go more than once from the start: small urgent ones a second time where that is nearly free, and all of them on every path
// under `redundant`.

extension PeerLink {
  /// Whether another path is clearly faster than this one.
  func isOutpaced(_ index: Int) -> Bool {
    let own = views[index].smoothedRoundTrip
    for view in views where view.isUsable && view.smoothedRoundTrip &+ view.smoothedRoundTrip / 4 &+ Self.alternationSlack < own {
      return true
    }
    return false
  }

  static let copyByteLimit = 200
  static let copyQueueLimit = 32

  /// A small packet that is urgent, or alone in its flow, goes a second time when another path has nothing better to do.
  @inline(__always) func considerCopy(_ slot: PacketSlot, isAlone: Bool, _ path: BondPath, _ now: Instant) {
    let info = pool[slot]
    guard info.flags.contains(.urgent) || isAlone, info.length <= Self.copyByteLimit, duplicates, views.count > 1 else { return }
    planCopy(slot, path, now)
  }

  private func planCopy(_ slot: PacketSlot, _ path: BondPath, _ now: Instant) {
    guard copies.count < Self.copyQueueLimit else { return }
    let own = Int(pathIndex[Int(path.id.rawValue)])
    guard let index = earliestIndex(byteCount: Self.copyByteLimit, at: now, except: own), views[index].isReady(at: now),
      paths[index].datagramLimit >= datagramByteCount(pool[slot].length)
    else { return }
    pool[slot].copies &+= 1
    copies.append((slot, paths[index].id))
  }

  func nextCopy(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    while let (slot, id) = copies.popLast() {
      pool[slot].copies &-= 1  // the plan's hold; the datagram takes its own
      guard let path = path(id), path.isUsable, let route = path.route, !pool[slot].flags.contains(.settled) else {
        releaseIfUnheld(slot)
        continue
      }
      let datagram = datagramByteCount(pool[slot].length)
      unsafe seal(session, path, slot, to: output, isCopy: true, at: now)
      statistics.copiesSent &+= 1
      var run = self.run(path, route, datagram)
      run.trafficClass = outerTrafficClass(pool[slot])
      finish(run, path, at: now)
      return run
    }
    return nil
  }

  func releaseIfUnheld(_ slot: PacketSlot) {
    let info = pool[slot]
    guard info.copies == 0, !info.flags.contains(.queued) else { return }
    if info.flags.contains(.settled) { pool.give(slot) } else { requeue(slot) }
  }

  /// Whether the second copy of a small packet is on so much slower a path that the lost first one, sent again, comes before it.
  func isOvertakable(_ info: PacketInfo, lostOn path: BondPath, at now: Instant) -> Bool {
    guard info.length <= Self.copyByteLimit, info.flags.isDisjoint(with: [.settled, .fragmented, .resent]), engine.configuration.repairs,
      path.isUsable
    else { return false }
    refreshViews(at: now)
    let views = views
    let scale = ArrivalScale(views.span)
    var (ownTime, copyTime) = (Double.infinity, Double.infinity)
    for index in views.indices where views[index].isUsable {
      let delay = scale.delay(views[index])
      if paths[index] === path { ownTime = delay } else { copyTime = min(copyTime, delay) }
    }
    return Double(now.nanoseconds(since: info.sentAt)) + ownTime < copyTime
  }

  // MARK: Redundant

  static let redundantRunLimit = 16

  /// Takes the packets of the next run that every path of `mask` is to carry.
  func takeRedundant(_ mask: UInt64, limit: Int, at now: Instant) {
    guard redundant.isEmpty else { return }
    while redundant.count < limit, let slot = takePacket(at: now) {
      number(slot)
      pool[slot].copies &+= 1  // held by the list
      redundant.append(slot)
    }
    redundantPaths = redundant.isEmpty ? 0 : mask
    redundantNext = 0
  }

  /// One path's copy of the run, or of as much of it as has one length.
  func nextRedundantRun(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    while redundantPaths != 0 {
      let index = redundantPaths.trailingZeroBitCount
      guard index < paths.count, let route = paths[index].route, redundantNext < redundant.count else {
        redundantPaths &= redundantPaths - 1
        redundantNext = 0
        continue
      }
      let path = paths[index]
      var run = self.run(path, route, 0)
      run.datagramCount = 0
      while redundantNext < redundant.count {
        let slot = redundant[redundantNext]
        let datagram = datagramByteCount(pool[slot].length)
        if datagram > path.datagramLimit {
          if run.datagramCount > 0 { break }
          redundantNext += 1
          if let fragments = unsafe fillFragments(session, path, route, slot, output, capacity, now) { return fragments }
          continue
        }
        if run.datagramCount == 0 {
          run.segmentByteCount = datagram
          run.trafficClass = outerTrafficClass(pool[slot])
        } else if datagram > run.segmentByteCount || run.byteCount + datagram > capacity {
          break
        }
        unsafe seal(session, path, slot, to: output + run.byteCount, isCopy: true, at: now)
        redundantNext += 1
        run.byteCount += datagram
        run.datagramCount += 1
        if datagram < run.segmentByteCount { break }
      }
      if run.datagramCount > 0 {
        statistics.copiesSent &+= UInt64(run.datagramCount)
        finish(run, path, at: now)
        return run
      }
    }
    for slot in redundant {
      pool[slot].copies &-= 1
      releaseIfUnheld(slot)
    }
    redundant.removeAll(keepingCapacity: true)
    return nil
  }
}
