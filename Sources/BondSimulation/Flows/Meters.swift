package import CausewayBase

/// Bytes by tenth of a second from a flow's start.
package final class GoodputMeter {
  package static let bucket: UInt64 = 100_000_000
  let start: Instant
  package private(set) var buckets: [Int] = []
  package private(set) var total = 0

  init(start: Instant) { self.start = start }

  func add(_ byteCount: Int, at now: Instant) {
    let index = Int(now.nanoseconds(since: start) / Self.bucket)
    // A bound against clock jumps: an hour.
    guard index < 36_000 else { return }
    while buckets.count <= index { buckets.append(0) }
    buckets[index] += byteCount
    total += byteCount
  }

  /// Bytes between two times after the start, in whole tenths.
  package func byteCount(from: Duration, to: Duration) -> Int {
    let first = max(0, Int(from.wholeNanoseconds) / Int(Self.bucket))
    let last = min(buckets.count, Int(to.wholeNanoseconds) / Int(Self.bucket))
    return first < last ? buckets[first..<last].reduce(0, +) : 0
  }
}

/// Delays with the time they were seen at, for percentiles of a part of the run.
package struct DelaySamples: Sendable {
  private var samples: [(at: Instant, delay: UInt64)] = []

  package var count: Int { samples.count }

  mutating func add(_ delay: UInt64, at now: Instant) { samples.append((now, delay)) }

  package func sorted(from: Instant) -> [UInt64] { samples.lazy.filter { $0.at >= from }.map(\.delay).sorted() }

  /// The value that a share of all is not above; nil without samples.
  package static func percentile(_ share: Double, of sorted: [UInt64]) -> Duration? {
    if sorted.isEmpty { return nil }
    let index = min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))
    return .nanoseconds(Int64(clamping: sorted[index]))
  }
}
