import CausewayCrypto
import Testing

private func bytes(hex text: String) -> [UInt8] {
  let digits = Array(text.utf8)
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)! }
}

private func array(_ bytes: Span<UInt8>) -> [UInt8] { bytes.indices.map { bytes[$0] } }

/// Bytes that a number repeats.
private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 0x9E37_79B9 &+ seed &* 0x85EB_CA6B) >> 11) }
}

private let ladies =
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."

@Suite("BLAKE2s")
struct BLAKE2sTests {
  @Test("the hash of RFC 7693, at once and in pieces")
  func hash() {
    let expected = bytes(hex: "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")
    let abc = Array("abc".utf8)
    let whole = BLAKE2s.hash(abc.span)
    let pair = BLAKE2s.hash(abc.span.extracting(first: 1), abc.span.extracting(last: 2))
    var pieces = BLAKE2s()
    for letter in abc { pieces.update([letter].span) }
    let last = pieces.finish()
    #expect(array(whole.span) == expected && array(pair.span) == expected && array(last.span) == expected)
  }

  @Test(
    "keyed, with 16 bytes out (Python's hashlib)",
    arguments: [(32, "e4c0c07fa485fc35958f43e05ec43a98"), (16, "3073bfbb6be58707fefc737419e2fad8")])
  func keyed(_ keyByteCount: Int, _ code: String) {
    let key = [1] + [UInt8](repeating: 0, count: keyByteCount - 1)
    let mac = BLAKE2sMAC.authenticate(Array("abc".utf8).span, key: key.span)
    #expect(array(mac.span) == bytes(hex: code))
  }

  @Test("HMAC is not keyed BLAKE2s (Python's hmac)")
  func hmac() {
    let key = [UInt8](repeating: 0, count: 32)
    let expected = bytes(hex: "4a79a31b10a8c34b7c89735b8088e6b810b4bad4f36d671b65ca2ea0914952bf")
    let whole = HMACBLAKE2s.authenticate(Array("abc".utf8).span, key: key.span)
    let pair = HMACBLAKE2s.authenticate(Array("a".utf8).span, Array("bc".utf8).span, key: key.span)
    #expect(array(whole.bytes) == expected && array(pair.bytes) == expected)
  }
}

@Suite("X25519")
struct X25519Tests {
  @Test("both sides derive the same secret, whatever the unused bits of the private keys")
  func agreement() {
    let (a, b) = (SecretKey(copying: pattern(32, 1).span), SecretKey(copying: pattern(32, 2).span))
    var clamped = pattern(32, 1)
    clamped[0] &= 248
    clamped[31] = clamped[31] & 127 | 64
    let publicA = X25519.publicKey(of: a)
    let publicClamped = X25519.publicKey(of: SecretKey(copying: clamped.span))
    let publicB = X25519.publicKey(of: b)
    guard let first = X25519.sharedSecret(a, publicB.span), let second = X25519.sharedSecret(b, publicA.span) else {
      Issue.record("no secret")
      return
    }
    #expect(array(first.bytes) == array(second.bytes))
    #expect(array(publicA.span) == array(publicClamped.span))
  }

  @Test("a public key of small order gives nothing", arguments: [UInt8(0), 1])
  func smallOrder(_ first: UInt8) {
    let key = [first] + [UInt8](repeating: 0, count: 31)
    let secret = X25519.sharedSecret(SecretKey(copying: pattern(32, 3).span), key.span)
    #expect(secret == nil)
  }
}

