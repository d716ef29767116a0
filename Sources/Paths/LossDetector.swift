import CausewayBase

/// What one acknowledgement or one run of the timer changed, in numbers, for the capacity estimate.
struct AcknowledgedAmount: BitwiseCopyable {
  var byteCount = 0
  var packetCount = 0
  /// Of `byteCount`: sent while the path was its own limit.
  var limitedByteCount = 0
  /// Beside `byteCount`: acknowledgements, probes and the like, which nobody asked to have acknowledged. The path carried them all the same.
  var overheadByteCount = 0
  var lostByteCount = 0
  var lostPacketCount = 0
  /// Declared lost before, and arrived now.
  var spuriousPacketCount = 0
  /// When the greatest of the newly acknowledged was sent, if it is also the greatest ever.
  var largestSentAt: UInt64?
  /// When the newest of the newly acknowledged was sent.
  var newestSentAt: UInt64 = 0
  /// When the oldest of the newly acknowledged was sent; 0: none.
  var oldestSentAt: UInt64 = 0
  /// When the oldest of those was sent that later ones had overtaken by three, arrived before this or declared lost; 0: none.
  var overtakenSentAt: UInt64 = 0
}

/// Tells what arrived and what is lost on one path, from its own counters (RFC 9002 section 6, with the jitter of the path in place of
/// a fixed share of its round trip).
///
/// A packet is lost when three later ones have arrived and it is older than srtt + max(minRtt/8, 4 var, what reordered packets of the
/// last ten seconds took longer), at least 2 ms; or, without later ones, when it is older than that and the peer's longest
/// acknowledgement delay. What is declared lost stays recorded: if it
/// arrives after all, that is counted and costs nothing else. Where the timer is `noTimer` only what was overtaken is lost.
struct LossDetector: ~Copyable {
  /// RFC 9002's kPacketThreshold.
  static let packetThreshold: UInt64 = 3
  /// Ranges of one acknowledgement.
  static let rangeLimit = 33
  /// The least allowance for reordering, in nanoseconds: threads and timers of both ends are not finer.
  static let minimumReordering: UInt64 = 2_000_000
  /// No age alone makes a loss.
  static let noTimer = UInt64.max
  /// Added to the timer: the peer's acknowledgement timer is no finer.
  static let timerSlack: UInt64 = 3_000_000

  private var ring = SentRing()
  /// Nothing below is outstanding.
  private var oldest: UInt64 = 0
  /// One past the greatest acknowledged counter; 0: none.
  private var acknowledgedEnd: UInt64 = 0
  /// Where the counters of the present keys begin, and one past the greatest acknowledged of those before: an acknowledgement speaks for the
  /// packets of one key pair only, so packets of the next overtake nothing.
  private var spaceStart: UInt64 = 0
  private var earlierEnd: UInt64 = 0
  private var inFlightPackets = 0
  private var previousRanges: [CounterRange] = []
  private var displaced: [UInt32] = []

  private(set) var inFlightByteCount = 0
  /// Declared lost by the timer with nothing later acknowledged: perhaps only late.
  private(set) var suspendedByteCount = 0
  private var suspendedStart: UInt64 = 0
  private var suspendedEnd: UInt64 = 0
  private(set) var spuriousCount = 0
  private(set) var lostCount = 0
  private(set) var lossDeadlineNanoseconds: UInt64 = .max
  /// When the oldest data after the greatest acknowledged counter were sent: the path has been silent since. Nil: nothing unanswered.
  private(set) var silentSince: Instant?

  init() { previousRanges.reserveCapacity(Self.rangeLimit) }

  var inFlightPacketCount: Int { inFlightPackets }
  var end: UInt64 { ring.end }

  /// Whether another packet can be recorded without giving up one that is outstanding.
  @inline(__always) var hasRoom: Bool { ring.end &- oldest < UInt64(SentRing.capacityLimit) }

  /// What is sent from here on is acknowledged apart from what was sent before.
  mutating func beginSpace() {
    spaceStart = ring.end
    earlierEnd = acknowledgedEnd
  }

  /// Whether three packets that are acknowledged together with `counter` have arrived before it.
  @inline(__always) private func isOvertaken(_ counter: UInt64) -> Bool {
    counter &+ Self.packetThreshold < (counter < spaceStart ? earlierEnd : acknowledgedEnd)
  }

