import CausewayBase
import CausewayPaths
import CausewayWire

// What two of ours tell each other about their paths. Small datagrams of their own, so that data keep their length.

extension PeerLink {
  /// Gap between two tellings of PATHS that nobody acknowledged.
  static let pathsInterval: UInt64 = 200_000_000
  static let helloLimit = 3
  /// Between two times that an end asks because frames came before a HELLO, and what the last HELLO waits for its answer.
  static let helloInterval: UInt64 = 1_000_000_000
  /// What the first and the second wait: until the answer nothing else can be sent, so one that is lost goes again soon.
  static let firstHelloInterval: UInt64 = 250_000_000
  static let secondHelloInterval: UInt64 = 750_000_000
  /// From the first packet under new keys to the verdict that who asked for them is a stock peer: three HELLOs, and what the last takes.
  static let strangerPatience: UInt64 = 3_500_000_000
  /// PARAM goes again when the wish moved by an eighth, at most ten times a second.
  static let parametersInterval: UInt64 = 100_000_000
  /// What a resend may wait for the pace of its path, in nanoseconds.
  static let resendSlack: UInt64 = 5_000_000
  /// Microseconds that a receiver is ever asked to hold a packet.
  static let longestHold: UInt64 = 300_000
  /// Largest control payload but for padded probes: fits every path.
  static let controlByteLimit = 1024

  // MARK: One control datagram

  /// Encrypts what `engine.scratch` holds.
  func sealControl(
    _ session: Session, _ path: BondPath, _ route: Route?, count: Int, flags: SentFlags, token: UInt32 = ControlToken.plain,
    _ output: UnsafeMutablePointer<UInt8>, _ now: Instant
  ) -> OutgoingRun? {
    guard let route = route ?? path.route else { return nil }
    let padded = (count + 15) & ~15
    // SAFETY: the scratch memory is longer than any control payload by far more than 15 bytes.
    unsafe Self.clear(engine.scratch.base + count, padded - count)
    let counter = unsafe session.seal(path.id, engine.scratch.base, padded, to: output)
    let datagram = padded + Self.transportByteCount
    path.record(session, counter, byteCount: datagram, token: token, flags: flags, at: now)
    path.statistics.sentBytes &+= UInt64(datagram)
    path.statistics.sentPackets &+= 1
    timers.sent(data: false, at: now)
    return run(path, route, datagram)
  }

  /// One datagram of a path.
  func run(_ path: BondPath, _ route: Route, _ byteCount: Int) -> OutgoingRun {
    var run = OutgoingRun(route: route, byteCount: byteCount, segmentByteCount: byteCount, datagramCount: 1)
    run.peer = id
    run.path = path.id
    run.dontFragment = kind == .bond
    return run
  }

  func nextHello(_ session: Session, _ path: BondPath, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    helloPending = false
    helloAttempts += 1
    let interval = helloAttempts == 1 ? Self.firstHelloInterval : helloAttempts == 2 ? Self.secondHelloInterval : Self.helloInterval
    helloDeadline = Instant(nanoseconds: now.nanoseconds + interval)
    let hello = localHello
    let count = engine.scratch.write(limit: Self.controlByteLimit) { out in _ = hello.write(isAcknowledgement: false, into: &out) }
    return unsafe sealControl(session, path, nil, count: count, flags: .unacknowledged, output, now)
  }

  /// The first goes where the handshake was just answered, the others on whatever looks best.
  private var helloTarget: BondPath? {
    if helloAttempts == 0, let path = path(.handshake), path.route != nil { return path }
    return bestPath()
  }

  var localHello: Hello {
    Hello(
      features: [.repair, .fragments, .checksumPartial, .capacity], bootID: localBootID,
      shardCount: UInt8(clamping: engine.configuration.shardCount))
  }

