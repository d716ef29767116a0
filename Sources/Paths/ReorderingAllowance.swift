import CausewayBase

/// How much longer than the smoothed round trip packets took that others had overtaken: the greatest of the last ten seconds, give or take
/// half. So much longer one is waited for before it counts as lost.
///
/// A path that mixed its packets for a moment (its delay fell, its jitter ended) would have each loss found late for ten seconds, too late
/// for the hold of the receiver. So, as RACK does after sixteen recoveries (RFC 8985 6.2), it is forgotten when as many losses in a row
/// as `lossLimit` were just that, and nothing came about as late as what is remembered.
struct ReorderingAllowance: Sendable, BitwiseCopyable {
  static let lossLimit = 8

  /// Negated: a windowed maximum.
  private var window = WindowedMinimum()
  private var lossCount = 0

  /// Nanoseconds.
  var value: UInt64 { window.isEmpty ? 0 : UInt64(-window.value) }

  mutating func note(_ excess: UInt64, at now: Instant) {
    if excess > value / 2 { lossCount = 0 }
    window.update(-Int64(excess), at: now)
  }

  mutating func lost(_ packetCount: Int) {
    guard !window.isEmpty else { return }
    lossCount += packetCount
    if lossCount >= Self.lossLimit { self = ReorderingAllowance() }
  }
}
