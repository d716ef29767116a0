/// What a user knows better than an estimate, in bytes per second, one direction of one path.
public enum RateLimit: Equatable, Sendable, BitwiseCopyable {
  /// Estimate freely.
  case none
  /// Estimate, but never above (what the peer asks us to keep to).
  case ceiling(UInt64)
  /// Believe it: no estimate.
  case fixed(UInt64)
}
