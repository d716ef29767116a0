import CausewayBase
import CausewayPaths
import CausewayWire

// What leaves for the network. A run is for one path: datagrams of equal length, the last may be shorter, for one system call.

extension PeerLink {
  /// Bytes around an inner packet of a stock peer: header and tag.
  static let transportByteCount = 16 + 16
  static let headerByteCount = 16
  /// Headers of IPv4 and UDP around a datagram.
  static let outerByteCount = 28
  /// Most datagrams in a run: what UDP_SEGMENT takes.
  static let runDatagramLimit = 64
  /// Most bytes in a run over IPv4: 65,535 - 20 - 8.
  static let runByteLimit = 65_507

  func nextRun(into output: UnsafeMutablePointer<UInt8>, capacity: Int, at now: Instant) -> OutgoingRun? {
    if !pendingHandshakes.isEmpty { return unsafe nextHandshake(into: output) }
    guard let session = current, session.keys.isUsable(at: now) else {
      if !queue.isEmpty || keepalivePending { wantHandshake(at: now) }
      keepalivePending = false
      // Without keys nothing waits for a path's turn.
      sendWait = .distantFuture
      resendWait = .distantFuture
      return nil
    }
    if session.keys.isWornOut { wantHandshake(at: now) }
    if kind == .bond { return unsafe nextBondRun(session, output, min(capacity, Self.runByteLimit), now) }
    if helloPending, let path = path(.handshake), let run = unsafe nextHello(session, path, output, now) { return run }
    if awaitsHello(at: now) { return nil }
    return unsafe nextPlainRun(session, output, min(capacity, Self.runByteLimit), now)
  }

  private func nextHandshake(into output: UnsafeMutablePointer<UInt8>) -> OutgoingRun {
    let pending = pendingHandshakes.removeFirst()
    return unsafe engine.write(pending, into: output)
  }

  // MARK: Stock peers

  /// Packets as WireGuard has them: no frame, zeros to a multiple of 16 within the MTU. Nobody acknowledges them, so nothing is learned: they
  /// keep to a rate that the owner fixed, or to none.
  private func nextPlainRun(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    guard let path = path(.handshake), let route = path.route else { return nil }
    sendWait = .distantFuture
    let limit = innerMTU
    var run = self.run(path, route, 0)
    run.datagramCount = 0
    let isPaced = path.sender.rateLimit != .none
    let byteLimit = isPaced ? min(capacity, path.sender.runByteLimit) : capacity
    let isDue = !isPaced || path.sender.nextSendTime <= now
    if !isDue && !(queue.isEmpty && stash == .none) {
      sendWait = path.sender.nextSendTime
      queue.isEveryPathBusy = true
    }
    while isDue, run.datagramCount < Self.runDatagramLimit {
      guard let slot = takePacket(at: now) else { break }
      let length = pool[slot].length
      let padded = max(length, min((length + 15) & ~15, limit))
      let datagram = padded + Self.transportByteCount
      let trafficClass = outerTrafficClass(pool[slot])
      if run.datagramCount == 0 {
        run.segmentByteCount = datagram
        run.trafficClass = trafficClass
      } else if datagram > run.segmentByteCount || trafficClass != run.trafficClass {
        stash = slot
        break
      }
      if run.byteCount + datagram > (run.datagramCount > 0 ? byteLimit : capacity) {
        stash = slot
        break
      }
      finishChecksum(slot)
      // SAFETY: the slot has tailroom for the padding; the output has `capacity` bytes, checked above.
      let start = unsafe pool.address(slot) + PacketPool.headroom
      unsafe Self.clear(start + length, padded - length)
      unsafe session.seal(path.id, start, padded, to: output + run.byteCount)
      run.byteCount += datagram
      run.datagramCount += 1
      statistics.sentPackets &+= 1
      statistics.sentBytes &+= UInt64(length)
      pool.give(slot)
      if datagram < run.segmentByteCount { break }
    }
    if run.datagramCount > 0 {
      keepalivePending = false
      timers.sent(data: true, at: now)
      path.statistics.sentBytes &+= UInt64(run.byteCount)
      path.statistics.sentPackets &+= UInt64(run.datagramCount)
      if isPaced { path.sender.paced(run.byteCount &+ run.datagramCount &* Self.outerByteCount, at: now) }
      return run
    }
    guard keepalivePending else { return nil }
    keepalivePending = false
    unsafe session.seal(path.id, output, 0, to: output)
    timers.sent(data: false, at: now)
    return self.run(path, route, Self.transportByteCount)
  }

