// CausewayPaths: a way between two machines that has a rate, a delay, a loss and a health, and which of several to take. Pure: time
// and chance come as arguments. It knows no packet format and no key. Start with PathState, then PathSender and Scheduler.

/// A path's number inside one session of one peer, 0...63: the low six bits of the receiver index and the first nonce word.
public struct PathID: Hashable, Sendable, BitwiseCopyable, Comparable, CustomStringConvertible {
  /// Paths of a peer, all threads together.
  public static let limit = 64
  public let rawValue: UInt8

  @inlinable public init(_ rawValue: UInt8) {
    precondition(rawValue < 64, "a path id has six bits")
    self.rawValue = rawValue
  }

  /// The path that the handshake took; byte-identical to stock WireGuard.
  public static let handshake = PathID(0)

  @inlinable public static func < (a: PathID, b: PathID) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}
