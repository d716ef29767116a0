/// When a resend is in time: when it arrives within 200 ms of the first sending. Later, the inner sender has long repeated it.
enum ResendRule {
  /// Nanoseconds.
  static let deadline: UInt64 = 200_000_000
  /// The receiver's longest wait before it acknowledges.
  static let acknowledgementDelay = AckTracker.maximumInterval

  /// Whether losses on a path can usually be mended by a resend on it: round trip, time to notice, and the way there again.
  static func isInTime(smoothedRoundTrip: UInt64, variation: UInt64, minimum: UInt64) -> Bool {
    let detection = max(minimum / 8, 4 * min(variation, deadline))
    return min(smoothedRoundTrip, 2 * deadline) + detection + acknowledgementDelay + min(smoothedRoundTrip, 2 * deadline) / 2 <= deadline
  }
}
