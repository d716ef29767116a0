public import CausewayPaths
internal import CausewayWire

/// The head of message 4 (§5.4.6); ciphertext and tag follow.
/// ```
///   0            4                 8               16
///  +------------+-----------------+---------------+----------------------+
///  | 4, 0, 0, 0 | receiver | path | counter       | ciphertext, tag (16) |
///  +------------+-----------------+---------------+----------------------+
/// ```
/// The low six bits of the receiver index are the path (zero to and from a stock peer) and the first word of the nonce.
public struct TransportHeader: Hashable, Sendable, BitwiseCopyable {
  public static let byteCount = 4 + 4 + 8
  /// Header and tag: what a packet grows by, and the size of a keepalive.
  public static let overhead = byteCount + 16
  static let pathMask: UInt32 = 63

  public let receiver: UInt32
  public let counter: UInt64

  @inlinable public init(receiver: UInt32, counter: UInt64) {
    self.receiver = receiver
    self.counter = counter
  }

  /// - Returns: nil for another type, or fewer bytes than a keepalive has.
  public init?(_ datagram: Span<UInt8>) {
    guard datagram.count >= Self.overhead, datagram.littleEndian(at: 0, as: UInt32.self) == MessageType.transport else { return nil }
    receiver = datagram.littleEndian(at: 4)
    counter = datagram.littleEndian(at: 8)
  }

  /// The session's local index, without the path.
  public var index: UInt32 { receiver & ~Self.pathMask }
  public var path: PathID { PathID(UInt8(truncatingIfNeeded: receiver & Self.pathMask)) }
}
