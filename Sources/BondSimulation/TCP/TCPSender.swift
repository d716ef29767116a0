internal import CausewayBase

/// The sending end of a bulk transfer, as close to Linux as the effects of a tunnel ask for: CUBIC with HyStart or BBR, SACK, RACK with
/// an adapting reordering window (RFC 8985), tail loss probes, proportional rate reduction (RFC 6937), Eifel and DSACK undo, ECN.
/// Segments are all of one size and never split.
final class TCPSender: FlowEnd {
  enum State: Equatable { case open, reduced, recovery, loss }

  /// Gives up after so many time-outs in a row (tcp_retries2).
  static let timeoutLimit = 15
  static let leastTimeout: UInt64 = 200_000_000
  static let longestTimeout: UInt64 = 120_000_000_000

  var writer: PacketWriter
  let address: FlowAddress
  let opens: Bool
  let usesECN: Bool
  let start: Instant
  let stop: Instant
  let segmentByteCount: Int
  let initialSequence: UInt32
  let base: UInt32

  // Connection
  var isEstablished = false
  /// A SYN came: answer it.
  var owesSynAnswer = false
  var owesAcknowledgement = false
  var synAt: Instant?
  var synCount = 0
  var synSentAt: UInt64?
  var remoteTimestamp: UInt32 = 0
  var remoteSequence: UInt32 = 0
  var isAborted = false

  // What is under way
  var board = Scoreboard()
  var cubic = CubicController()
  /// Instead of `cubic`, where asked for.
  var bbr: BBRController?
  /// Segments delivered, and when the last was; when the first of the present flight was sent; the delivered count up to which samples
  /// are the application's doing.
  var delivered: UInt64 = 0
  var deliveredAt: UInt64 = 0
  var firstSentAt: UInt64 = 0
  var applicationLimitedUntil: UInt64 = 0
  /// Segments of the present burst, and when the next may begin.
  var burstLeft = 0
  var paceAt: Instant = .zero
  var isPaced = false
  var burstSent = 0
  var window: UInt64
  var state = State.open
  /// Recovery ends when this is acknowledged.
  var recoveryPoint: UInt64 = 0
  var highestSacked: UInt64 = 0
  var lastBlocks = SACKBlocks()

  // Round trips, ns
  var smoothed: UInt64 = 0
  var variation: UInt64 = 0
  var least = UInt64.max

  // RACK
  var rackSentAt: UInt64 = 0
  var rackSegment: UInt64 = 0
  var rackRoundTrip: UInt64 = 0
  var rackAdvanced = false
  var reorderingSeen = false
  var reordering = 3
  var windowSteps = 1
  var windowStepsPersist = 0
  var lastDuplicateRound: UInt64 = 0

  // Reduction
  var priorWindow = 0
  var priorThreshold = Int.max
  var deliveredInReduction = 0
  var sentInReduction = 0
  var undoMarker: UInt64?
  var undoRetransmissions = 0
  /// In timestamp units; nil: nothing was sent again since the reduction.
  var firstRetransmission: UInt32?
  var owesReducedFlag = false

  // Timers
  var timeoutAt: Instant?
  var probeAt: Instant?
  var reorderAt: Instant?
  var timeoutCount = 0
  var probePoint: UInt64?
  var wantsProbe = false
  var isWindowLimited = false
  var mostOut = 0
  var mostOutUntil: UInt64 = 0

  // Counts
  var retransmittedCount = 0
  var reductionCount = 0
  var undoCount = 0
  var timeoutTotal = 0

  init(
    _ address: FlowAddress, opens: Bool, usesECN: Bool, segmentByteCount: Int, window: UInt64, congestion: FlowSpecification.Congestion,
    start: Instant,
    stop: Instant, seed: UInt32
  ) {
    self.address = address
    self.opens = opens
    self.usesECN = usesECN
    self.segmentByteCount = segmentByteCount
    self.window = window
    self.start = start
    self.stop = stop
    initialSequence = seed
    base = seed &+ 1
    writer = address.writer(InnerHeader.tcp, longest: TCPHeader.longestHeaderByteCount + segmentByteCount)
    synAt = opens ? start : nil
    if congestion == .bbr { bbr = BBRController(seed: UInt64(seed)) }
  }

  var congestionWindow: Int { bbr?.window ?? cubic.window }

  // MARK: Input

