public import CausewayBase

/// Picks a path for each run. A scheduler keeps no clock and no packets; it may keep what it gave to whom.
public protocol Scheduler: Sendable {
  /// Where the next run goes. `paths` may change from call to call; places stay with their paths until `reset(_:)`.
  mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision
  /// `byteCount` bytes went out on the path at `index`; call it once for each run.
  mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>)
  /// The place now belongs to another path.
  mutating func reset(_ index: Int)
}

extension Scheduler {
  @inlinable public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {}
  @inlinable public mutating func reset(_ index: Int) {}
}

/// The schedulers by the names of the configuration.
public enum SchedulerKind: String, Sendable, CaseIterable {
  case auto, cfs, earliest, redundant, backup
}

/// One of the schedulers, without an existential: a switch costs a predicted branch.
public struct AnyScheduler: Scheduler {
  public let kind: SchedulerKind
  private var automatic = AutomaticScheduler()
  private var earliest = EarliestScheduler()
  private var redundant = RedundantScheduler()
  private var backup = BackupScheduler()

  public init(_ kind: SchedulerKind) { self.kind = kind }

  public mutating func pick(_ paths: borrowing Span<PathView>, _ demand: Demand, at now: Instant) -> Decision {
    switch kind {
    case .auto: automatic.pick(paths, demand, at: now)
    case .cfs: demand.isUrgent ? urgentTurn(paths, demand, at: now) : automatic.fair.pick(paths, demand, at: now)
    case .earliest: earliest.pick(paths, demand, at: now)
    case .redundant: redundant.pick(paths, demand, at: now)
    case .backup: backup.pick(paths, demand, at: now)
    }
  }

  public mutating func sent(_ byteCount: Int, on index: Int, _ paths: borrowing Span<PathView>) {
    switch kind {
    case .auto, .cfs: automatic.fair.sent(byteCount, on: index, paths)
    case .earliest, .redundant, .backup: break
    }
  }

  public mutating func reset(_ index: Int) { automatic.fair.reset(index) }
}
