public import CausewayTunnelCore
public import CausewayWire

/// Why a visitor gets an answer from the relay instead of the service behind a tunnel.
public enum Refusal: Equatable, Sendable {
  case head(HTTPHeadError)
  case malformedBody
  case hostMissing
  /// A body in front of a protocol switch.
  case upgradeWithBody
  case methodNotAllowed
  case unauthorized
  case noSuchTunnel
  case tunnelOffline
  /// The client is away and may be back any moment.
  case tunnelReconnecting
  /// The stream was reset before an answer began.
  case stream(ResetCode)
  /// The stream ended before an answer began.
  case noAnswer
  case loop
  case headTooSlow
  case bodyTooSlow
  /// Too many connections from this address.
  case tooManyFromAddress
  /// Too many wrong passwords lately.
  case tooManyGuesses
  /// A limit of the relay or of the tunnel.
  case overloaded
  /// On the relay's own host.
  case upgradeRequired
  case notFoundHere
}

/// On which side the fault lies, as the page shows it.
public enum FaultSide: String, Sendable {
  case visitor = "the request"
  case relay = "the relay"
  case tunnel = "the tunnel's client"
  case service = "the local service"
}

extension Refusal {
  public var status: UInt16 {
    switch self {
    case .head(let error): error.requestStatus
    case .malformedBody, .hostMissing, .upgradeWithBody: 400
    case .unauthorized: 401
    case .noSuchTunnel, .notFoundHere: 404
    case .methodNotAllowed: 405
    case .headTooSlow, .bodyTooSlow: 408
    case .upgradeRequired: 426
    case .tooManyFromAddress, .tooManyGuesses: 429
    case .tunnelOffline, .noAnswer: 502
    case .tunnelReconnecting, .overloaded: 503
    case .loop: 508
    case .stream(let code):
      switch code {
      case .originTimeout: 504
      case .overloaded: 503
      default: 502
      }
    }
  }

  /// The connection cannot be used after it: what follows in it is in doubt.
  public var closes: Bool {
    switch self {
    case .head, .malformedBody, .hostMissing, .upgradeWithBody, .headTooSlow, .bodyTooSlow, .tooManyFromAddress, .loop: true
    default: false
    }
  }

  /// Seconds, where trying again makes sense.
  public var retryAfter: UInt64? {
    switch self {
    case .tunnelReconnecting: 2
    case .tooManyFromAddress, .overloaded: 5
    case .tooManyGuesses: GuessLimiter.retryAfter
    case .stream(.overloaded): 5
    default: nil
    }
  }

  /// A short name for programs.
  public var code: StaticString {
    switch self {
    case .head: "bad_request"
    case .malformedBody: "malformed_body"
    case .hostMissing: "host_missing"
    case .upgradeWithBody: "upgrade_with_body"
    case .methodNotAllowed: "method_not_allowed"
    case .unauthorized: "unauthorized"
    case .noSuchTunnel: "no_such_tunnel"
    case .tunnelOffline: "tunnel_offline"
    case .tunnelReconnecting: "tunnel_reconnecting"
    case .noAnswer: "service_aborted"
    case .loop: "loop_detected"
    case .headTooSlow: "head_timeout"
    case .bodyTooSlow: "body_timeout"
    case .tooManyFromAddress: "too_many_connections"
    case .tooManyGuesses: "too_many_guesses"
    case .overloaded: "overloaded"
    case .upgradeRequired: "upgrade_required"
    case .notFoundHere: "not_found"
    case .stream(let code):
      switch code {
      case .originRefused: "service_refused"
      case .originUnreachable: "service_unreachable"
      case .originTimeout: "service_timeout"
      case .originAborted: "service_aborted"
      case .originMalformed: "service_malformed"
      case .originTLS: "service_tls"
      case .overloaded: "overloaded"
      case .tunnelGone, .sessionEnded: "tunnel_offline"
      default: "tunnel_failed"
      }
    }
  }

  public var side: FaultSide {
    switch self {
    case .head, .malformedBody, .hostMissing, .upgradeWithBody, .methodNotAllowed, .unauthorized, .headTooSlow, .bodyTooSlow,
      .tooManyFromAddress, .tooManyGuesses, .upgradeRequired, .notFoundHere, .noSuchTunnel, .loop:
      .visitor
    case .tunnelOffline, .tunnelReconnecting: .tunnel
    case .overloaded: .relay
    case .noAnswer: .service
    case .stream(let code):
      switch code {
      case .originRefused, .originUnreachable, .originTimeout, .originAborted, .originMalformed, .originTLS: .service
      case .overloaded: .tunnel
      default: .tunnel
      }
    }
  }

