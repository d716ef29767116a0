public import CausewayBase

/// The connections of strangers: accepted, and nothing authentic seen on them yet. Bounded in all, for each address, and in time, so that
/// they cannot use up descriptors; whoever floods closes its own connections first.
public struct TCPAdmission: Sendable {
  /// The shell's name of a connection.
  public typealias ConnectionID = UInt32

  /// Strangers in all; the oldest is closed for a new one.
  public static let connectionLimit = 256
  /// Strangers of one IPv4 address, or one IPv6 /64 (what one household has); the oldest of them is closed for a new one.
  public static let addressLimit = 16
  /// Time for the first authentic message.
  public static let patience: Duration = .seconds(5)

  private struct Stranger: BitwiseCopyable {
    let id: ConnectionID
    let high: UInt64
    let low: UInt64
    let deadline: Instant
  }

  /// In order of arrival, so of deadlines too. 256 entries: a scan costs less than a second structure.
  private var strangers: [Stranger] = []

  public init() { strangers.reserveCapacity(Self.connectionLimit) }

  public var count: Int { strangers.count }

  /// Notes a new connection.
  /// - Returns: The connection to close for it, already forgotten here, if any.
  public mutating func admit(_ id: ConnectionID, from address: DatagramAddress, at now: Instant) -> ConnectionID? {
    // A mapped IPv4 address counts as IPv4: `high` is zero in both.
    let isIPv4 = address.family == .ipv4 || (address.high == 0 && address.low &>> 32 == 0xFFFF)
    let (high, low) = (address.high, isIPv4 ? address.low : 0)
    var closed: ConnectionID?
    var (oldest, ofAddress) = (-1, 0)
    for (index, stranger) in strangers.enumerated() where stranger.high == high && stranger.low == low {
      if oldest < 0 { oldest = index }
      ofAddress += 1
    }
    if ofAddress >= Self.addressLimit {
      closed = strangers.remove(at: oldest).id
    } else if strangers.count >= Self.connectionLimit {
      closed = strangers.removeFirst().id
    }
    strangers.append(Stranger(id: id, high: high, low: low, deadline: now + Self.patience))
    return closed
  }

  /// The connection is authenticated, or closed.
  public mutating func remove(_ id: ConnectionID) { strangers.removeAll { $0.id == id } }

  /// When `expire` is due, or nil.
  public var nextDeadline: Instant? { strangers.first?.deadline }

  /// A connection whose time is up, to be closed; already forgotten here. Call until nil.
  public mutating func expire(at now: Instant) -> ConnectionID? {
    guard let first = strangers.first, first.deadline <= now else { return nil }
    return strangers.removeFirst().id
  }
}
