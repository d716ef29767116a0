/// What became of packets in a `FairQueue`; for status.
package struct QueueCounters: Equatable, Sendable, BitwiseCopyable {
  package var enqueued: UInt64 = 0
  package var dequeued: UInt64 = 0
  /// Marked CE by CoDel instead of dropped.
  package var marked: UInt64 = 0
  /// Dropped by CoDel.
  package var controlled: UInt64 = 0
  /// Dropped because the queue was full.
  package var overflowed: UInt64 = 0
  /// Dropped because they had waited too long with no path to take.
  package var expired: UInt64 = 0
  /// Time from `enqueuedAt` to `dequeue`, nanoseconds.
  package var sojournSum: UInt64 = 0
  /// The greatest since it was last asked for: `FairQueue.takeSojournMaximum`.
  package var sojournMaximum: UInt64 = 0

  package init() {}

  package var meanSojourn: UInt64 { dequeued == 0 ? 0 : sojournSum / dequeued }
}