  /// The next thing that is due to be said, or nil when there is nothing.
  func nextControl(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ now: Instant) -> OutgoingRun? {
    if helloPending, let path = helloTarget, let run = unsafe nextHello(session, path, output, now) { return run }
    if helloAcknowledgementPending, let path = helloPath ?? bestPath() {
      helloAcknowledgementPending = false
      helloPath = nil
      let hello = localHello
      let count = engine.scratch.write(limit: Self.controlByteLimit) { out in _ = hello.write(isAcknowledgement: true, into: &out) }
      if let run = unsafe sealControl(session, path, nil, count: count, flags: .unacknowledged, output, now) { return run }
    }
    for path in paths { if let run = unsafe nextPathControl(path, session, output, now) { return run } }
    return unsafe nextReport(session, output, now)
  }

  // MARK: On one path

  private func nextPathControl(
    _ path: BondPath, _ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant
  ) -> OutgoingRun? {
    if let pending = path.pendingEchoes.popLast() {
      let count = engine.scratch.write(limit: Self.controlByteLimit) { out in _ = pending.echo.write(into: &out) }
      return unsafe sealControl(session, path, pending.route, count: count, flags: .unacknowledged, output, now)
    }
    if var candidate = path.candidate, candidate.isPending {
      candidate.isPending = false
      candidate.probesLeft -= 1
      candidate.deadline = Instant(nanoseconds: now.nanoseconds + BondPath.candidateInterval)
      path.candidate = candidate
      let probe = Probe(id: 0, sentMicroseconds: now.nanoseconds / 1000, challenge: candidate.challenge)
      let count = engine.scratch.write(limit: Self.controlByteLimit) { out in _ = probe.write(into: &out) }
      return unsafe sealControl(session, path, candidate.route, count: count, flags: .unacknowledged, output, now)
    }
    if path.pendingProbe != 0, path.route != nil {
      let id = path.pendingProbe
      path.pendingProbe = 0
      path.sender.probeSent(id, at: now)
      let probe = Probe(id: id, sentMicroseconds: now.nanoseconds / 1000, challenge: path.challenge)
      let count = engine.scratch.write(limit: Self.controlByteLimit) { out in _ = probe.write(into: &out) }
      return unsafe sealControl(session, path, nil, count: count, flags: [.unacknowledged, .control], output, now)
    }
    if path.isValidated, let route = path.route, let probe = path.pendingMTUProbes.popLast() {
      let plain = probe.byteCount - route.overheadByteCount - Self.transportByteCount
      guard plain >= Probe.byteCount, plain <= engine.scratch.byteCount - 16 else { return nil }
      let frame = Probe(id: probe.id, sentMicroseconds: now.nanoseconds / 1000, challenge: path.challenge)
      let count = engine.scratch.write(limit: plain) { out in _ = frame.write(into: &out, paddedByteCount: plain) }
      return unsafe sealProbe(session, path, count: count, output, now)
    }
    return nil
  }

  /// A padded probe: of exactly the size under test, not rounded.
  private func sealProbe(
    _ session: Session, _ path: BondPath, count: Int, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant
  ) -> OutgoingRun? {
    guard let route = path.route, count > 0 else { return nil }
    let counter = unsafe session.seal(path.id, engine.scratch.base, count, to: output)
    let datagram = count + Self.transportByteCount
    path.record(session, counter, byteCount: datagram, token: ControlToken.plain, flags: [.unacknowledged, .control], at: now)
    timers.sent(data: false, at: now)
    return run(path, route, datagram)
  }

  // MARK: On the best path