  @inline(__always) func takePacket(at now: Instant) -> PacketSlot? {
    if stash != .none {
      let slot = stash
      stash = .none
      return slot
    }
    return queue.dequeue(at: now)
  }

  /// ECN copied (RFC 6040 §4.1, normal mode), DSCP only on request.
  @inline(__always) func outerTrafficClass(_ info: PacketInfo) -> UInt8 {
    copiesDSCP ? info.trafficClass : info.trafficClass & 3
  }

  /// Completes a checksum that holds only the pseudo header's sum: for whoever can't be told.
  func finishChecksum(_ slot: PacketSlot) {
    guard pool[slot].flags.contains(.checksumPartial) else { return }
    pool[slot].flags.remove(.checksumPartial)
    let length = pool[slot].length
    pool.withBuffer(slot) { buffer in
      var packet = buffer._mutatingExtracting(PacketPool.headroom..<PacketPool.headroom + length)
      _ = TransportChecksum.finish(&packet)
    }
  }

  @inline(__always) static func clear(_ start: UnsafeMutablePointer<UInt8>, _ count: Int) {
    // SAFETY: the caller has the room.
    for index in 0..<count { unsafe start[index] = 0 }
  }

  // MARK: Our own

  private func nextBondRun(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    if controlPending {
      if let run = unsafe nextControl(session, output, capacity, now) { return run }
      controlPending = false
    }
    if let run = unsafe nextAcknowledgement(session, output, now) { return run }
    // Also where a path's end cut the round short: what is left of it goes out again.
    if !redundant.isEmpty, let run = unsafe nextRedundantRun(session, output, capacity, now) { return run }
    if !resends.isEmpty, let run = unsafe nextResendRun(session, output, capacity, now) { return run }
    if !copies.isEmpty, let run = unsafe nextCopy(session, output, now) { return run }
    if parity.hasRepair, let run = unsafe nextParity(session, output, now) { return run }
    if let run = unsafe nextDataRun(session, output, capacity, now) { return run }
    guard keepalivePending, let path = bestPath() else { return nil }
    keepalivePending = false
    return unsafe sealControl(session, path, nil, count: 0, flags: .unacknowledged, output, now)
  }

  private func nextDataRun(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    sendWait = .distantFuture
    guard let demand = nextDemand(at: now) else { return nil }
    refreshViews(at: now)
    let views = views
    let decision = scheduler.pick(views.span, demand, at: now)
    switch decision {
    case .path(let index):
      // A second copy by a faster path would undo what the scheduler meant.
      let copies = !demand.isBeginning || !isOutpaced(index)
      guard let run = unsafe fillRun(session, paths[index], copies: copies, output, capacity, now) else { return nil }
      scheduler.sent(run.byteCount, on: index, views.span)
      return run
    case .paths(let mask):
      takeRedundant(mask, limit: demand.isUrgent ? 1 : Self.redundantRunLimit, at: now)
      return unsafe nextRedundantRun(session, output, capacity, now)
    case .wait(let until):
      // A scheduler may wait for its best path while another is idle.
      queue.isEveryPathBusy = !views.contains { $0.isReady(at: now) }
      sendWait = until
      return nil
    case .none: return nil
    }
  }

  /// Bytes that the outer packet has beyond the inner one, for the schedulers' sums.
  var overhead: Int { Self.transportByteCount + DataHeader.byteCount + Self.outerByteCount }

  /// What is to be sent next, as a scheduler sees it; nil when nothing waits.
  private func nextDemand(at now: Instant) -> Demand? {
    guard stash == .none else {
      let byteCount = pool[stash].length + overhead
      return Demand(byteCount: byteCount, isUrgent: pool[stash].flags.contains(.urgent), backlogByteCount: queue.byteCount + byteCount)
    }
    guard let head = queue.peek(at: now) else { return nil }
    let length = pool[head.slot].length
    let isUrgent = pool[head.slot].flags.contains(.urgent) || head.isSparse && length <= Self.copyByteLimit
    var demand = Demand(
      byteCount: length + overhead, isUrgent: isUrgent,
      backlogByteCount: isUrgent || head.isSparse && !head.isBulk ? length + overhead : queue.byteCount)
    demand.isSparse = head.isSparse
    demand.isBulk = head.isBulk
    demand.isQuiet = head.isQuiet
    demand.isBeginning = head.isBeginning
    return demand
  }

