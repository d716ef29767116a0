public import CausewayBase

/// One direction of a datagram path in virtual time.
public struct SimulatedLink: Sendable {
  public let conditions: LinkConditions
  /// What happened so far, in datagrams.
  public struct Statistics: Equatable, Sendable {
    public var sent = 0
    /// By chance.
    public var lost = 0
    /// Because the queue was full.
    public var overflowed = 0
    public var duplicated = 0
    public var reordered = 0
    public var truncated = 0
    public var delivered = 0
  }
  public private(set) var statistics = Statistics()
  private var random: SeededRandom
  private var inFlight = ArrivalHeap()
  private var inFlightByteCount = 0
  private var busyUntil: UInt64 = 0
  private var lastArrival: UInt64 = 0

  public init(_ conditions: LinkConditions = LinkConditions(), seed: UInt64) {
    self.conditions = conditions
    random = SeededRandom(seed: seed)
  }

  /// Puts a datagram on the path. Like a network it never refuses: what does not survive is only counted.
  public mutating func send(_ datagram: Span<UInt8>, at now: Instant) {
    statistics.sent += 1
    guard !random.happens(conditions.loss) else {
      statistics.lost += 1
      return
    }
    // SAFETY: copied within the call.
    var payload = unsafe datagram.withUnsafeBufferPointer { source in unsafe [UInt8](source) }
    if random.happens(conditions.truncation) && !payload.isEmpty {
      payload.removeLast(Int.random(in: 1...payload.count, using: &random))
      statistics.truncated += 1
    }
    guard inFlightByteCount + payload.count <= conditions.queueByteCount else {
      statistics.overflowed += 1
      return
    }
    let copies = random.happens(conditions.duplication) ? 2 : 1
    statistics.duplicated += copies - 1
    for _ in 0..<copies {
      busyUntil = conditions.departure(of: payload.count, from: max(now.nanoseconds, busyUntil))
      var arrival = busyUntil + UInt64(conditions.delay.wholeNanoseconds) + random.duration(upTo: conditions.jitter)
      if random.happens(conditions.reordering) {
        arrival += UInt64(conditions.reorderingDelay.wholeNanoseconds)
        statistics.reordered += 1
      } else {
        arrival = max(arrival, lastArrival)
        lastArrival = arrival
      }
      inFlight.insert(payload, at: arrival)
      inFlightByteCount += payload.count
    }
  }

  /// When the next datagram arrives; nil when none is under way.
  public var nextArrival: Instant? { inFlight.first.map { Instant(nanoseconds: $0) } }

  /// The next datagram that has arrived by `now`, or nil.
  public mutating func receive(at now: Instant) -> [UInt8]? {
    guard let arrival = inFlight.first, arrival <= now.nanoseconds else { return nil }
    let payload = inFlight.removeFirst()
    inFlightByteCount -= payload.count
    statistics.delivered += 1
    return payload
  }
}

/// Datagrams by arrival; those of one instant in the order they were sent.
private struct ArrivalHeap: Sendable {
  private struct Item {
    var arrival: UInt64
    var sequence: UInt64
    var payload: [UInt8]
    func precedes(_ other: Item) -> Bool { (arrival, sequence) < (other.arrival, other.sequence) }
  }
  private var items: [Item] = []
  private var sequence: UInt64 = 0

  var first: UInt64? { items.first?.arrival }

  mutating func insert(_ payload: [UInt8], at arrival: UInt64) {
    items.append(Item(arrival: arrival, sequence: sequence, payload: payload))
    sequence += 1
    var child = items.count - 1
    while child > 0, items[child].precedes(items[(child - 1) / 2]) {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeFirst() -> [UInt8] {
    items.swapAt(0, items.count - 1)
    let payload = items.removeLast().payload
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && items[child].precedes(items[least]) { least = child }
      if least == parent { return payload }
      items.swapAt(parent, least)
      parent = least
    }
  }
}

extension SeededRandom {
  /// Draws even for a share of 0, so that changing one share does not shift the rest of a seed's chance.
  mutating func happens(_ share: Double) -> Bool { Double(next() >> 11) * 0x1p-53 < share }

  /// Nanoseconds, 0...limit.
  mutating func duration(upTo limit: Duration) -> UInt64 {
    let draw = next()
    let nanoseconds = UInt64(max(0, limit.wholeNanoseconds))
    return nanoseconds == 0 ? 0 : draw % (nanoseconds + 1)
  }
}
