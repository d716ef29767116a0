/// The segments between acknowledged and sent, by number, in a ring: what is known of each, and the counts that Linux keeps.
struct Scoreboard {
  struct Segment: BitwiseCopyable {
    /// When it was last sent, ns.
    var sentAt: UInt64 = 0
    var isSacked = false
    var isLost = false
    /// Was sent again at least once.
    var wasRetransmitted = false
    /// The newest retransmission is still under way.
    var isRetransmissionOut = false
    /// Of the connection when it was sent, for its delivery rate: segments delivered, when the last of them was, when the first of what
    /// was then under way had been sent.
    var delivered: UInt64 = 0
    var deliveredAt: UInt64 = 0
    var firstSentAt: UInt64 = 0
    var isApplicationLimited = false
  }

  private var ring = [Segment](repeating: Segment(), count: 1024)
  /// The first that isn't acknowledged, and the next to be sent.
  private(set) var unacknowledged: UInt64 = 0
  private(set) var next: UInt64 = 0
  private(set) var sackedCount = 0
  private(set) var lostCount = 0
  private(set) var retransmissionCount = 0
  /// No lost segment that waits to be sent again lies before.
  private var lostHint: UInt64 = 0
  /// No segment that was sent once and is neither SACKed nor lost lies before.
  private var onceHint: UInt64 = 0
  /// Segments sent again, by time; those no longer under way are dropped when met.
  private var retransmissions: [UInt64] = []

  var outCount: Int { Int(next - unacknowledged) }
  var inFlight: Int { outCount - sackedCount - lostCount + retransmissionCount }

  subscript(number: UInt64) -> Segment {
    get { ring[Int(truncatingIfNeeded: number) & (ring.count - 1)] }
    set { ring[Int(truncatingIfNeeded: number) & (ring.count - 1)] = newValue }
  }

  mutating func append(_ segment: Segment) {
    if outCount == ring.count { grow() }
    self[next] = segment
    next += 1
  }

  private mutating func grow() {
    var larger = [Segment](repeating: Segment(), count: ring.count * 2)
    for number in unacknowledged..<next { larger[Int(truncatingIfNeeded: number) & (larger.count - 1)] = self[number] }
    ring = larger
  }

  /// Takes the first segment off. - Returns: what was known of it.
  mutating func removeFirst() -> Segment {
    let segment = self[unacknowledged]
    if segment.isSacked { sackedCount -= 1 }
    if segment.isLost { lostCount -= 1 }
    if segment.isRetransmissionOut { retransmissionCount -= 1 }
    unacknowledged += 1
    return segment
  }

  mutating func markSacked(_ number: UInt64) {
    var segment = self[number]
    if segment.isLost { lostCount -= 1 }
    if segment.isRetransmissionOut { retransmissionCount -= 1 }
    (segment.isLost, segment.isRetransmissionOut, segment.isSacked) = (false, false, true)
    sackedCount += 1
    self[number] = segment
  }

  /// Lost, or its retransmission is.
  mutating func markLost(_ number: UInt64) {
    var segment = self[number]
    if segment.isSacked { return }
    if segment.isRetransmissionOut {
      segment.isRetransmissionOut = false
      retransmissionCount -= 1
    }
    if !segment.isLost { lostCount += 1 }
    segment.isLost = true
    self[number] = segment
    lostHint = min(lostHint, number)
  }

  /// - Parameter copy: what is known of the new sending.
  mutating func markRetransmitted(_ number: UInt64, _ copy: Segment) {
    let segment = self[number]
    if !segment.isRetransmissionOut { retransmissionCount += 1 }
    var copy = copy
    (copy.isRetransmissionOut, copy.wasRetransmitted) = (true, true)
    (copy.isLost, copy.isSacked) = (segment.isLost, segment.isSacked)
    self[number] = copy
    retransmissions.append(number)
  }

  /// Nothing counts as lost any more: it was a mistake.
  mutating func clearLost() {
    if lostCount == 0 { return }
    for number in unacknowledged..<next where self[number].isLost { self[number].isLost = false }
    lostCount = 0
    onceHint = unacknowledged
  }

  /// Marks what was sent before `(sentAt, number)` and is older than `wait` as lost (RFC 8985 §7.2).
  /// - Returns: how long until the next of them will be; 0: there is none.
  mutating func markLost(sentBefore sentAt: UInt64, _ number: UInt64, olderThan wait: UInt64, at now: UInt64) -> UInt64 {
    var longest: UInt64 = 0
    var index = max(onceHint, unacknowledged)
    var isFirst = true
    while index < next {
      let segment = self[index]
      let isCandidate = !segment.isSacked && !segment.isLost && !segment.wasRetransmitted
      if isCandidate {
        if segment.sentAt > sentAt || (segment.sentAt == sentAt && index >= number) { break }
        let age = now - segment.sentAt
        if age >= wait {
          markLost(index)
        } else {
          longest = max(longest, wait - age)
          if isFirst { onceHint = index }
          isFirst = false
        }
      }
      index += 1
    }
    if isFirst { onceHint = index }
    if !retransmissions.isEmpty { markLostRetransmissions(sentAt, number, wait, now, &longest) }
    return longest
  }

  private mutating func markLostRetransmissions(
    _ sentAt: UInt64, _ number: UInt64, _ wait: UInt64, _ now: UInt64, _ longest: inout UInt64
  ) {
    var kept = 0
    for position in retransmissions.indices {
      let index = retransmissions[position]
      guard index >= unacknowledged, self[index].isRetransmissionOut else { continue }
      let segment = self[index]
      if segment.sentAt < sentAt || (segment.sentAt == sentAt && index < number) {
        let age = now - segment.sentAt
        if age >= wait {
          markLost(index)
          continue
        }
        longest = max(longest, wait - age)
      }
      retransmissions[kept] = index
      kept += 1
    }
    retransmissions.removeLast(retransmissions.count - kept)
  }

  /// The first lost segment that isn't under way again.
  mutating func nextLost() -> UInt64? {
    if lostCount == 0 { return nil }
    var number = max(lostHint, unacknowledged)
    while number < next {
      let segment = self[number]
      if segment.isLost && !segment.isRetransmissionOut {
        lostHint = number
        return number
      }
      number += 1
    }
    lostHint = next
    return nil
  }
}
