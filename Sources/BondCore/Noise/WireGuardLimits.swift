/// The constants of the whitepaper (§6.1 to §6.5), and those of the two implementations where it gives none.
public enum WireGuardLimits {
  /// Start a handshake after this many messages under one key.
  public static let rekeyAfterMessages: UInt64 = 1 << 60
  /// Neither send nor take a message from this counter on.
  public static let rejectAfterMessages: UInt64 = .max - (1 << 13)
  /// The initiator of a session asks for a new one when it sends on older keys.
  public static let rekeyAfterTime = Duration.seconds(120)
  /// Older keys are of no use in either direction.
  public static let rejectAfterTime = Duration.seconds(180)
  /// An initiator that only receives asks once the keys are this old: reject time less keepalive and rekey time-outs.
  public static let rekeyAfterTimeReceiving = Duration.seconds(165)
  /// Between two initiations to a peer; jitter comes on top of a repetition.
  public static let rekeyTimeout = Duration.seconds(5)
  public static let rekeyJitterMilliseconds: UInt64 = 334
  /// Time after which an unanswered handshake is given up.
  public static let rekeyAttemptTime = Duration.seconds(90)
  /// Received data are acknowledged by a keepalive when nothing was sent for this long.
  public static let keepaliveTimeout = Duration.seconds(10)
  /// Data were sent and nothing authentic came back for this long (plus jitter): handshake.
  public static let newHandshakeTimeout = keepaliveTimeout + rekeyTimeout
  /// Without a new session all keys are wiped after this long.
  public static let eraseKeysTime = Duration.seconds(540)
  /// Life of a cookie, and of the secret that makes cookies.
  public static let cookieRefreshTime = Duration.seconds(120)
  /// A cookie is not used in its last seconds: it might arrive too late.
  public static let cookieLatency = Duration.seconds(5)
  /// Initiations of one peer that are taken: 50 a second.
  public static let initiationInterval = Duration.milliseconds(20)
  /// Between initiations that a caller asks for at once, as after the return of a link.
  public static let promptInitiationInterval = Duration.milliseconds(250)
}
