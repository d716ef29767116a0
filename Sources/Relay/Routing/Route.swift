public import CausewayLanes

/// Where a public name or port leads: one tunnel of one live session. It dies with its tunnel; holders check `isLive`.
public final class Route {
  public let name: String
  /// The tunnel's number inside its session, as `open` records carry it.
  public let tunnel: UInt16
  /// The session that serves it; a detached session still accepts streams into its queue, but visitors wait instead (see RouteTable).
  public let driver: SessionDriver
  /// Checked before a request may pass; nil when the tunnel is open to everybody.
  public let basicAuth: BasicAuthVerifier?
  public internal(set) var isLive = true

  init(name: String, tunnel: UInt16, driver: SessionDriver, basicAuth: BasicAuthVerifier?) {
    self.name = name
    self.tunnel = tunnel
    self.driver = driver
    self.basicAuth = basicAuth
  }
}

/// A salted hash of USER:PASS that the client chose for its tunnel (`-a`). The relay never learns the password before a visitor sends it.
public final class BasicAuthVerifier {
  public let salt: [UInt8]
  /// SHA-256(salt ‖ "USER:PASS").
  public let digest: [UInt8]

  init(salt: [UInt8], digest: [UInt8]) {
    self.salt = salt
    self.digest = digest
  }
}

/// What a look-up found.
public enum RouteLookup {
  case ready(Route)
  /// The name is held by a detached session, or the relay has just started and knows the name: wait for `routeMayHaveChanged`, up to 5 s.
  case waiting
  /// The name is known, but no session serves it: 502.
  case offline
  /// 404.
  case unknown
}

/// A visitor that waits for a name to come back.
public protocol RouteWaiter: AnyObject {
  /// Look up again.
  func routeMayHaveChanged()
}
