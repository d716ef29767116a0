public import Synchronization

/// Counts up. Any thread may add; adding is one relaxed atomic add, without a lock. A loop should ask the registry for a cell of its own:
/// cells of one series are summed when they are read.
public final class Counter: Sendable {
  @usableFromInline let cell = Atomic<UInt64>(0)
  // Keeps the cells of two loops out of one cache line.
  private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

  init() {}

  /// Wraps after 2^64.
  @inlinable public func add(_ count: Int = 1) { cell.wrappingAdd(UInt64(truncatingIfNeeded: count), ordering: .relaxed) }

  /// Shows a total that somebody else keeps; for a cell that nobody adds to.
  public func mirror(_ total: UInt64) { cell.store(total, ordering: .relaxed) }

  public var value: UInt64 { cell.load(ordering: .relaxed) }
}

/// Goes up and down. Cells of one series are summed.
public final class Gauge: Sendable {
  @usableFromInline let cell = Atomic<Int64>(0)
  private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)

  init() {}

  @inlinable public func add(_ change: Int = 1) { cell.wrappingAdd(Int64(truncatingIfNeeded: change), ordering: .relaxed) }
  @inlinable public func subtract(_ change: Int = 1) { add(-change) }
  @inlinable public func set(_ value: Int) { cell.store(Int64(truncatingIfNeeded: value), ordering: .relaxed) }

  public var value: Int64 { cell.load(ordering: .relaxed) }
}

/// Sorts values into fixed buckets. Values are whole numbers of a small unit (nanoseconds, bytes); the family says how they are shown.
public final class Histogram: Sendable {
  /// Inclusive upper bounds, ascending; values above the last go to the bucket without bound.
  public let bounds: [UInt64]
  @usableFromInline let buckets: AtomicCells
  @usableFromInline let total = Atomic<UInt64>(0)

  init(bounds: [UInt64]) {
    self.bounds = bounds
    buckets = AtomicCells(count: bounds.count + 1)
  }

  /// O(buckets), two relaxed atomic adds.
  @inlinable public func observe(_ value: UInt64) {
    var index = 0
    while index < bounds.count && value > bounds[index] { index += 1 }
    buckets.add(1, at: index)
    total.wrappingAdd(value, ordering: .relaxed)
  }

  var sum: UInt64 { total.load(ordering: .relaxed) }

  /// Nanoseconds; negative spans count as zero.
  public func observe(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    observe(seconds < 0 ? 0 : UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000))
  }
}

/// A fixed run of atomic counters in one allocation.
@safe @usableFromInline final class AtomicCells: Sendable {
  @usableFromInline let count: Int
  // Written once; the cells themselves are atomic.
  @usableFromInline nonisolated(unsafe) let cells: UnsafeMutablePointer<Atomic<UInt64>>

  init(count: Int) {
    self.count = count
    unsafe cells = .allocate(capacity: count)
    for index in 0..<count { unsafe (cells + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe cells.deinitialize(count: count)
    unsafe cells.deallocate()
  }

  @inlinable func add(_ value: UInt64, at index: Int) {
    precondition(index >= 0 && index < count, "no such cell")
    // SAFETY: checked above; the allocation lives as long as this object.
    unsafe cells[index].wrappingAdd(value, ordering: .relaxed)
  }

  func load(at index: Int) -> UInt64 {
    precondition(index >= 0 && index < count, "no such cell")
    // SAFETY: checked above.
    return unsafe cells[index].load(ordering: .relaxed)
  }
}

/// Bucket bounds for common quantities.
public enum HistogramBounds {
  /// 100 µs to 30 s, in nanoseconds.
  public static let latency: [UInt64] = [
    100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
  ]
  /// 256 B to 1 GiB in steps of four.
  public static let byteCount: [UInt64] = (4...15).map { 1 << (2 * $0) }
}