  private func nextReport(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    let tellsPaths = !pathsAcknowledged && now >= pathsDeadline
    guard !suspicions.isEmpty || tellsPaths || parametersPending || !skips.isEmpty else {
      return capacitiesPending ? unsafe nextCapacities(session, output, now) : nil
    }
    guard let path = bestPath(except: suspicions.first?.path) ?? bestPath() else { return nil }
    var entries: [PathAnnouncement] = []
    if tellsPaths { entries = announcements }
    var token = ControlToken.plain
    let count = engine.scratch.write(limit: Self.controlByteLimit) { out in
      while let suspicion = suspicions.first, suspicion.write(into: &out) != nil {
        suspicions.removeFirst()
        token = ControlToken.suspicion
      }
      while let skip = skips.last, skip.write(into: &out) != nil { skips.removeLast() }
      if parametersPending, parameters.write(into: &out) != nil {
        parametersPending = false
        parametersSentAt = now
        token = ControlToken.parameters
      }
      if tellsPaths, PathList.write(sequence: pathsSequence, entries.span, into: &out) != nil {
        pathsDeadline = Instant(nanoseconds: now.nanoseconds + Self.pathsInterval)
        token = ControlToken.paths
      }
    }
    return unsafe sealControl(session, path, nil, count: count, flags: .control, token: token, output, now)
  }

  /// What this side says of the paths it opened.
  private var announcements: [PathAnnouncement] {
    var list: [PathAnnouncement] = []
    for path in paths {
      guard let uplink = path.uplink, uplink < settings.uplinks.count else { continue }
      let own = settings.uplinks[uplink]
      let state: PathAnnouncement.State = path.isClosing ? .closing : own.preference > 0 ? .backup : .open
      list.append(
        PathAnnouncement(
          path: path.id, state: state, preference: UInt8(clamping: own.preference), weight: UInt16(clamping: own.weight),
          rateLimitKilobits: UInt32(clamping: own.rateDown / 1000)))
    }
    return list
  }

  /// Our paths changed: tell the peer until it says that it heard.
  func tellPaths(at now: Instant) {
    pathsSequence &+= 1
    pathsAcknowledged = false
    pathsDeadline = now
    controlPending = true
  }

  func controlAcknowledged(_ token: UInt32) {
    guard token == ControlToken.paths else { return }
    pathsAcknowledged = true
    retiresPaths = true  // not here: the paths are being walked
  }

  func controlLost(_ token: UInt32) {
    switch token {
    case ControlToken.paths:
      pathsDeadline = .zero
      controlPending = true
    case ControlToken.parameters:
      parametersPending = true
      controlPending = true
    default: break
    }
  }

  /// The hold limit that our paths make sensible, told when it moved: the usual round trip of the slowest path, a tenth and 15 ms for
  /// detection and the resend (docs/bond.md, "The order of packets"); where packets come later than round trips scatter, as they overtook
  /// each other or TCP had to repeat some, that time.
  func updateParameters(at now: Instant) {
    var longest: UInt64 = 0
    var detection: UInt64 = 0
    for path in paths where carriesData(path) {
      longest = max(longest, path.sender.roundTrip.usualLimit)
      detection = max(detection, path.sender.lateLimit)
    }
    guard longest > 0 else { return }
    let limit = max(longest &+ longest / 10 &+ 15_000_000, detection > 0 ? detection &+ Self.resendSlack : 0) / 1000
    // A packet mended by parity comes when its group is full: later than any resend.
    let wish = parity.isActive ? UInt32(Self.longestHold) : UInt32(clamping: min(limit, Self.longestHold))
    let before = parameters.holdLimitMicroseconds
    let moved = before == 0 || wish > before &+ before / 8 || wish < before &- before / 8
    let follows = parity.isActive
    let changed = parameters.flags.contains(.repairsFollow) != follows
    guard moved || changed, now.nanoseconds(since: parametersSentAt) >= Self.parametersInterval || changed else { return }
    parameters = OrderParameters(
      flags: follows ? .repairsFollow : [], holdLimitMicroseconds: wish, memoryByteCount: UInt32(ReorderBuffer.memoryLimitCap))
    parametersPending = true
    controlPending = true
  }

  // MARK: Capacities

  /// CAPACITY goes when an estimate moved by an eighth, at most twice a second, and every few seconds while data are acknowledged.
  static let capacityInterval: UInt64 = 500_000_000
  static let capacityRepeat: UInt64 = 5_000_000_000

