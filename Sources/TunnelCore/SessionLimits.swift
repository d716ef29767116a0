/// Every bound of a session, by name. Both sides use the same defaults; the relay tells its own at login.
public struct SessionLimits: Equatable, Sendable {
  /// Tunnels in one session: the relay refuses more, and a client's file may not have more.
  public static let tunnelLimit = 64

  /// Credit that a new stream has in each direction before anything is acknowledged.
  public var initialWindow = 64 * 1024
  /// What a stream's window may grow to.
  public var maximumWindow = 16 * 1024 * 1024
  /// Sum of all windows' growth beyond the initial one.
  public var windowBudget = 64 * 1024 * 1024
  /// Streams open at once.
  public var maximumStreams = 8192
  /// Bytes queued for a stream and not yet sent, above which its producer waits.
  public var sendBacklog = 256 * 1024
  /// A frame is cut at this size while other streams wait.
  public var sharedFrame = 16 * 1024
  /// What a stream may send in a burst and still go before bulk.
  public var sparseBurst = 16 * 1024
  /// After so long without sending, a stream's burst starts anew.
  public var sparseIdle = Duration.milliseconds(5)
  /// An acknowledgement may wait so long for a frame to travel with.
  public var acknowledgementDelay = Duration.milliseconds(20)
  /// Received bytes of one stream that are acknowledged without waiting.
  public var acknowledgementThreshold = 32 * 1024
  /// Silence after which a ping is sent.
  public var pingAfterSilence = Duration.seconds(4)
  /// Silence after which the connection is dead.
  public var deadAfterSilence = Duration.seconds(9)
  /// How long a session outlives its connection.
  public var resumeLimit = Duration.seconds(30)
  /// Round trips shorter than this count as this: below it, the machines' own scheduling is what takes the time.
  public var roundTripFloor = Duration.microseconds(200)
  /// A stream idle for so long has its window set back.
  public var windowIdle = Duration.seconds(1)

  public init() {}
}