  /// One sentence: what happened.
  public var explanation: StaticString {
    switch self {
    case .head(let error): Self.explanation(of: error)
    case .malformedBody: "The request's body breaks the rules of chunked transfer coding."
    case .hostMissing: "The request does not say which host it is for."
    case .upgradeWithBody: "A request that switches protocols must not have a body."
    case .methodNotAllowed: "This method is not served here."
    case .unauthorized: "This tunnel asks for a user name and a password."
    case .noSuchTunnel: "There is no tunnel with this name on this relay."
    case .tunnelOffline: "The tunnel exists, but the client that serves it is not connected."
    case .tunnelReconnecting: "The client that serves this tunnel lost its connection and has not come back yet."
    case .noAnswer: "The local service closed the connection without an answer."
    case .loop: "The request came through this relay more than once: the tunnel leads back to itself."
    case .headTooSlow: "The request's head did not arrive in time."
    case .bodyTooSlow: "The request's body arrived too slowly."
    case .tooManyFromAddress: "There are too many connections from this address."
    case .tooManyGuesses: "There were too many wrong passwords."
    case .overloaded: "The relay or this tunnel has reached a limit."
    case .upgradeRequired: "This address speaks the tunnel protocol only."
    case .notFoundHere: "There is nothing at this path of the relay."
    case .stream(let code):
      switch code {
      case .originRefused: "The tunnel works, but nothing listens at the local service's address."
      case .originUnreachable: "The tunnel works, but the local service cannot be reached from the client's machine."
      case .originTimeout: "The tunnel works, but the local service did not answer in time."
      case .originAborted: "The local service closed the connection without an answer."
      case .originMalformed: "The local service's answer was not valid HTTP."
      case .originTLS: "The client could not make a TLS connection to the local service."
      case .overloaded: "The tunnel's client has reached a limit."
      case .tunnelGone, .sessionEnded: "The tunnel was closed before an answer came."
      default: "The tunnel's client gave the request up."
      }
    }
  }

  /// One sentence: what to do.
  public var advice: StaticString {
    switch self {
    case .head(.tlsOnPlainPort): "Use http:// with this port, or the relay's https port."
    case .head(.http2Preface), .head(.versionUnsupported): "Use HTTP/1.1."
    case .head(.headTooLarge), .head(.tooManyFields): "Send fewer or shorter fields; clearing this site's cookies often helps."
    case .head(.targetTooLong): "Use a shorter URL."
    case .head(.webSocketVersionUnsupported): "Use WebSocket version 13."
    case .head, .malformedBody, .hostMissing, .upgradeWithBody, .methodNotAllowed: "Change the request; sending it again will not help."
    case .unauthorized: "Ask the tunnel's owner for them."
    case .noSuchTunnel: "Check the name in the URL, or ask its owner for the present one."
    case .tunnelOffline: "Try again later. If it is yours: start the client again."
    case .tunnelReconnecting: "Try again in a few seconds."
    case .loop: "If the tunnel is yours: let it point to your service, not to the tunnel's own URL."
    case .headTooSlow, .bodyTooSlow: "Try again on a better connection."
    case .tooManyFromAddress, .tooManyGuesses, .overloaded, .stream(.overloaded): "Try again in a few seconds."
    case .upgradeRequired: "Connect with a current client."
    case .notFoundHere: "Tunnels have host names of their own; check the URL."
    case .stream(.originRefused): "Try again later. If it is yours: start the service, or check the port that the tunnel leads to."
    case .stream(.originUnreachable): "Try again later. If it is yours: check the address that the tunnel leads to."
    case .stream(.originTLS): "If it is yours: check the service's certificate, or use http:// in the tunnel's address."
    case .stream(.originTimeout): "Try again later. If it is yours: look why the service does not answer."
    case .stream(.originAborted), .noAnswer, .stream(.originMalformed): "Try again later. If it is yours: look at the service's log."
    case .stream: "Try again later."
    }
  }

  private static func explanation(of error: HTTPHeadError) -> StaticString {
    switch error {
    case .tlsOnPlainPort: "A TLS connection was begun on a port that speaks plain HTTP."
    case .http2Preface, .versionUnsupported: "This HTTP version is not spoken here."
    case .targetTooLong: "The URL is too long."
    case .headTooLarge, .tooManyFields: "The request's head is too large."
    case .expectationUnsupported: "The request expects something that is not supported."
    case .webSocketVersionUnsupported: "This WebSocket version is not spoken here."
    case .methodTooLong: "The request's method is not known."
    case .contentLengthInvalid, .contentLengthRepeated, .transferEncodingUnsupported, .transferEncodingRepeated,
      .transferEncodingWithContentLength, .transferEncodingInHTTP10:
      "The request does not say clearly where its body ends."
    case .hostMissing, .hostRepeated, .hostInvalid, .hostMismatch: "The request does not say clearly which host it is for."
    default: "The request is not valid HTTP/1.1."
    }
  }
}