  /// Records a packet. Counters ascend; one that does not is a mistake of the caller.
  @inline(__always) mutating func sent(counter: UInt64, byteCount: Int, token: UInt32, flags: SentFlags, at now: Instant) {
    precondition(counter >= ring.end, "counters of a path ascend")
    if inFlightPackets == 0 { oldest = counter }
    if !ring.makeRoom(through: counter, keeping: oldest) { displace(through: counter) }
    var record = SentRecord()
    record.sentAt = now.nanoseconds
    record.token = token
    record.byteCount = UInt16(truncatingIfNeeded: min(byteCount, 65535))
    record.flags = flags
    if !flags.contains(.unacknowledged) {
      record.status = .outstanding
      inFlightByteCount &+= Int(record.byteCount)
      inFlightPackets &+= 1
      if silentSince == nil && !flags.contains(.control) { silentSince = now }
    }
    ring.append(record, at: counter)
  }

  /// Something is in flight and no deadline runs yet: an acknowledgement sets the next one.
  @inline(__always) mutating func arm(timer: UInt64, at now: Instant) {
    if lossDeadlineNanoseconds == .max, timer != Self.noTimer { lossDeadlineNanoseconds = now.nanoseconds &+ timer }
  }

  /// The ring is at its limit: what would be overwritten is given up, to be told with the next outcome.
  private mutating func displace(through counter: UInt64) {
    let limit = UInt64(SentRing.capacityLimit)
    let floor = counter &- limit &+ 1
    while oldest < floor && oldest < ring.end {
      let record = ring[oldest]
      if record.status == .outstanding {
        ring.setStatus(.lost, of: oldest)
        settle(record)
        lostCount &+= 1
        displaced.append(record.token)
      }
      oldest &+= 1
    }
    oldest = max(oldest, floor)
  }

  @inline(__always) private mutating func settle(_ record: SentRecord) {
    inFlightByteCount &-= Int(record.byteCount)
    inFlightPackets &-= 1
  }

  /// Applies one acknowledgement. Ranges descend and do not overlap. Refused as a whole or not at all.
  /// - Parameter base: Added to every counter: where the keys' own count began.
  mutating func acknowledge(_ ranges: borrowing Span<CounterRange>, base: UInt64 = 0, into outcome: inout AcknowledgementOutcome)
    throws(AcknowledgementError) -> AcknowledgedAmount
  {
    try check(ranges, base)
    var amount = AcknowledgedAmount()
    guard ranges.count > 0 else { return amount }
    let floor = ring.start
    var known = 0
    for index in 0..<ranges.count {
      let range = CounterRange(first: ranges[index].first &+ base, last: ranges[index].last &+ base)
      if range.last < floor { break }
      // Only what the previous acknowledgement did not say already.
      var top = range.last
      let bottom = max(range.first, floor)
      var open = true
      while known < previousRanges.count && previousRanges[known].first > top { known &+= 1 }
      var scan = known
      while scan < previousRanges.count && previousRanges[scan].last >= bottom {
        let said = previousRanges[scan]
        if said.last < top { mark(from: said.last &+ 1, through: top, &amount, &outcome) }
        if said.first <= bottom {
          open = false
          break
        }
        top = said.first &- 1
        scan &+= 1
      }
      if open { mark(from: bottom, through: top, &amount, &outcome) }
    }
    previousRanges.removeAll(keepingCapacity: true)
    for index in 0..<ranges.count {
      previousRanges.append(CounterRange(first: ranges[index].first &+ base, last: ranges[index].last &+ base))
    }
    let largest = ranges[0].last &+ base
    if largest < spaceStart { earlierEnd = max(earlierEnd, largest &+ 1) }
    if largest >= acknowledgedEnd {
      if amount.packetCount &+ amount.spuriousPacketCount > 0 && largest >= floor { amount.largestSentAt = ring[largest].sentAt }
      acknowledgedEnd = largest &+ 1
      if largest >= suspendedEnd { releaseSuspended() }
      findSilence()
    }
    return amount
  }

  private func check(_ ranges: borrowing Span<CounterRange>, _ base: UInt64) throws(AcknowledgementError) {
    guard ranges.count <= Self.rangeLimit else { throw .tooManyRanges }
    var below = ring.end &- base
    for index in 0..<ranges.count {
      let range = ranges[index]
      guard range.first <= range.last else { throw .disordered }
      guard range.last < below else { throw index == 0 ? .neverSent : .disordered }
      below = range.first
    }
  }

