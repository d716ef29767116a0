package import CausewayBase
package import CausewayPaths

/// What came in on one path under one set of keys, and when to say so. One for each path at the receiver.
///
/// An acknowledgement is due at once after a pause, a gap, a late packet or a CE mark (but not more than once a millisecond), after 32
/// packets (128 above 1 Gbit/s), and at the latest one `interval` after the first packet that wants one. Packets that hold nothing but
/// acknowledgements want none.
package struct AckTracker: Sendable {
  static let rangeLimit = AcknowledgementBlock.rangeLimit
  /// Times an unchanged range is told. The newest always is; should all of these be lost, the sender resends in vain.
  static let reportLimit: UInt8 = 8
  package static let minimumInterval: UInt64 = 2_000_000
  package static let maximumInterval: UInt64 = 10_000_000
  /// Least time between acknowledgements for gaps and marks.
  static let urgentInterval: UInt64 = 1_000_000
  static let packetThreshold = 32
  static let fastPacketThreshold = 128
  /// 32 packets of 1400 bytes at 1 Gbit/s.
  static let fastTime: UInt64 = 358_000

  private struct Received {
    var first: UInt64 = 0
    var last: UInt64 = 0
    /// Acknowledgements that told it as it is.
    var reports: UInt8 = 0
  }

  /// A ring, ascending from `oldest`; neither overlapping nor adjacent.
  private var ranges = InlineArray<32, Received>(repeating: Received())
  private var oldest = 0
  private var count = 0

  private var largestArrival: Instant = .zero
  private var lastArrival: Instant = .zero
  private var lastWritten: Instant = .zero
  private var congestionCount: UInt32 = 0
  /// When the next acknowledgement must go, or `distantFuture`.
  package private(set) var dueTime: Instant = .distantFuture
  /// Packets since the last acknowledgement that want one.
  package private(set) var pendingCount = 0
  private var interval = minimumInterval
  private var intervalWish = maximumInterval
  /// Counters that came twice, or below all ranges kept. The replay window should let none through.
  package private(set) var forgottenCount: UInt64 = 0

  package init() {}

  /// New keys, new counters.
  package mutating func reset() {
    let wish = intervalWish
    let interval = self.interval
    self = AckTracker()
    intervalWish = wish
    self.interval = interval
  }

  /// Longest wait for an acknowledgement, nanoseconds.
  package var acknowledgementInterval: UInt64 { min(interval, max(intervalWish, Self.minimumInterval)) }

  /// - Parameter smoothed: the path's round trip in nanoseconds, as this side measures it.
  package mutating func update(roundTrip smoothed: UInt64) {
    interval = max(Self.minimumInterval, min(Self.maximumInterval, smoothed / 8))
  }

  /// The sender's wish from its PARAM frame; 0: none.
  package mutating func update(delayWishMicroseconds wish: UInt16) {
    intervalWish = wish == 0 ? Self.maximumInterval : UInt64(wish) * 1000
  }

  package var largest: UInt64? { count == 0 ? nil : ranges[newest].last }

  @inline(__always) private var newest: Int { (oldest &+ count &- 1) & 31 }

  /// Records an authenticated packet that passed the replay window.
  /// - Parameters:
  ///   - wantsAcknowledgement: false for a packet of acknowledgements only.
  ///   - isCongested: its outer header was marked CE.
  ///   - arrival: when the kernel got it; `now` may be later on a busy machine, and is no business of the path's.
  @inline(__always)
  package mutating func record(
    _ counter: UInt64, wantsAcknowledgement: Bool, isCongested: Bool, arrivedAt arrival: Instant, at now: Instant
  ) {
    var isUrgent = isCongested
    if isCongested { congestionCount &+= 1 }
    if count > 0, counter == ranges[newest].last &+ 1, counter < AcknowledgementBlock.counterLimit {
      ranges[newest].last = counter
      ranges[newest].reports = 0
      largestArrival = arrival
    } else {
      isUrgent = recordOutOfLine(counter, at: arrival) || isUrgent
    }
    let sinceLastArrival = now.nanoseconds(since: lastArrival)
    lastArrival = now
    guard wantsAcknowledgement else { return }
    pendingCount &+= 1
    if pendingCount == 1 {
      let interval = acknowledgementInterval
      dueTime = sinceLastArrival > interval ? now : Instant(nanoseconds: now.nanoseconds &+ interval)
    } else if pendingCount >= Self.packetThreshold {
      let isFast = now.nanoseconds(since: lastWritten) < Self.fastTime
      if pendingCount >= Self.fastPacketThreshold || (pendingCount == Self.packetThreshold && !isFast) { dueTime = min(dueTime, now) }
    }
    if isUrgent { dueTime = min(dueTime, max(now, Instant(nanoseconds: lastWritten.nanoseconds &+ Self.urgentInterval))) }
  }

  /// As above where nothing tells of an earlier arrival.
  package mutating func record(_ counter: UInt64, wantsAcknowledgement: Bool, isCongested: Bool, at now: Instant) {
    record(counter, wantsAcknowledgement: wantsAcknowledgement, isCongested: isCongested, arrivedAt: now, at: now)
  }

  /// - Returns: whether the sender should know soon: a gap opened, or a packet came late.
  private mutating func recordOutOfLine(_ counter: UInt64, at now: Instant) -> Bool {
    guard counter < AcknowledgementBlock.counterLimit else { return false }
    guard count > 0 else {
      insert(counter, at: 0)
      largestArrival = now
      return false
    }
    var i = count
    while i > 0 {
      let index = (oldest &+ i &- 1) & 31
      let range = ranges[index]
      if counter > range.last {
        if counter == range.last &+ 1 {
          ranges[index].last = counter
          ranges[index].reports = 0
          if i < count, ranges[(index &+ 1) & 31].first == counter &+ 1 {
            ranges[index].last = ranges[(index &+ 1) & 31].last
            remove(at: i)
          }
        } else if i < count, ranges[(index &+ 1) & 31].first == counter &+ 1 {
          ranges[(index &+ 1) & 31].first = counter
          ranges[(index &+ 1) & 31].reports = 0
        } else {
          if i == count { largestArrival = now }
          insert(counter, at: i)
        }
        return true
      }
      if counter >= range.first {
        forgottenCount &+= 1
        return false
      }
      i &-= 1
    }
    if ranges[oldest].first == counter &+ 1 {
      ranges[oldest].first = counter
      ranges[oldest].reports = 0
    } else if count < Self.rangeLimit {
      insert(counter, at: 0)
    } else {
      forgottenCount &+= 1
    }
    return true
  }

  /// Puts a range of one before the one at `position` (in ascending order); the oldest makes room.
  private mutating func insert(_ counter: UInt64, at position: Int) {
    var position = position
    if count == Self.rangeLimit {
      oldest = (oldest &+ 1) & 31
      count &-= 1
      position &-= 1
    }
    var i = count
    while i > position {
      ranges[(oldest &+ i) & 31] = ranges[(oldest &+ i &- 1) & 31]
      i &-= 1
    }
    ranges[(oldest &+ position) & 31] = Received(first: counter, last: counter)
    count &+= 1
  }

  private mutating func remove(at position: Int) {
    var i = position
    while i &+ 1 < count {
      ranges[(oldest &+ i) & 31] = ranges[(oldest &+ i &+ 1) & 31]
      i &+= 1
    }
    count &-= 1
  }

  /// Writes this path's block of an ACK frame, with as many ranges as fit and still need telling, and starts anew.
  /// - Parameter keyTag: see `AcknowledgementBlock.keyTag`.
  /// - Returns: bytes written, or nil when nothing ever came or the head and one range don't fit.
  package mutating func writeBlock(path: PathID, keyTag: UInt8 = 0, into out: inout OutputSpan<UInt8>, at now: Instant) -> Int? {
    let room = (out.freeCapacity - AcknowledgementBlock.headByteCount) / AcknowledgementBlock.rangeByteCount
    guard count > 0, room >= 1 else { return nil }
    var told = 1
    while told < min(count, room) {
      let upper = ranges[(oldest + count - told) & 31]
      let range = ranges[(oldest + count - told - 1) & 31]
      guard range.reports < Self.reportLimit, upper.first - range.last - 1 <= UInt16.max, upper.last - upper.first < UInt16.max else {
        break
      }
      told += 1
    }
    let block = AcknowledgementBlock(
      path: path, keyTag: keyTag & 3, largest: ranges[newest].last,
      arrivalMicroseconds: UInt32(truncatingIfNeeded: largestArrival.nanoseconds / 1000),
      delayMicroseconds: UInt32(clamping: now.nanoseconds(since: largestArrival) / 1000), congestionCount: congestionCount,
      rangeCount: told, rangesOffset: 0)
    block.writeHead(into: &out)
    var above = ranges[newest].last + 1
    for i in 0..<told {
      let index = (oldest + count - 1 - i) & 31
      out.appendFrameInteger(UInt16(truncatingIfNeeded: above - ranges[index].last - 1))
      // Only the last one told may be longer than this says; the sender knows its lower part already.
      out.appendFrameInteger(UInt16(clamping: ranges[index].last - ranges[index].first + 1))
      above = ranges[index].first
      if ranges[index].reports < .max { ranges[index].reports += 1 }
    }
    pendingCount = 0
    dueTime = .distantFuture
    lastWritten = now
    return block.byteCount
  }
}
