package import CausewayBase

/// When a resend is worth its bytes: when it arrives within 200 ms of the first sending. Later, the inner sender has long repeated it.
package enum ResendRule {
  /// Nanoseconds.
  package static let deadline: UInt64 = 200_000_000
  /// The receiver's longest wait before it acknowledges.
  static let acknowledgementDelay = AckTracker.maximumInterval

  /// - Parameter delay: from now to the arrival over the path chosen, its queue included, nanoseconds.
  @inline(__always) package static func allows(firstSent: Instant, now: Instant, delay: UInt64) -> Bool {
    now.nanoseconds(since: firstSent) &+ delay <= deadline
  }

  /// Whether losses on a path can usually be mended by a resend on it: round trip, time to notice, and the way there again.
  package static func isInTime(smoothedRoundTrip: UInt64, variation: UInt64, minimum: UInt64) -> Bool {
    let detection = max(minimum / 8, 4 * min(variation, deadline))
    return min(smoothedRoundTrip, 2 * deadline) + detection + acknowledgementDelay + min(smoothedRoundTrip, 2 * deadline) / 2 <= deadline
  }
}

/// Keeps resends to a share of what is sent, so that a path which loses much isn't made worse. What is in flight on a path that is set
/// aside doesn't count: that path sends nothing any more.
package struct ResendBudget: Equatable, Sendable {
  /// Of all bytes sent: a tenth.
  static let divisor = 10
  /// What may be resent at once after a quiet time.
  package static let creditLimit = 256 * 1024

  package private(set) var credit = creditLimit / 4

  package init() {}

  /// Bytes of first copies.
  @inline(__always) package mutating func sent(_ byteCount: Int) {
    credit = min(Self.creditLimit, credit &+ byteCount / Self.divisor)
  }

  /// Takes the bytes of a resend. False: send a SKIP instead.
  @inline(__always) package mutating func spend(_ byteCount: Int) -> Bool {
    guard credit >= byteCount else { return false }
    credit &-= byteCount
    return true
  }
}