  func receive(_ packet: Span<UInt8>, _ ip: InnerHeader, at now: Instant) {
    guard !isAborted, let header = TCPHeader(packet) else { return }
    remoteTimestamp = header.timestamp
    if header.flags & TCPHeader.syn != 0 {
      remoteSequence = header.sequence &+ 1
      synAt = nil
      if opens {
        if !isEstablished { sampleHandshake(at: now.nanoseconds) }
        isEstablished = true
        owesAcknowledgement = true
      } else {
        owesSynAnswer = true
      }
      return
    }
    if !isEstablished { sampleHandshake(at: now.nanoseconds) }
    isEstablished = true
    let acknowledged = WireSequence.unwrap(header.acknowledgement &- base, near: board.unacknowledged * UInt64(segmentByteCount))
    let segment = acknowledged / UInt64(segmentByteCount)
    guard segment <= board.next else { return }
    acknowledge(upTo: segment, header, at: now.nanoseconds)
  }

  private func sampleHandshake(at now: UInt64) {
    guard synCount <= 1, let sentAt = synSentAt else { return }
    let sample = max(1, now - sentAt)
    (smoothed, variation, least) = (sample, sample / 2, sample)
    deliveredAt = now
    bbr?.start(roundTrip: sample, at: now)
  }

  // MARK: Output

  func nextPacket(at now: Instant) -> Int? {
    if isAborted || now < start { return nil }
    if let due = synAt, due <= now {
      synCount += 1
      synAt = now + .seconds(1 << min(6, synCount - 1))
      return control(TCPHeader.syn, initialSequence, at: now)
    }
    if owesSynAnswer {
      owesSynAnswer = false
      return control(TCPHeader.syn | TCPHeader.ack, initialSequence, at: now)
    }
    if owesAcknowledgement {
      owesAcknowledgement = false
      if board.next == 0 && !hasRoom { return control(TCPHeader.ack, base, at: now) }
    }
    guard isEstablished else { return nil }
    return sendSegment(at: now)
  }

  private var hasRoom: Bool { board.inFlight < congestionWindow && UInt64(board.outCount + 1) * UInt64(segmentByteCount) <= window }

  private func control(_ flags: UInt8, _ sequence: UInt32, at now: Instant) -> Int {
    if flags & TCPHeader.syn != 0 { synSentAt = now.nanoseconds }
    var header = TCPHeader()
    header.flags = flags
    header.sequence = sequence
    header.acknowledgement = remoteSequence
    header.window = 65535 << TCPHeader.windowShift
    header.timestamp = Self.timestamp(now.nanoseconds)
    header.echoedTimestamp = remoteTimestamp
    return header.write(to: &writer, address, payloadByteCount: 0, congestionBits: 0)
  }

