// CausewayMessaging: tagged messages between processes over OpenUCX. An `Engine` is a thread with a UCX worker and an event loop; servers,
// clients and endpoints are light objects on it. What is a protocol decision (matching, credits, acknowledgements, deadlines) is
// CausewayMessagingCore's; this room owns the thread, the descriptors, the buffers and the calls of UCX. It knows neither C ABI nor
// Python. Start with Engine, then Server, Client and Endpoint; Engine/Driver is what a turn does.

/// What went wrong, with what, and why.
public struct MessagingError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of failure; more may be added, so a switch needs a default.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The deadline of the operation passed first.
    public static let deadlineExceeded = Code(rawValue: -1)
    /// The caller cancelled it.
    public static let cancelled = Code(rawValue: -2)
    /// The peer died or its connection broke.
    public static let peerLost = Code(rawValue: -3)
    /// The message is longer than the buffer; it is still there for another receive. `MessagingError.byteCount` is its length.
    public static let truncated = Code(rawValue: -4)
    /// As many operations are in flight as may be: come back after a completion.
    public static let wouldBlock = Code(rawValue: -5)
    /// The object was closed, or is not connected yet.
    public static let closed = Code(rawValue: -6)
    /// The peer speaks another version of the protocol or of UCX.
    public static let versionMismatch = Code(rawValue: -7)
    /// The peer's key is another one, or it has none.
    public static let authenticationFailed = Code(rawValue: -8)
    /// Nobody listens there, or it cannot be reached.
    public static let notConnected = Code(rawValue: -9)
    /// What answers is no messaging server.
    public static let protocolViolation = Code(rawValue: -10)
    /// An argument that cannot be: named by the cause.
    public static let invalidArgument = Code(rawValue: -11)
    /// UCX is not installed, or cannot be used.
    public static let ucxUnavailable = Code(rawValue: -12)
    /// UCX refused a call.
    public static let ucxFailed = Code(rawValue: -13)
    /// Used in a child of the process that made the engine.
    public static let forked = Code(rawValue: -14)
    /// The address cannot be listened on.
    public static let addressUnavailable = Code(rawValue: -15)
    /// A table is full: connections, objects.
    public static let limitReached = Code(rawValue: -16)

    public var description: String {
      switch self {
      case .deadlineExceeded: "deadline exceeded"
      case .cancelled: "cancelled"
      case .peerLost: "peer lost"
      case .truncated: "truncated"
      case .wouldBlock: "would block"
      case .closed: "closed"
      case .versionMismatch: "version mismatch"
      case .authenticationFailed: "authentication failed"
      case .notConnected: "not connected"
      case .protocolViolation: "not a messaging peer"
      case .invalidArgument: "invalid argument"
      case .ucxUnavailable: "UCX unavailable"
      case .ucxFailed: "UCX failed"
      case .forked: "used after a fork"
      case .addressUnavailable: "address unavailable"
      case .limitReached: "limit reached"
      default: "error \(rawValue)"
      }
    }
  }

  public let code: Code
  /// What failed, on what: "receive on 127.0.0.1:4000".
  public let subject: String
  /// Why, and what to do; may be empty.
  public let cause: String
  /// The true length of a message that was too long for its buffer; else 0.
  public let byteCount: Int

  public init(_ code: Code, _ subject: String, cause: String = "", byteCount: Int = 0) {
    self.code = code
    self.subject = subject
    self.cause = cause
    self.byteCount = byteCount
  }

  public var description: String { cause.isEmpty ? "\(subject): \(code)" : "\(subject): \(code): \(cause)" }
}
