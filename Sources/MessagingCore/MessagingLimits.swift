/// The bounds of an engine's core. All but those named as constants may be set.
public struct MessagingLimits: Sendable {
  /// Messages of a connection that may wait for an earlier one; beyond it the peer breaks the protocol.
  public static let reorderLimit = 1024

  /// Sends and receives under way at once.
  public var inFlight = 65_536
  /// Cost of unreceived messages of all connections together, in bytes.
  public var unreceivedByteCount = 64 << 20
  /// Least and greatest share of it that one connection is granted, in bytes.
  public var minimumGrant = 64 << 10
  public var maximumGrant = 4 << 20
  /// Room for so many receives, messages and sends is made at the start; tables grow beyond it and never shrink.
  public var initialCapacity = 1024
  /// Where sequence and credit counters start, the same on both sides. Tests begin just before the wrap.
  var counterStart: UInt32 = 0

  public init() {}

  /// What a connection is granted among `connections`, in units of 64 B: the byte limit divided by their number, rounded up to three
  /// significant bits, so that not every connect is announced to every peer; within minimum and maximum. The sum never exceeds the limit
  /// while the minimum allows it.
  func grant(connections: Int) -> UInt32 {
    var divisor = max(connections, 1)
    let shift = Int.bitWidth - divisor.leadingZeroBitCount - 3
    if shift > 0 { divisor = ((divisor - 1) >> shift + 1) << shift }
    let least = max(minimumGrant, 2 * Int(MessageCost.rendezvous) * MessageCost.unit)
    let most = min(max(maximumGrant, least), 1 << 32)
    return UInt32(min(max(unreceivedByteCount / divisor, least), most) / MessageCost.unit)
  }
}