  static func timestamp(_ now: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: now / 1_000_000) }

  private func sendSegment(at now: Instant) -> Int? {
    let time = now.nanoseconds
    if wantsProbe {
      wantsProbe = false
      if board.outCount > 0 {
        probePoint = board.next
        let hasNew = now < stop && UInt64(board.outCount + 1) * UInt64(segmentByteCount) <= window
        let number = hasNew ? board.next : board.next - 1
        return hasNew ? sendNew(at: now) : resend(number, at: time)
      }
    }
    guard mayBurst(at: now) else { return nil }
    if board.inFlight < congestionWindow, let lost = board.nextLost() {
      let count = resend(lost, at: time)
      if timeoutAt == nil { armTimeout(time) }
      return count
    }
    guard now < stop else { return nil }
    guard hasRoom else {
      isWindowLimited = board.inFlight >= congestionWindow
      // Neither window nor pacing held it back, but the receiver or the socket buffer.
      if !isWindowLimited { applicationLimitedUntil = max(1, delivered + UInt64(board.inFlight)) }
      endBurst(at: now)
      return nil
    }
    return sendNew(at: now)
  }

  /// With BBR segments leave in bursts of about a millisecond's worth (TSO), spaced by its rate.
  private func mayBurst(at now: Instant) -> Bool {
    guard let bbr, bbr.pacingRate > 0 else { return true }
    isPaced = false
    if burstLeft > 0 { return true }
    if paceAt > now {
      isPaced = true
      return false
    }
    burstSent = 0
    burstLeft = bbr.burst(segmentByteCount: segmentByteCount)
    return true
  }

  private func countBurst(at now: Instant) {
    guard bbr != nil else { return }
    burstLeft -= 1
    burstSent += 1
    if burstLeft <= 0 { endBurst(at: now) }
  }

  private func endBurst(at now: Instant) {
    guard let bbr, bbr.pacingRate > 0, burstSent > 0 else { return }
    paceAt = now + .nanoseconds(Int64(Double(burstSent) / bbr.pacingRate))
    (burstLeft, burstSent) = (0, 0)
  }

  private func freshSegment(at now: UInt64) -> Scoreboard.Segment {
    if board.inFlight <= 0 { (firstSentAt, deliveredAt) = (now, now) }
    var segment = Scoreboard.Segment(sentAt: now)
    (segment.delivered, segment.deliveredAt, segment.firstSentAt) = (delivered, deliveredAt, firstSentAt)
    segment.isApplicationLimited = applicationLimitedUntil != 0
    return segment
  }

  private func sendNew(at now: Instant) -> Int {
    let time = now.nanoseconds
    let wasIdle = board.outCount == 0
    let number = board.next
    board.append(freshSegment(at: time))
    countBurst(at: now)
    if board.outCount > mostOut { mostOut = board.outCount }
    isWindowLimited = board.inFlight >= congestionWindow
    if state == .reduced || state == .recovery { sentInReduction += 1 }
    if wasIdle || timeoutAt == nil { armTimeout(time) }
    armProbe(time)
    return write(number, at: time)
  }

  private func resend(_ number: UInt64, at now: UInt64) -> Int {
    board.markRetransmitted(number, freshSegment(at: now))
    countBurst(at: Instant(nanoseconds: now))
    retransmittedCount += 1
    undoRetransmissions += 1
    if firstRetransmission == nil { firstRetransmission = Self.timestamp(now) }
    if state == .reduced || state == .recovery { sentInReduction += 1 }
    return write(number, at: now)
  }

  private func write(_ number: UInt64, at now: UInt64) -> Int {
    var header = TCPHeader()
    header.flags = TCPHeader.ack
    if owesReducedFlag {
      header.flags |= TCPHeader.reduced
      owesReducedFlag = false
    }
    header.sequence = UInt32(truncatingIfNeeded: number * UInt64(segmentByteCount)) &+ base
    header.acknowledgement = remoteSequence
    header.window = 65535 << TCPHeader.windowShift
    header.timestamp = Self.timestamp(now)
    header.echoedTimestamp = remoteTimestamp
    return header.write(to: &writer, address, payloadByteCount: segmentByteCount, congestionBits: usesECN ? 2 : 0)
  }

  // MARK: Timers

  var nextDeadline: Instant? {
    if isAborted { return nil }
    let timers = SimulatedClockMinimum.of(
      SimulatedClockMinimum.of(timeoutAt, probeAt), SimulatedClockMinimum.of(reorderAt, isEstablished ? nil : synAt))
    return isPaced ? SimulatedClockMinimum.of(timers, paceAt) : timers
  }

  func advance(to now: Instant) {
    if let due = reorderAt, due <= now {
      reorderAt = nil
      detectLoss(now.nanoseconds)
      if board.lostCount > 0 && state != .loss && state != .recovery { enterRecovery(newlyDelivered: 0) }
    }
    if let due = probeAt, due <= now {
      probeAt = nil
      wantsProbe = true
      armTimeout(now.nanoseconds)
    }
    if let due = timeoutAt, due <= now { timeOut(now.nanoseconds) }
  }

  /// RFC 6298 with Linux's floor: the variation counts at least 200 ms.
  var timeout: UInt64 {
    if smoothed == 0 { return 1_000_000_000 }
    return min(Self.longestTimeout, (smoothed + max(Self.leastTimeout, 4 * variation)) << UInt64(min(timeoutCount, 12)))
  }

  func armTimeout(_ now: UInt64) {
    timeoutAt = board.outCount == 0 ? nil : Instant(nanoseconds: now + timeout)
    if board.outCount == 0 { probeAt = nil }
  }

  func armProbe(_ now: UInt64) {
    guard state == .open || state == .reduced, board.sackedCount == 0, probePoint == nil, board.outCount > 0, smoothed > 0 else {
      probeAt = nil
      return
    }
    let wait = 2 * smoothed + (board.outCount == 1 ? 200_000_000 : 2_000_000)
    let due = Instant(nanoseconds: now + wait)
    probeAt = timeoutAt.map { due < $0 ? due : nil } ?? due
  }

  private func timeOut(_ now: UInt64) {
    guard board.outCount > 0 else {
      timeoutAt = nil
      return
    }
    timeoutCount += 1
    timeoutTotal += 1
    if timeoutCount > Self.timeoutLimit {
      isAborted = true
      return
    }
    if state == .open || state == .reduced || recoveryPoint <= board.unacknowledged {
      if state == .open { (priorThreshold, priorWindow) = (cubic.slowStartThreshold, cubic.window) }
      cubic.reduce()
      reductionCount += 1
      undoMarker = board.unacknowledged
      undoRetransmissions = 0
      firstRetransmission = nil
    }
    for number in board.unacknowledged..<board.next { board.markLost(number) }
    cubic.forgetCurve()
    cubic.setWindow(board.inFlight + 1)
    bbr?.timeOut(inFlight: board.inFlight)
    state = .loss
    recoveryPoint = board.next
    probePoint = nil
    (probeAt, reorderAt) = (nil, nil)
    timeoutAt = Instant(nanoseconds: now + timeout)
  }
}
