import CausewayBase

/// What a flow sent lately: whether it is a transfer, and whether that has fallen silent.
struct FlowMeter: BitwiseCopyable {
  static let window: UInt64 = 500_000_000
  /// More than this in two windows is a transfer.
  static let bulkByteCount: UInt32 = 128 * 1024
  /// A transfer that sends nothing for so long is quiet, until it sends more than a few packets in a short window again.
  static let quietGap: UInt64 = 10_000_000
  /// A connection that has not become a transfer within this has begun.
  static let beginning: UInt64 = 1_000_000_000
  static let quietWindow: UInt64 = 40_000_000
  static let quietByteCount: UInt32 = 32 * 1024

  private var startedAt: UInt64 = 0
  private var current: UInt32 = 0
  private var previous: UInt32 = 0
  private var lastAt: UInt64 = 0
  private var quietStart: UInt64 = 0
  private var quietBytes: UInt32 = 0
  private var isQuietNow = false
  private var openedAt: UInt64 = 0
  private var bytesSinceOpening: UInt32 = 0

  @inline(__always) mutating func add(_ byteCount: Int, at now: Instant) {
    let age = now.nanoseconds &- startedAt
    if age >= Self.window {
      previous = age < 2 &* Self.window ? current : 0
      current = 0
      startedAt = now.nanoseconds
    }
    let count = UInt32(truncatingIfNeeded: byteCount)
    current = current &+ min(count, UInt32.max &- current)
    bytesSinceOpening = bytesSinceOpening &+ min(count, UInt32.max &- bytesSinceOpening)
    if now.nanoseconds &- lastAt >= Self.quietGap { isQuietNow = true }
    lastAt = now.nanoseconds
    guard isQuietNow else { return }
    if now.nanoseconds &- quietStart > Self.quietWindow {
      quietStart = now.nanoseconds
      quietBytes = 0
    }
    quietBytes &+= count
    if quietBytes > Self.quietByteCount { isQuietNow = false }
  }

  /// A connection begins with what is added next.
  @inline(__always) mutating func open(at now: Instant) {
    openedAt = now.nanoseconds
    bytesSinceOpening = 0
  }

  /// Its connection was opened a moment ago and is no transfer yet.
  @inline(__always) func isBeginning(at now: Instant) -> Bool {
    openedAt != 0 && now.nanoseconds &- openedAt < Self.beginning && bytesSinceOpening < Self.bulkByteCount
  }

  /// Nothing was sent for so long that its next packet is alone.
  @inline(__always) func isIdle(at now: Instant) -> Bool { now.nanoseconds &- lastAt >= Self.quietGap }

  /// It sent much within the last second, at most, and hardly anything just now.
  @inline(__always) func isQuietTransfer(at now: Instant) -> Bool {
    guard isQuietNow || now.nanoseconds &- lastAt >= Self.quietGap else { return false }
    return isTransfer(at: now)
  }

  @inline(__always) func isTransfer(at now: Instant) -> Bool {
    let age = now.nanoseconds &- startedAt
    guard age < 2 &* Self.window else { return false }
    return UInt64(current) &+ UInt64(age < Self.window ? previous : 0) > UInt64(Self.bulkByteCount)
  }
}