@Suite("ChaCha20-Poly1305")
struct ChaCha20Poly1305Tests {
  @Test("RFC 8439 §2.8.2, and any flipped bit is found")
  func standard() {
    let key = Array(UInt8(0x80)...0x9F)
    let nonce = bytes(hex: "070000004041424344454647")
    let associated = bytes(hex: "50515253c0c1c2c3c4c5c6c7")
    let text = Array(ladies.utf8)
    var sealed = [UInt8](repeating: 0, count: text.count + 16)
    var output = sealed.mutableSpan
    ChaCha20Poly1305.seal(text.span, key: key.span, nonce: nonce.span, associatedData: associated.span, into: &output)
    #expect(sealed.prefix(16) == bytes(hex: "d31a8d34648e60db7b86afbc53ef7ec2")[...])
    #expect(sealed.suffix(16) == bytes(hex: "1ae10b594f09e26a7e902ecbd0600691")[...])
    for flip in -1..<sealed.count * 8 {
      var bad = sealed
      if flip >= 0 { bad[flip / 8] ^= 1 << UInt8(flip % 8) }
      var opened = [UInt8](repeating: 0xEE, count: text.count)
      var target = opened.mutableSpan
      let isAuthentic = ChaCha20Poly1305.open(
        bad.span, key: key.span, nonce: nonce.span, associatedData: associated.span, into: &target)
      #expect(isAuthentic == (flip < 0))
      #expect(opened == (flip < 0 ? text : [UInt8](repeating: 0, count: text.count)))
    }
  }

  @Test("XChaCha20-Poly1305 and HChaCha20 of draft-irtf-cfrg-xchacha-03")
  func extendedNonce() {
    let subkey = XChaCha20Poly1305.hChaCha20(
      key: Array(UInt8(0)...31).span, nonce: bytes(hex: "000000090000004a0000000031415927").span)
    #expect(array(subkey.bytes) == bytes(hex: "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"))
    let key = Array(UInt8(0x80)...0x9F)
    let nonce = Array(UInt8(0x40)...0x57)
    let associated = bytes(hex: "50515253c0c1c2c3c4c5c6c7")
    let text = Array(ladies.utf8)
    var sealed = [UInt8](repeating: 0, count: text.count + 16)
    var output = sealed.mutableSpan
    XChaCha20Poly1305.seal(text.span, key: key.span, nonce: nonce.span, associatedData: associated.span, into: &output)
    #expect(sealed.prefix(16) == bytes(hex: "bd6d179d3e83d43b9576579493c0e939")[...])
    #expect(sealed.suffix(16) == bytes(hex: "c0875924c1c7987947deafd8780acf49")[...])
    var opened = [UInt8](repeating: 0, count: text.count)
    var target = opened.mutableSpan
    let isAuthentic = XChaCha20Poly1305.open(
      sealed.span, key: key.span, nonce: nonce.span, associatedData: associated.span, into: &target)
    #expect(isAuthentic && opened == text)
  }
}

@Suite("ChaCha20Poly1305Key")
struct ChaCha20Poly1305KeyTests {
  private static let key = pattern(32, 9)

