/// Where the body of a message ends (RFC 9112 §6.3).
public enum BodyFraming: Equatable, Sendable {
  /// No body: the next byte belongs to what comes after this message.
  case none
  case length(UInt64)
  case chunked
  /// Responses only: until the sender closes. An unclean TLS end is then truncation.
  case untilClose
}

/// What a message asks to switch to. `none` unless `Connection` has the option `upgrade`, the version is 1.1 and, in a request,
/// the method is GET.
public enum UpgradeProtocol: UInt8, Sendable {
  case none
  case webSocket
  /// HTTP/2 in clear text: never passed on (it would carry requests past every rule).
  case h2c
  /// Any other; its bytes are `upgradeToken`.
  case other
}
