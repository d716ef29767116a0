internal import CausewayRelayCore

extension BasicAuthVerifier {
  /// Whether the value of an Authorization field holds the right USER:PASS.
  func accepts(authorization value: Span<UInt8>) -> Bool {
    guard let credentials = BasicCredentials.decode(value) else { return false }
    return accepts(credentials.span)
  }
}
