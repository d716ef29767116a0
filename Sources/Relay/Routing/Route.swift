internal import CausewayCrypto
public import CausewayLanes
internal import CausewayTunnelCore

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

/// Checks visitors' USER:PASS against the salted hash that the client sent for its tunnel (`-a`). The relay learns the password only from
/// visitors, and keeps it nowhere.
public final class BasicAuthVerifier {
  private var verifier: PasswordVerifier

  /// Nil when sizes or the iteration count are out of bounds.
  init?(_ auth: TunnelRequest.BasicAuth) {
    guard auth.salt.count == 16, auth.hash.count == 32 else { return nil }
    let salt = InlineArray<16, UInt8> { auth.salt[$0] }
    let hash = InlineArray<32, UInt8> { auth.hash[$0] }
    guard let verifier = PasswordVerifier(salt: salt, iterations: auth.iterations, hash: hash) else { return nil }
    self.verifier = verifier
  }

  /// What a look at a password costs, unless it is remembered.
  var iterations: Int { verifier.iterations }

  /// Whether it is the right one, which was accepted before: costs almost nothing.
  func remembers(_ credential: Span<UInt8>) -> Bool { verifier.remembers(credential) }

  /// Whether the decoded Basic credential is the right one, in constant time.
  public func accepts(_ credential: Span<UInt8>) -> Bool { verifier.accepts(credential) }
}

/// What a look-up found.
public enum RouteLookup {
  case ready(Route)
  /// The name is held by a detached session, or the relay has just started and knows the name from before: wait for `routeMayHaveChanged`, up to 5 s.
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