  private func fillRun(
    _ session: Session, _ path: BondPath, copies: Bool, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant
  ) -> OutgoingRun? {
    guard let route = path.route else { return nil }
    var run = self.run(path, route, 0)
    run.datagramCount = 0
    let byteLimit = min(capacity, path.sender.runByteLimit)
    while true {
      let slot: PacketSlot
      var isAlone = false
      if stash != .none {
        slot = stash
      } else {
        guard let head = queue.peek(at: now) else { break }
        // Nothing else goes along on a path that was not chosen for its speed.
        if !copies, run.datagramCount > 0, !head.isBeginning { break }
        (slot, isAlone) = (head.slot, head.isSparse && head.isAlone)
      }
      let datagram = datagramByteCount(pool[slot].length)
      if datagram > path.datagramLimit {
        if run.datagramCount > 0 { break }
        guard takePacket(at: now) == slot else { break }
        number(slot)
        return unsafe fillFragments(session, path, route, slot, output, capacity, now)
      }
      let trafficClass = outerTrafficClass(pool[slot])
      if run.datagramCount == 0 {
        run.segmentByteCount = datagram
        run.trafficClass = trafficClass
      } else if datagram > run.segmentByteCount || trafficClass != run.trafficClass {
        break
      }
      guard takePacket(at: now) == slot else { break }
      number(slot)
      if path.wantsParity { protect(slot, at: now) }
      unsafe seal(session, path, slot, to: output + run.byteCount, at: now)
      if copies { considerCopy(slot, isAlone: isAlone, path, now) }
      run.byteCount += datagram
      run.datagramCount += 1
      if datagram < run.segmentByteCount || run.datagramCount == Self.runDatagramLimit || run.byteCount + run.segmentByteCount > byteLimit {
        break
      }
    }
    guard run.datagramCount > 0 else { return nil }
    finish(run, path, at: now)
    return run
  }

  /// The datagram around an inner packet: header, frame, packet with padding, tag.
  @inline(__always) func datagramByteCount(_ length: Int) -> Int { Self.transportByteCount + paddedByteCount(length) }

  @inline(__always) func paddedByteCount(_ length: Int) -> Int {
    let plain = length &+ DataHeader.byteCount
    return max(plain, min((plain &+ 15) & ~15, innerMTU &+ DataHeader.byteCount))
  }

  /// Gives a packet its place in the bond's order, once.
  @inline(__always) func number(_ slot: PacketSlot) {
    let header = stamper.stamp(bucket: UInt8(truncatingIfNeeded: pool[slot].flowHash))
    pool[slot].sequence = header.sequence
    pool[slot].previous = header.previous
    if !remoteFeatures.contains(.checksumPartial) { finishChecksum(slot) }
    statistics.sentPackets &+= 1
    statistics.sentBytes &+= UInt64(pool[slot].length)
  }

  /// Writes frame header and padding around the packet in its slot, encrypts it to `target`, and notes it as under way.
  @inline(__always) func seal(
    _ session: Session, _ path: BondPath, _ slot: PacketSlot, to target: UnsafeMutablePointer<UInt8>, isCopy: Bool = false, at now: Instant
  ) {
    let info = pool[slot]
    let padded = paddedByteCount(info.length)
    // SAFETY: headroom holds the frame header, tailroom the padding; the caller has room for the datagram.
    let start = unsafe pool.address(slot) + PacketPool.headroom - DataHeader.byteCount
    unsafe writeHeader(info, isCopy: isCopy, to: start)
    let plain = info.length &+ DataHeader.byteCount
    if padded != plain { unsafe Self.clear(start + plain, padded &- plain) }
    let counter = unsafe session.seal(path.id, start, padded, to: target)
    path.record(session, counter, byteCount: padded &+ Self.transportByteCount, token: slot, at: now)
    pool[slot].copies &+= 1
    if info.sentAt == .zero { pool[slot].sentAt = now }
  }

