// CausewaySimulation: networks in virtual time, for tests of cores and for trying policies. A `SimulatedLink` carries datagrams one
// way and may lose, delay, reorder, duplicate or cut them; a `SimulatedConnection` carries bytes both ways in order until it dies. Both
// know no protocol, read no clock and draw all chance from one seed: print the seed and a failure can be replayed.
// Start with LinkConditions, then SimulatedLink (datagrams) or SimulatedConnection (byte streams).

/// What one direction of a simulated path does to what it carries. The default is a quiet path of 10 ms.
public struct LinkConditions: Sendable {
  /// The time from leaving the sender to arriving, one way.
  public var delay = Duration.milliseconds(10)
  /// Up to so much more, drawn evenly. It never reorders: what follows waits behind.
  public var jitter = Duration.zero
  /// Nil: no limit.
  public var bytesPerSecond: UInt64?
  /// Bytes that may wait for the path or travel on it. Datagrams beyond it are lost, a byte stream takes no more.
  public var queueByteCount = 256 * 1024

  // Datagrams only; shares of 0...1.
  public var loss = 0.0
  public var duplication = 0.0
  /// Share that is held back for another `reorderingDelay`, so that later ones overtake it.
  public var reordering = 0.0
  public var reorderingDelay = Duration.milliseconds(5)
  /// Share that arrives cut at a random byte.
  public var truncation = 0.0

  // Byte streams only.
  /// Sizes of the pieces in which a byte stream arrives.
  public var segmentByteCount = 1...1460

  public init() {}

  /// When the last of `byteCount` bytes has left a sender that was busy until `start`.
  func departure(of byteCount: Int, from start: UInt64) -> UInt64 {
    guard let bytesPerSecond, bytesPerSecond > 0 else { return start }
    return start + UInt64(Double(byteCount) / Double(bytesPerSecond) * 1e9)
  }
}
