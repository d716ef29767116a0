internal import CausewayRelayCore

extension BasicAuthVerifier {
  /// Whether an Authorization field's value brings the right USER:PASS.
  func accepts(authorization value: Span<UInt8>) -> Bool {
    guard let credentials = BasicCredentials.decode(value) else { return false }
    return accepts(credentials.span)
  }
}