  func updateCapacities(at now: Instant) {
    let age = now.nanoseconds(since: capacitiesSentAt)
    guard !capacitiesPending, age >= Self.capacityInterval, remoteFeatures.contains(.capacity) else { return }
    for path in paths where carriesData(path) {
      let (now, told) = (kilobits(path), path.toldCapacity)
      if age >= Self.capacityRepeat || now > told &+ told / 8 || now < told &- told / 8 { capacitiesPending = true }
    }
    if capacitiesPending { controlPending = true }
  }

  private func kilobits(_ path: BondPath) -> UInt32 { UInt32(clamping: knownCapacity(path) / 125) }

  /// Bytes a second, see `PathReport`. Before something fills it, an estimate is a first guess.
  func knownCapacity(_ path: BondPath) -> UInt64 {
    let fixed = fixedRate(path)
    if fixed > 0 { return fixed }
    let sender = path.sender.snapshot
    return sender.isStarting && sender.deliveredRate < sender.capacity / 2 ? 0 : sender.capacity
  }

  private func nextCapacities(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    capacitiesPending = false
    capacitiesSentAt = now
    var entries: [CapacityEntry] = []
    for path in paths where carriesData(path) {
      path.toldCapacity = kilobits(path)
      entries.append(CapacityEntry(path: path.id, kilobits: path.toldCapacity))
    }
    guard !entries.isEmpty, let path = bestPath() else { return nil }
    let count = engine.scratch.write(limit: Self.controlByteLimit) { out in CapacityList.write(entries.span, into: &out) }
    return unsafe sealControl(session, path, nil, count: count, flags: .unacknowledged, output, now)
  }

  // MARK: Acknowledgements

  /// Beside a quarter of its round trip, a path may be so much slower than the best one to take every other acknowledgement.
  static let alternationSlack: UInt64 = 2_000_000

  /// Acknowledgements that are due, of all paths in one datagram, on the best path. They go under the keys of what they acknowledge, so
  /// that a counter can't be taken for the same one under other keys.
  func nextAcknowledgement(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    if let previous, previous.acknowledgementDue <= now, previous.keys.isUsable(at: now),
      let run = unsafe writeAcknowledgement(previous, output, now)
    {
      return run
    }
    guard session.acknowledgementDue <= now else { return nil }
    return unsafe writeAcknowledgement(session, output, now)
  }

  /// The best path; every other time the next best, where it is about as fast: each acknowledgement says what the one before said, so a
  /// path that dies takes no more than half of them along.
  private func acknowledgementPath() -> BondPath? {
    guard let best = bestPath() else { return nil }
    alternates.toggle()
    guard alternates, paths.count > 1, carriesData(best), let second = bestPath(except: best.id), carriesData(second),
      !second.sender.isDoubted
    else { return best }
    let fastest = best.sender.roundTrip.smoothed
    return second.sender.roundTrip.smoothed <= fastest &+ fastest / 4 &+ Self.alternationSlack ? second : best
  }

  private func writeAcknowledgement(_ session: Session, _ output: UnsafeMutablePointer<UInt8>, _ now: Instant) -> OutgoingRun? {
    guard let path = acknowledgementPath() else {
      session.acknowledgementDue = .distantFuture
      return nil
    }
    var blocks = 0
    let count = engine.scratch.write(limit: Self.controlByteLimit) { out in
      let pending = session.pendingTrackers(at: now, limit: AcknowledgementList.blockLimit)
      guard AcknowledgementWriter.begin(blockCount: max(1, pending.nonzeroBitCount), into: &out) != nil else { return }
      var mask = pending
      while mask != 0 {
        let index = mask.trailingZeroBitCount
        mask &= mask - 1
        if session.writeBlock(PathID(UInt8(index)), into: &out, at: now) { blocks += 1 }
      }
    }
    session.updateAcknowledgementDue()
    guard blocks > 0 else { return nil }
    // Seven blocks of 32 ranges fill a control payload; what found no room waits for the next.
    // SAFETY: the frame's second byte, written above.
    unsafe engine.scratch.base[1] = UInt8(blocks)
    return unsafe sealControl(session, path, nil, count: count, flags: .unacknowledged, output, now)
  }
}