  @inline(__always) private func writeHeader(_ info: PacketInfo, isCopy: Bool, to start: UnsafeMutablePointer<UInt8>) {
    var flags = DataFlags()
    if info.flags.contains(.checksumPartial) { flags.insert(.checksumPartial) }
    if isCopy { flags.insert(.copy) }
    let header = DataHeader(
      flags: flags, bucket: UInt8(truncatingIfNeeded: info.flowHash), previous: info.previous, sequence: info.sequence)
    // SAFETY: eight bytes before the packet, in the slot's headroom.
    unsafe UnsafeMutableRawPointer(start).storeBytes(of: header.word.littleEndian, as: UInt64.self)
  }

  func finish(_ run: OutgoingRun, _ path: BondPath, at now: Instant) {
    path.statistics.sentBytes &+= UInt64(run.byteCount)
    path.statistics.sentPackets &+= UInt64(run.datagramCount)
    keepalivePending = false
    timers.sent(data: true, at: now)
  }

  /// A packet that the path can't carry whole.
  func fillFragments(
    _ session: Session, _ path: BondPath, _ route: Route, _ slot: PacketSlot, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int,
    _ now: Instant
  ) -> OutgoingRun? {
    let info = pool[slot]
    let total = info.length + DataHeader.byteCount
    let room = path.datagramLimit - Self.transportByteCount - FragmentHeader.byteCount
    guard let count = FragmentHeader.count(total: total, pieceLimit: room) else {
      pool.give(slot)
      engine.drops.count(.tooBigForPath)
      return nil
    }
    // SAFETY: as in `seal`.
    let start = unsafe pool.address(slot) + PacketPool.headroom - DataHeader.byteCount
    unsafe writeHeader(info, isCopy: false, to: start)
    let frame = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(start), count: total)
    var run = self.run(path, route, 0)
    run.datagramCount = 0
    run.trafficClass = outerTrafficClass(info)
    for index in 0..<count {
      guard let header = FragmentHeader(total: total, index: index, count: count, sequence: info.sequence) else { break }
      let written = engine.scratch.write(limit: path.datagramLimit) { out in _ = header.write(of: frame, into: &out) }
      let padded = (written + 15) & ~15
      let datagram = padded + Self.transportByteCount
      guard written > 0, run.byteCount + datagram <= capacity else { break }
      unsafe Self.clear(engine.scratch.base + written, padded - written)
      if index == 0 { run.segmentByteCount = datagram }
      let counter = unsafe session.seal(path.id, engine.scratch.base, padded, to: output + run.byteCount)
      path.record(session, counter, byteCount: datagram, token: slot, at: now)
      pool[slot].copies &+= 1
      run.byteCount += datagram
      run.datagramCount += 1
    }
    if pool[slot].sentAt == .zero { pool[slot].sentAt = now }
    pool[slot].flags.insert(.fragmented)
    finish(run, path, at: now)
    return run
  }

  // MARK: Views

  /// What the schedulers see: one entry for each path, in the order of `paths`.
  func refreshViews(at now: Instant) {
    let retiresHandshakePath = paths.count > 1 && hasOpenedPath
    var index = 0
    while index < paths.count {
      let path = paths[index]
      let view = path.sender.view(isOpen: path.isUsable && !path.isBlocked && !(retiresHandshakePath && path.id == .handshake))
      if index < views.count { views[index] = view } else { views.append(view) }
      index += 1
    }
    if views.count > paths.count { views.removeLast(views.count - paths.count) }
  }

  /// Whether a path other than that of the handshake proved itself.
  var hasOpenedPath: Bool {
    for path in paths where path.id != .handshake && path.isValidated && !path.isClosing { return true }
    return false
  }

  /// Where small messages about the paths go: the usable path with the least round trip, else any that may work.
  func bestPath(except avoided: PathID? = nil) -> BondPath? {
    var best: BondPath?
    var bestRank = (9, UInt64.max)
    for path in paths where path.route != nil && !path.isClosing && path.id != avoided {
      let rank: Int
      switch path.sender.state {
      case .normal:
        rank = path.isValidated ? (path.id == .handshake && hasOpenedPath ? 3 : path.sender.isDoubted ? 1 : 0) : 4
      case .unstable: rank = 2
      case .initializing: rank = path.id == .handshake ? 3 : 5
      case .lost: rank = 6
      }
      let key = (rank, path.sender.roundTrip.smoothed)
      if key < bestRank {
        bestRank = key
        best = path
      }
    }
    return best
  }
}
