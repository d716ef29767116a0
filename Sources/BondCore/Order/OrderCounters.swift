/// What became of packets at a `ReorderBuffer`; for status.
package struct OrderCounters: Equatable, Sendable, BitwiseCopyable {
  /// In order and at once.
  package var delivered: UInt64 = 0
  /// Had to wait for an earlier one; counted when it was put aside.
  package var held: UInt64 = 0
  /// Gaps no longer waited for: the hold limit passed, memory was full, or the sender began anew.
  package var gaveUp: UInt64 = 0
  /// Gaps the sender abandoned by SKIP.
  package var skipped: UInt64 = 0
  /// Came after it had been given up, and was delivered then.
  package var late: UInt64 = 0
  /// Copies of what had been lost: they came behind later packets, and in time.
  package var repaired: UInt64 = 0
  /// Copies dropped: seen before, or too old to tell.
  package var duplicates: UInt64 = 0
  /// Given up before their time because the memory for held packets was full.
  package var overflows: UInt64 = 0
  /// Time that released packets were held, nanoseconds.
  package var delaySum: UInt64 = 0
  package var delayMaximum: UInt64 = 0
  package var released: UInt64 = 0
  /// The longest of the last one to two seconds.
  package var recentDelay = RecentMaximum()

  package init() {}

  /// Mean time held, nanoseconds, over all packets delivered.
  package var meanDelay: UInt64 { delivered &+ released == 0 ? 0 : delaySum / (delivered &+ released) }
}