  private func nonce(_ high: UInt32, _ counter: UInt64) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: high >> (8 * $0)) } + (0..<8).map { UInt8(truncatingIfNeeded: counter >> (8 * UInt64($0))) }
  }

  /// What the one-shot cipher makes of it.
  private func reference(_ text: [UInt8], _ high: UInt32, _ counter: UInt64) -> [UInt8] {
    var sealed = [UInt8](repeating: 0, count: text.count + 16)
    var output = sealed.mutableSpan
    ChaCha20Poly1305.seal(text.span, key: Self.key.span, nonce: nonce(high, counter).span, associatedData: Span(), into: &output)
    return sealed
  }

  @Test("every size is sealed as RFC 8439 says, and opened again, with and without the fast way", arguments: [true, false])
  func everySize(_ isFast: Bool) {
    let sealing = isFast ? ChaCha20Poly1305Key(sealing: Self.key.span) : ChaCha20Poly1305Key(evpOnly: Self.key.span, sealing: true)
    let opening = isFast ? ChaCha20Poly1305Key(opening: Self.key.span) : ChaCha20Poly1305Key(evpOnly: Self.key.span, sealing: false)
    // Long ones first, so that what they leave behind would be seen.
    for (step, count) in ([65535, 9000, 2047, 2048] + Array(0...300).reversed() + [1280, 1400, 1408, 1420, 1500, 4096]).enumerated() {
      let text = pattern(count, step)
      let (high, counter) = (UInt32(step % 64), UInt64(step) << 30 | 5)
      var sealed = [UInt8](repeating: 0, count: count + 16)
      var output = sealed.mutableSpan
      sealing.seal(nonceHigh: high, counter: counter, plaintext: text.span, into: &output)
      #expect(sealed == reference(text, high, counter), "\(count) bytes")
      var inPlace = sealed.mutableSpan
      let isAuthentic = opening.open(nonceHigh: high, counter: counter, inPlace: &inPlace)
      #expect(isAuthentic && Array(sealed.prefix(count)) == text, "\(count) bytes")
    }
  }

  @Test("a forgery is found and leaves the bytes as they were", arguments: [true, false], [0, 1, 16, 63, 64, 200])
  func forgeries(_ isFast: Bool, _ count: Int) {
    let opening = isFast ? ChaCha20Poly1305Key(opening: Self.key.span) : ChaCha20Poly1305Key(evpOnly: Self.key.span, sealing: false)
    let sealed = reference(pattern(count, 4), 3, 77)
    for index in sealed.indices {
      var bad = sealed
      bad[index] ^= 0x80
      let before = bad
      var span = bad.mutableSpan
      let isAuthentic = opening.open(nonceHigh: 3, counter: 77, inPlace: &span)
      #expect(!isAuthentic && bad == before)
    }
    for (high, counter) in [(2, 77), (3, 78), (3, 77 | 1 << 32)] as [(UInt32, UInt64)] {
      var copy = sealed
      var span = copy.mutableSpan
      let isAuthentic = opening.open(nonceHigh: high, counter: counter, inPlace: &span)
      #expect(!isAuthentic)
    }
    for short in 0..<16 {
      var copy = Array(sealed.prefix(short))
      var span = copy.mutableSpan
      let isAuthentic = opening.open(nonceHigh: 3, counter: 77, inPlace: &span)
      #expect(!isAuthentic)
    }
    var whole = sealed
    var span = whole.mutableSpan
    let isAuthentic = opening.open(nonceHigh: 3, counter: 77, inPlace: &span)
    #expect(isAuthentic)
  }

  @Test("this OpenSSL is used without its EVP layer")
  func fastWay() {
    let key = ChaCha20Poly1305Key(sealing: Self.key.span)
    #expect(key.bypassesEVP)
  }
}

@Suite("scrypt")
struct ScryptTests {
  @Test(
    "RFC 7914 §12, first 32 bytes",
    arguments: [
      ("", "", 16, 1, 1, "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"),
      ("password", "NaCl", 1024, 8, 16, "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"),
    ] as [(String, String, UInt64, UInt64, UInt64, String)])
  func standard(_ secret: String, _ salt: String, _ cost: UInt64, _ blockSize: UInt64, _ parallelization: UInt64, _ key: String) {
    let (secret, salt) = (Array(secret.utf8), Array(salt.utf8))
    let derived = Scrypt.deriveKey(
      secret: secret.span, salt: salt.span, cost: cost, blockSize: blockSize, parallelization: parallelization, byteCount: 64)
    let start = derived.map { Array(array($0.bytes).prefix(32)) }
    #expect(start == bytes(hex: key))
  }

  @Test("128 MiB are allowed, impossible parameters are refused")
  func bounds() {
    let (secret, salt) = (Array("secret".utf8), Array("salt".utf8))
    func derive(_ cost: UInt64) -> SecretKey? {
      Scrypt.deriveKey(secret: secret.span, salt: salt.span, cost: cost, blockSize: 8, parallelization: 1, byteCount: 96)
    }
    #expect(derive(1 << 17)?.byteCount == 96)
    #expect(derive(1000) == nil)
    #expect(derive(1 << 30) == nil)
  }
}
