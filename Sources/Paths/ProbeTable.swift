import CausewayBase

/// The probes that are out, newest sixteen. Ids ascend, so a probe's place is its id's low bits.
struct ProbeTable: Sendable {
  /// Probes remembered at a time.
  static let limit = 16

  private struct Entry: BitwiseCopyable {
    var id: UInt32 = 0
    var sentAt: Instant = .zero
    var isOut = false
  }
  private var entries = InlineArray<16, Entry>(repeating: Entry())
  private var nextID: UInt32 = 1

  /// A new probe, out from `now` until `sent` says otherwise.
  mutating func next(at now: Instant) -> UInt32 {
    let id = nextID
    nextID &+= 1
    entries[Int(id) % Self.limit] = Entry(id: id, sentAt: now, isOut: true)
    return id
  }

  mutating func sent(_ id: UInt32, at now: Instant) {
    let index = Int(id) % Self.limit
    if entries[index].id == id && entries[index].isOut { entries[index].sentAt = now }
  }

  /// When the probe was sent, once; also of one that has timed out.
  mutating func answered(_ id: UInt32) -> Instant? {
    let index = Int(id) % Self.limit
    guard id != 0, entries[index].id == id else { return nil }
    let sentAt = entries[index].sentAt
    entries[index] = Entry()
    return sentAt
  }

  /// Takes the oldest probe that is past its time-out off the list of those awaited; its late echo is still known.
  /// - Returns: When it was sent; nil when none is past.
  mutating func expire(_ timeout: UInt64, at now: Instant) -> Instant? {
    guard let index = oldest, entries[index].sentAt.nanoseconds &+ timeout <= now.nanoseconds else { return nil }
    entries[index].isOut = false
    return entries[index].sentAt
  }

  func oldestTimeout(_ timeout: UInt64) -> Instant? {
    guard let index = oldest else { return nil }
    return Instant(nanoseconds: entries[index].sentAt.nanoseconds &+ timeout)
  }

  /// None is awaited any more; late echoes are still known.
  mutating func forget() {
    for index in 0..<Self.limit { entries[index].isOut = false }
  }

  private var oldest: Int? {
    var found: Int?
    for index in 0..<Self.limit where entries[index].isOut {
      if let best = found, entries[best].sentAt <= entries[index].sentAt { continue }
      found = index
    }
    return found
  }
}

/// Facts in order, at most eight between two looks; the oldest probe makes way, a change never does before a probe.
struct FactQueue: Sendable {
  static let limit = 8
  private var facts = InlineArray<8, PathFact>(repeating: .sendProbe(0))
  private var count = 0

  mutating func append(_ fact: PathFact) {
    if count == Self.limit { remove(at: firstProbe ?? 0) }
    facts[count] = fact
    count += 1
  }

  mutating func take() -> PathFact? {
    guard count > 0 else { return nil }
    let fact = facts[0]
    remove(at: 0)
    return fact
  }

  private var firstProbe: Int? {
    for index in 0..<count { if case .sendProbe = facts[index] { return index } }
    return nil
  }

  private mutating func remove(at position: Int) {
    for index in position..<(count - 1) { facts[index] = facts[index + 1] }
    count -= 1
  }
}
