public import CausewayCrypto
public import CausewayLinuxIO
public import CausewayTunnelCore
public import CausewayWire

/// One tunnel as the user asked for it.
public struct TunnelSpecification: Sendable {
  /// From the file, or the target: for messages and `NAME=URL`.
  public var name: String
  public var isHTTP: Bool
  public var target: OriginTarget
  public var subdomain: String?
  public var remotePort: UInt16?
  /// `-a`: already hashed, the password is gone.
  public var basicAuth: TunnelRequest.BasicAuth?

  public init(name: String, isHTTP: Bool, target: OriginTarget) {
    self.name = name
    self.isHTTP = isHTTP
    self.target = target
  }
}

/// An HTTP proxy that is asked for CONNECT.
public struct HTTPProxy: Sendable {
  public var address: HostPort
  /// `USER:PASS` in base64 for Proxy-Authorization (RFC 7617); never shown.
  public var credentials: String?

  public init(address: HostPort, credentials: String? = nil) {
    self.address = address
    self.credentials = credentials
  }
}

/// Whom a client connects to, as whom, and through what.
public struct TunnelClientConfiguration: Sendable {
  public var server: ServerURL
  /// UTF-8 of the token; wiped with the key.
  public var token: SecretKey
  /// For https servers.
  public var trust = TLSContext.Trust.systemStore
  /// An HTTP proxy for the relay (CONNECT), by HTTPS_PROXY for https servers, HTTP_PROXY for http ones, NO_PROXY and loopback excepted.
  public var proxy: HTTPProxy?
  public var tunnels: [TunnelSpecification]
  /// Windows and times of the session; the defaults are the protocol's.
  public var limits = SessionLimits()
  /// Seeds the jitter of retries.
  public var seed: UInt64

  public init(server: ServerURL, token: SecretKey, tunnels: [TunnelSpecification], seed: UInt64) {
    self.server = server
    self.token = token
    self.tunnels = tunnels
    self.seed = seed
  }
}

/// What happens to a client, in order; the command shows it as lines, panel or JSON.
public enum TunnelEvent: Sendable {
  /// Every tunnel stands for the first time.
  case ready([Endpoint])
  /// The connection is lost or could not be made; the next attempt is due after `delay`. Sent once for each change of `reason`.
  case reconnecting(reason: String, delay: Duration)
  /// The session goes on over a new connection, streams included; `outage` is how long it was away.
  case resumed(outage: Duration)
  /// The relay had forgotten the session: a new one stands, with the same URLs unless `urlChanged` follows.
  case restarted(outage: Duration)
  case urlChanged(Endpoint)
  /// The relay took one tunnel away, for good; the others go on.
  case tunnelLost(Endpoint, reason: String)
  case request(tunnel: String, method: String, target: String, status: Int, duration: Duration)
  /// So many requests before were not told: there were more in a second than the observer wants.
  case requestsSkipped(Int)
  case localDown(tunnel: String, target: String, reason: String)
  case localUp(tunnel: String, target: String)
  case warning(String)
  /// The end: `kind` decides the exit code.
  case failed(Failure)

  public struct Endpoint: Equatable, Sendable {
    public var name: String
    public var url: String
  }

  public struct Failure: Error, Sendable {
    /// Refused for good 69, refused for now 75, anything else 1, wrong name or port 2.
    public enum Kind: Sendable { case refused, temporary, other, usage }
    public var kind: Kind
    /// One line: what, where, what to do.
    public var message: String
  }
}

/// Called on the client's loop.
public protocol TunnelClientObserver: AnyObject {
  /// Whether request events are worth making (a panel or JSON is there).
  var wantsRequests: Bool { get }
  /// How many of them in a second; the rest is counted in one `requestsSkipped`.
  var requestsPerSecond: Int { get }
  func client(_ client: TunnelClient, event: TunnelEvent)
}

/// For the panel.
public struct TunnelStatistics: Equatable, Sendable {
  public var isOnline: Bool
  /// Last measured, 0 before the first.
  public var roundTripNanoseconds: UInt64
  public var bytesSent: UInt64
  public var bytesReceived: UInt64
  public var openStreams: Int
}
