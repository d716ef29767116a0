public import CausewayBase

/// A connection of two byte streams that dies once: by `kill()` or after a number of delivered bytes. What was under way in both
/// directions is then lost, and neither side is told: a dead connection swallows what is sent, as a kernel's buffer does.
public final class SimulatedConnection {
  /// The end that connected, or the one that accepted.
  public enum Side: Sendable { case client, server }

  private var upward: SimulatedByteStream
  private var downward: SimulatedByteStream
  private var bytesUntilDeath: Int?
  public private(set) var isAlive = true

  /// - Parameters:
  ///   - conditions: of each direction.
  ///   - bytesUntilDeath: how many bytes arrive, both directions together, before it dies; nil: it lives until `kill()`.
  public init(_ conditions: LinkConditions = LinkConditions(), bytesUntilDeath: Int? = nil, seed: UInt64) {
    upward = SimulatedByteStream(conditions, seed: seed)
    downward = SimulatedByteStream(conditions, seed: seed ^ 0xD1B5_4A32_D192_ED03)
    self.bytesUntilDeath = bytesUntilDeath
  }

  /// Takes a prefix of `bytes`, sent by `side`; all of them when dead.
  public func send(_ bytes: Span<UInt8>, from side: Side, at now: Instant) -> Int {
    guard isAlive else { return bytes.count }
    return side == .client ? upward.send(bytes, at: now) : downward.send(bytes, at: now)
  }

  /// What `send` from `side` would take.
  public func roomByteCount(from side: Side) -> Int {
    guard isAlive else { return .max }
    return side == .client ? upward.roomByteCount : downward.roomByteCount
  }

  /// When `side` next receives something; nil when nothing is under way to it.
  public func nextArrival(at side: Side) -> Instant? { side == .client ? downward.nextArrival : upward.nextArrival }

  /// Appends the next piece that has arrived at `side` to `buffer`; the death counts down by it.
  /// - Returns: its length, 0 when nothing has arrived.
  public func receive(into buffer: ByteBuffer, at side: Side, at now: Instant) -> Int {
    guard isAlive else { return 0 }
    if bytesUntilDeath == 0 {
      if let arrival = nextArrival(at: side), arrival <= now { kill() }
      return 0
    }
    let limit = bytesUntilDeath ?? .max
    let count =
      side == .client
      ? downward.receive(into: buffer, atMost: limit, at: now) : upward.receive(into: buffer, atMost: limit, at: now)
    if let left = bytesUntilDeath { bytesUntilDeath = left - count }
    if bytesUntilDeath == 0 { kill() }
    return count
  }

  public func kill() {
    isAlive = false
    upward.removeAll()
    downward.removeAll()
  }
}
