import CausewayBase
import CausewayPaths

/// One direction of a path in virtual time: rate with a token bucket, tail-drop queue, delay, jitter that reorders, random loss.
struct VirtualLink {
  /// Bytes per second; 0: no limit.
  var rate = 0.0
  var delay: UInt64 = 10_000_000
  /// Up to so much more or less, evenly.
  var jitter: UInt64 = 0
  var loss = 0.0
  var queueByteCount = 256_000.0
  /// Bytes that pass at once after a pause.
  var burst = 1500.0
  /// Arrivals come in at multiples of this: interrupts and poll loops. 0: as they are.
  var grain: UInt64 = 0
  /// What exceeds rate and burst is dropped at once: no queue at all.
  var isPolicer = false
  var isDead = false
  /// A TCP connection: what is lost comes a round trip later, and nothing before what was sent before it.
  var isStream = false

  private(set) var droppedCount = 0
  /// Segments of a stream on their way, by themselves.
  fileprivate var segmentArrivals: [(arrival: UInt64, byteCount: Int)] = []
  private var delivered: UInt64 = 0
  fileprivate var lastArrival: UInt64 = 0
  private var busyUntil = 0.0

  init(
    _ megabits: Double, milliseconds: Double, jitter: Double = 0, loss: Double = 0, queue: Double = 256_000, burst: Double = 1500,
    isPolicer: Bool = false,
    isStream: Bool = false
  ) {
    rate = megabits * 125_000
    delay = UInt64(milliseconds * 1e6)
    self.jitter = UInt64(jitter * 1e6)
    self.loss = loss
    queueByteCount = queue
    self.burst = burst
    self.isPolicer = isPolicer
    self.isStream = isStream
  }

  /// What a stream's sender hears of by `now`: segments that came `back` nanoseconds ago, whether or not those before them did.
  mutating func report(back: UInt64, at now: UInt64) -> TransportReport {
    segmentArrivals.removeAll {
      guard $0.arrival + back <= now else { return false }
      delivered += UInt64($0.byteCount)
      return true
    }
    return TransportReport(deliveredByteCount: delivered, roundTrip: delay + back + UInt64(waiting(at: now)))
  }

  /// Nanoseconds that a byte would wait now.
  func waiting(at now: UInt64) -> Double { rate > 0 ? max(0, busyUntil - Double(now)) : 0 }

  mutating func setRate(megabits: Double, at now: UInt64) {
    let backlog = waiting(at: now) * rate
    rate = megabits * 125_000
    busyUntil = Double(now) + backlog / rate
  }

  /// When the datagram comes out, or nil when it is lost.
  mutating func admit(_ byteCount: Int, at now: UInt64, _ random: inout SeededRandom) -> UInt64? {
    if isDead { return nil }
    var out = Double(now)
    if rate > 0 {
      let limit = isPolicer ? burst : queueByteCount
      if waiting(at: now) / 1e9 * rate + Double(byteCount) > limit {
        droppedCount += 1
        return isStream ? repeated(byteCount, at: now) : nil
      }
      let saved = isPolicer ? 0 : burst / rate * 1e9
      busyUntil = max(busyUntil, Double(now) - saved) + Double(byteCount) / rate * 1e9
      out = isPolicer ? Double(now) : max(out, busyUntil)
    }
    var arrival = UInt64(out) + delay
    if loss > 0 && Double(random.next() >> 11) / 9_007_199_254_740_992 < loss {
      return isStream ? repeated(byteCount, at: UInt64(out)) : nil
    }
    if isStream {
      segmentArrivals.append((arrival, byteCount))
      lastArrival = max(lastArrival, arrival)
      return lastArrival
    }
    if jitter > 0 { arrival = arrival - jitter + random.next() % (2 * jitter) }
    if grain > 0 { arrival = (arrival + grain - 1) / grain * grain }
    return arrival
  }
}

extension VirtualLink {
  /// A segment that was lost comes with its repetition, and all behind it with it.
  fileprivate mutating func repeated(_ byteCount: Int, at sentAt: UInt64) -> UInt64 {
    let arrival = sentAt + UInt64(waiting(at: sentAt)) + 3 * delay
    segmentArrivals.append((arrival, byteCount))
    lastArrival = max(lastArrival, arrival)
    return lastArrival
  }
}

/// What a receiver remembers of one path and when it acknowledges: every max(2 ms, min(10 ms, srtt/8)) or 32 packets, at once for a gap
/// or after a pause.
struct VirtualReceiver {
  private(set) var ranges: [CounterRange] = []  // descending
  private(set) var largestArrival: UInt64 = 0
  private var unacknowledged = 0
  private var lastArrival: UInt64 = 0
  private(set) var due: UInt64?
  var interval: UInt64 = 5_000_000
  var packetLimit = 32
  private(set) var byteCount = 0

  /// - Returns: Whether to acknowledge at once.
  mutating func receive(_ counter: UInt64, _ bytes: Int, at now: UInt64) -> Bool {
    byteCount += bytes
    var gap = false
    if let first = ranges.first {
      if counter > first.last {
        gap = counter > first.last + 1
        largestArrival = now
      }
    } else {
      largestArrival = now
    }
    insert(counter)
    unacknowledged += 1
    let idle = now > lastArrival + 20_000_000
    lastArrival = now
    if gap || idle || unacknowledged >= packetLimit { return true }
    if due == nil { due = now + interval }
    return false
  }

  mutating func acknowledged() {
    unacknowledged = 0
    due = nil
  }

  private mutating func insert(_ counter: UInt64) {
    var index = 0
    while index < ranges.count && ranges[index].first > counter + 1 { index += 1 }
    if index < ranges.count && counter <= ranges[index].last && counter >= ranges[index].first { return }
    if index < ranges.count && counter == ranges[index].last + 1 {
      ranges[index].last = counter
      if index > 0 && ranges[index - 1].first == counter + 1 {
        ranges[index].last = ranges[index - 1].last
        ranges.remove(at: index - 1)
      }
    } else if index < ranges.count && counter + 1 == ranges[index].first {
      ranges[index].first = counter
      if index + 1 < ranges.count && ranges[index + 1].last + 1 == counter {
        ranges[index].first = ranges[index + 1].first
        ranges.remove(at: index + 1)
      }
    } else {
      ranges.insert(CounterRange(first: counter, last: counter), at: index)
    }
    if ranges.count > 32 { ranges.removeLast() }
  }
}
