import CausewayCrypto
import Testing

private func hex(_ bytes: Span<UInt8>) -> String {
  var text = ""
  for index in bytes.indices {
    let digits = String(bytes[index], radix: 16)
    text += digits.count == 1 ? "0" + digits : digits
  }
  return text
}

private func bytes(hex: String) -> [UInt8] {
  let digits = Array(hex.utf8)
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
}

private let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"

@Test(
  "SHA-1 and SHA-256 of the examples of FIPS 180",
  arguments: [
    (
      "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    ),
    ("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      twoBlocks, 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      "a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ])
func digestsMatchTheStandard(_ text: String, _ repetitions: Int, _ sha1: String, _ sha256: String) {
  let input = Array(String(repeating: text, count: repetitions).utf8)
  let short = SHA1.hash(input.span)
  let long = SHA256.hash(input.span)
  #expect(hex(short.span) == sha1)
  #expect(hex(long.span) == sha256)
}

@Test("SHA-256 in pieces equals SHA-256 at once", arguments: [1, 7, 63, 64, 65, 1000])
func incrementalHashIsTheSame(_ step: Int) {
  let input = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
  var hash = SHA256()
  for start in stride(from: 0, to: input.count, by: step) { hash.update(input[start..<min(start + step, input.count)].span) }
  let pieces = hash.finish()
  let whole = SHA256.hash(input.span)
  #expect(hex(pieces.span) == hex(whole.span))
}

@Test("the accept value of RFC 6455 §1.3 is base64 of this SHA-1")
func webSocketAccept() {
  let input = Array("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)
  let digest = SHA1.hash(input.span)
  // s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
  #expect(hex(digest.span) == "b37a4f2cc0624f1690f64606cf385945b2bec4ea")
}

@Test(
  "HMAC-SHA256 of RFC 4231",
  arguments: [
    (
      String(repeating: "0b", count: 20), "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      String(repeating: "aa", count: 20), String(repeating: "dd", count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      "0102030405060708090a0b0c0d0e0f10111213141516171819", String(repeating: "cd", count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    ),
    (
      String(repeating: "aa", count: 131),
      "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
  ])
func hmacMatchesTheStandard(_ key: String, _ message: String, _ code: String) {
  let (key, message) = (bytes(hex: key), bytes(hex: message))
  let whole = HMACSHA256.authenticate(message.span, key: key.span)
  var mac = HMACSHA256(key: SecretKey(copying: key.span))
  for byte in message { mac.update([byte].span) }
  let pieces = mac.finish()
  #expect(hex(whole.span) == code)
  #expect(hex(pieces.span) == code)
}

@Test("an empty key is a key (the value is openssl's)")
func emptyKey() {
  let code = HMACSHA256.authenticate([UInt8]().span, key: [UInt8]().span)
  #expect(hex(code.span) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
}

@Test(
  "PBKDF2-HMAC-SHA256 of RFC 7914 §11, first 32 bytes",
  arguments: [
    ("passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    ("Password", "NaCl", 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
  ])
func keyDerivationMatchesTheStandard(_ password: String, _ salt: String, _ iterations: Int, _ key: String) {
  let (password, salt) = (Array(password.utf8), Array(salt.utf8))
  let derived = PBKDF2.deriveKey(password: password.span, salt: salt.span, iterations: iterations)
  #expect(hex(derived.span) == key)
}

@Test(
  "equality in constant time is equality",
  arguments: [
    ([], [], true), ([1], [], false), ([1, 2, 3], [1, 2, 3], true), ([1, 2, 3], [1, 2, 4], false), ([0, 2, 3], [1, 2, 3], false),
  ]
    as [([UInt8], [UInt8], Bool)])
func constantTimeEquality(_ a: [UInt8], _ b: [UInt8], _ equal: Bool) {
  let result = constantTimeEqual(a.span, b.span)
  #expect(result == equal)
}

@Test("random bytes fill all of the span and differ")
func randomBytes() {
  var seen: Set<String> = []
  for _ in 0..<64 {
    let value: InlineArray<16, UInt8> = SecureRandom.bytes()
    seen.insert(hex(value.span))
  }
  #expect(seen.count == 64)
  var long = [UInt8](repeating: 0, count: 100_000)
  var span = long.mutableSpan
  SecureRandom.fill(&span)
  #expect(long.suffix(1000).contains { $0 != 0 })
}

@Test("a secret key shows nothing of itself")
func secretKeyIsOpaque() {
  let key = SecretKey(copying: Array("hunter2hunter2".utf8).span)
  var dumped = ""
  dump(key, to: &dumped)
  #expect(!"\(key) \(String(reflecting: key)) \(dumped)".contains("hunter2"))
  #expect(!dumped.contains("base"))
  let bytes = key.bytes
  let matches = constantTimeEqual(bytes, Array("hunter2hunter2".utf8).span)
  #expect(matches)
}

@Test("a verifier takes the right credential, again and again, and no other")
func verifier() throws {
  let salt: InlineArray<16, UInt8> = SecureRandom.bytes()
  let made = PasswordVerifier(credential: Array("ann:open sesame".utf8).span, salt: salt)
  var verifier = try #require(PasswordVerifier(salt: made.salt, iterations: made.iterations, hash: made.hash))
  let attempts = [("ann:open sesam", false), ("ann:open sesame", true), ("ann:open sesame", true), ("bob:open sesame", false), ("", false)]
  for (credential, accepted) in attempts {
    let result = verifier.accepts(Array(credential.utf8).span)
    #expect(result == accepted, "\(credential)")
  }
  let long = verifier.accepts([UInt8](repeating: 65, count: PasswordVerifier.maximumCredentialByteCount + 1).span)
  #expect(!long)
}

@Test("a verifier from a peer that asks for too much work is refused", arguments: [0, -1, PasswordVerifier.maximumIterations + 1])
func verifierBounds(_ iterations: Int) {
  let refused = PasswordVerifier(salt: .init(repeating: 1), iterations: iterations, hash: .init(repeating: 2)) == nil
  #expect(refused)
}