  private mutating func mark(
    from first: UInt64, through last: UInt64, _ amount: inout AcknowledgedAmount, _ outcome: inout AcknowledgementOutcome
  ) {
    var counter = first
    while counter <= last {
      let record = ring[counter]
      switch record.status {
      case .outstanding:
        ring.setStatus(.acknowledged, of: counter)
        settle(record)
        outcome.acknowledged.append(record.token)
        if !record.flags.contains(.control) {
          amount.byteCount &+= Int(record.byteCount)
          if record.flags.contains(.limited) { amount.limitedByteCount &+= Int(record.byteCount) }
        }
        amount.packetCount &+= 1
        note(record, counter, &amount)
      case .lost:
        ring.setStatus(.acknowledged, of: counter)
        spuriousCount &+= 1
        amount.spuriousPacketCount &+= 1
        amount.byteCount &+= Int(record.byteCount)
        if record.flags.contains(.limited) { amount.limitedByteCount &+= Int(record.byteCount) }
        if record.flags.contains(.suspended) && counter >= suspendedStart { suspendedByteCount &-= Int(record.byteCount) }
        outcome.spurious.append(record.token)
        note(record, counter, &amount)
      case .none:
        ring.setStatus(.acknowledged, of: counter)
        amount.overheadByteCount &+= Int(record.byteCount)
      case .acknowledged: break
      }
      counter &+= 1
    }
  }

  @inline(__always) private func note(_ record: SentRecord, _ counter: UInt64, _ amount: inout AcknowledgedAmount) {
    if record.sentAt > amount.newestSentAt { amount.newestSentAt = record.sentAt }
    if amount.oldestSentAt == 0 || record.sentAt < amount.oldestSentAt { amount.oldestSentAt = record.sentAt }
    if isOvertaken(counter) && (amount.overtakenSentAt == 0 || record.sentAt < amount.overtakenSentAt) {
      amount.overtakenSentAt = record.sentAt
    }
  }

  private mutating func findSilence() {
    var counter = max(acknowledgedEnd, ring.start)
    while counter < ring.end {
      let record = ring[counter]
      if record.status != .none && !record.flags.contains(.control) {
        silentSince = Instant(nanoseconds: record.sentAt)
        return
      }
      counter &+= 1
    }
    silentSince = nil
  }

  /// Declares lost what is due at `now` and sets the next deadline.
  /// - Parameters:
  ///   - reordering: Age past which a packet overtaken by three others is lost, in nanoseconds.
  ///   - timer: Age past which any packet is lost, or `noTimer`.
  mutating func detect(
    at now: Instant, reordering: UInt64, timer: UInt64, _ amount: inout AcknowledgedAmount, into outcome: inout AcknowledgementOutcome
  ) {
    if !displaced.isEmpty {
      outcome.lost.append(contentsOf: displaced)
      displaced.removeAll(keepingCapacity: true)
    }
    lossDeadlineNanoseconds = .max
    guard inFlightPackets > 0 else { return }
    var counter = oldest
    var firstKept = ring.end
    while counter < ring.end {
      let record = ring[counter]
      if record.status == .outstanding {
        let limit = isOvertaken(counter) ? reordering : timer
        let due = limit == Self.noTimer ? limit : record.sentAt &+ limit
        guard due <= now.nanoseconds else {
          // What follows under the same keys was sent later.
          lossDeadlineNanoseconds = min(lossDeadlineNanoseconds, due)
          firstKept = min(firstKept, counter)
          guard counter < spaceStart else { break }
          counter = spaceStart
          continue
        }
        ring.setStatus(.lost, of: counter)
        settle(record)
        if counter >= acknowledgedEnd {
          ring.suspend(counter)
          suspendedByteCount &+= Int(record.byteCount)
          suspendedEnd = counter &+ 1
        }
        lostCount &+= 1
        amount.lostPacketCount &+= 1
        amount.lostByteCount &+= Int(record.byteCount)
        outcome.lost.append(record.token)
      }
      counter &+= 1
    }
    oldest = firstKept
  }

  /// Something later arrived: what the timer lost is lost.
  mutating func releaseSuspended() {
    suspendedStart = suspendedEnd
    suspendedByteCount = 0
  }

  /// Gives up everything in flight, for sending elsewhere. If it arrives after all it counts as spurious.
  mutating func takeAll(into outcome: inout AcknowledgementOutcome) {
    if !displaced.isEmpty {
      outcome.lost.append(contentsOf: displaced)
      displaced.removeAll(keepingCapacity: true)
    }
    while oldest < ring.end {
      let record = ring[oldest]
      if record.status == .outstanding {
        ring.setStatus(.lost, of: oldest)
        settle(record)
        outcome.lost.append(record.token)
      }
      oldest &+= 1
    }
    releaseSuspended()
    lossDeadlineNanoseconds = .max
    silentSince = nil
  }
}
