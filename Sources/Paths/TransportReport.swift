/// What a connection below a path (TCP) knows of our direction by its own acknowledgements, which come for each segment, whether or not
/// those before it have come.
public struct TransportReport: Equatable, Sendable, BitwiseCopyable {
  /// Bytes of ours that the other end has got since the connection began.
  public var deliveredByteCount: UInt64
  /// Smoothed round trip of segments, in nanoseconds.
  public var roundTrip: UInt64

  public init(deliveredByteCount: UInt64, roundTrip: UInt64) {
    self.deliveredByteCount = deliveredByteCount
    self.roundTrip = roundTrip
  }
}
