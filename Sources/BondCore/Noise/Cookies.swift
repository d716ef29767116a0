internal import CausewayBase
internal import CausewayCrypto

/// The receiving side of mac1, mac2 and cookies (§5.3, §5.4.4, §5.4.7).
struct CookieChecker {
  private let keys: MACKeys
  private var secret: SecretKey?
  private var secretBirth = Instant.zero

  init(_ keys: MACKeys) { self.keys = keys }

  /// Proves that the sender knows our public key. Checked before anything that costs more.
  func isMAC1Valid(_ message: Span<UInt8>) -> Bool {
    let end = message.count - MACs.byteCount
    guard end >= 0 else { return false }
    let mac = BLAKE2sMAC.authenticate(message.extracting(first: end), key: keys.mac1.span)
    return constantTimeEqual(mac.span, message.extracting(end..<end + 16))
  }

  /// Proves that the sender receives what is sent to its address.
  func isMAC2Valid(_ message: Span<UInt8>, from source: Span<UInt8>, at now: Instant) -> Bool {
    let end = message.count - 16
    guard end >= 0, let secret, now < secretBirth + WireGuardLimits.cookieRefreshTime else { return false }
    let cookie = BLAKE2sMAC.authenticate(source, key: secret.bytes)
    let mac = BLAKE2sMAC.authenticate(message.extracting(first: end), key: cookie.span)
    return constantTimeEqual(mac.span, message.extracting(last: 16))
  }

  /// - Parameter sender: Of the refused message.
  mutating func reply(
    to message: Span<UInt8>, sender: UInt32, from source: Span<UInt8>, at now: Instant, entropy: (Int) -> SecretKey
  ) -> HandshakeMessage {
    let secret = freshSecret(at: now, entropy)
    let cookie = BLAKE2sMAC.authenticate(source, key: secret.bytes)
    let nonce: InlineArray<24, UInt8> = entropy(XChaCha20Poly1305.nonceByteCount).bytes.inlineArray(at: 0)
    let mac1End = message.count - 16
    var encrypted = InlineArray<32, UInt8>(repeating: 0)
    var output = encrypted.mutableSpan
    XChaCha20Poly1305.seal(
      cookie.span, key: keys.cookie.span, nonce: nonce.span, associatedData: message.extracting(mac1End - 16..<mac1End), into: &output)
    return CookieReply(receiver: sender, nonce: nonce, encryptedCookie: encrypted).message
  }

  private mutating func freshSecret(at now: Instant, _ entropy: (Int) -> SecretKey) -> SecretKey {
    if let secret, now < secretBirth + WireGuardLimits.cookieRefreshTime { return secret }
    let fresh = entropy(32)
    secret = fresh
    secretBirth = now
    return fresh
  }
}

/// The sending side: closes messages to one peer with their MACs and keeps the cookie that it gave.
struct CookieJar {
  private let keys: MACKeys
  private var cookie: InlineArray<16, UInt8>?
  private var cookieBirth = Instant.zero
  /// Of the newest message to the peer: a cookie reply is bound to it.
  private var newestMAC1: InlineArray<16, UInt8>?

  init(_ keys: MACKeys) { self.keys = keys }

  mutating func close(_ body: [UInt8], at now: Instant) -> HandshakeMessage {
    var bytes = body
    let mac1 = BLAKE2sMAC.authenticate(bytes.span, key: keys.mac1.span)
    newestMAC1 = mac1
    bytes.append(mac1.span)
    if let cookie, now < cookieBirth + (WireGuardLimits.cookieRefreshTime - WireGuardLimits.cookieLatency) {
      let mac2 = BLAKE2sMAC.authenticate(bytes.span, key: cookie.span)
      bytes.append(mac2.span)
    } else {
      bytes.append(contentsOf: repeatElement(0, count: 16))
    }
    return HandshakeMessage(bytes: bytes)
  }

  /// - Returns: False for a forgery, or when nothing was sent that it could answer.
  mutating func receive(_ reply: CookieReply, at now: Instant) -> Bool {
    guard let mac1 = newestMAC1 else { return false }
    var opened = InlineArray<16, UInt8>(repeating: 0)
    var output = opened.mutableSpan
    guard
      XChaCha20Poly1305.open(
        reply.encryptedCookie.span, key: keys.cookie.span, nonce: reply.nonce.span, associatedData: mac1.span, into: &output)
    else { return false }
    cookie = opened
    cookieBirth = now
    newestMAC1 = nil  // one reply to a message
    return true
  }
}
