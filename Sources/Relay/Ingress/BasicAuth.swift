internal import CausewayBase
internal import CausewayCrypto
internal import CausewayRelayCore
internal import CausewayWire

extension BasicAuthVerifier {
  /// Whether the value of an Authorization field holds the right USER:PASS. Compares in constant time.
  func accepts(authorization value: Span<UInt8>) -> Bool {
    guard let credentials = BasicCredentials.decode(value) else { return false }
    var hash = SHA256()
    hash.update(salt.span)
    hash.update(credentials.span)
    let digest = hash.finish()
    return constantTimeEqual(digest.span, self.digest.span)
  }
}
