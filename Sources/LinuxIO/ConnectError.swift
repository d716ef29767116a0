internal import CLinux
internal import CausewayBase

/// Why there is no connection.
public struct ConnectError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Stage: Sendable {
    /// The name has no address: `resolution` says why.
    case resolve
    /// Every address failed: `code` is the errno of the last one, which is `address`.
    case connect
    /// The time was up, in `resolution` or while connecting; `code` is the last attempt's errno, or ETIMEDOUT.
    case deadline
    /// The task that waited was cancelled.
    case cancelled
  }

  public let stage: Stage
  /// What was asked for: "example.org:443", "[::1]:80", "unix:/path".
  public let target: String
  public let code: CInt
  public let address: SocketAddress?
  public let resolution: ResolveError?

  init(_ stage: Stage, _ target: String, code: CInt = 0, address: SocketAddress? = nil, resolution: ResolveError? = nil) {
    self.stage = stage
    self.target = target
    self.code = code
    self.address = address
    self.resolution = resolution
  }

  /// The name does not exist, as opposed to name servers that do not answer.
  public var isNoSuchHost: Bool { resolution == .noSuchHost }
  /// Somebody is there and said no: nothing listens on that port.
  public var isRefused: Bool { stage == .connect && code == ECONNREFUSED }

  public var description: String {
    switch stage {
    case .resolve: return "cannot resolve \(target): \(resolution.map { "\($0)" } ?? "no address")"
    case .connect:
      let reason = SystemError(code, "connect").message
      if let address, address.description != target { return "cannot connect to \(target) (\(address)): \(reason)" }
      return "cannot connect to \(target): \(reason)"
    case .deadline: return "cannot connect to \(target): \(resolution == nil ? "no answer in time" : "its name was not resolved in time")"
    case .cancelled: return "connecting to \(target) was cancelled"
    }
  }
}
