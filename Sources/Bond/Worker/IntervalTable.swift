import CausewayBase
import CausewayBondCore
import CausewayPaths

/// Counts of the last request, so that a status can tell rates and means of what happened since.
final class IntervalTable {
  struct Key: Hashable {
    enum Subject: Hashable {
      /// Of one packet thread's path.
      case path(PathID)
      case peer, reorderDelay, queueDelay
    }
    var peer: PeerID
    var subject: Subject
  }

  private struct Sample {
    var at: Instant
    var counts: (UInt64, UInt64)
    var result = (0.0, 0.0)
  }

  /// Requests that follow each other faster get the figures of the one before.
  static let minimumInterval: UInt64 = 200_000_000
  private var samples: [Key: Sample] = [:]

  /// Bits a second since the request before.
  func rates(_ key: Key, sent: UInt64, received: UInt64, at now: Instant) -> (up: Double, down: Double) {
    update(key, (sent, received), at: now) { grown, seconds in (Double(grown.0) * 8 / seconds, Double(grown.1) * 8 / seconds) }
  }

  /// The mean of what came since the request before; 0 when nothing did.
  func mean(_ key: Key, sum: UInt64, count: UInt64, at now: Instant) -> Double {
    update(key, (sum, count), at: now) { grown, _ in (grown.1 == 0 ? 0 : Double(grown.0) / Double(grown.1), 0) }.0
  }

  func forget(_ peer: PeerID) { samples = samples.filter { $0.key.peer != peer } }

  private func update(
    _ key: Key, _ counts: (UInt64, UInt64), at now: Instant, _ result: ((UInt64, UInt64), Double) -> (Double, Double)
  ) -> (Double, Double) {
    guard var sample = samples[key] else {
      samples[key] = Sample(at: now, counts: counts)
      return (0, 0)
    }
    let elapsed = now.nanoseconds(since: sample.at)
    guard elapsed >= Self.minimumInterval else { return sample.result }
    // Counts begin anew when the path or the peer does.
    let grown = (counts.0 &- min(counts.0, sample.counts.0), counts.1 &- min(counts.1, sample.counts.1))
    sample = Sample(at: now, counts: counts, result: result(grown, Double(elapsed) / 1e9))
    samples[key] = sample
    return sample.result
  }
}
