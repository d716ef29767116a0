/// What a client proves its account with: `cw_` and 43 letters or digits drawn at random (256 bits). It exists where it is made and is
/// shown once; the store knows its hash only. No description, mirror or error ever contains it.
package struct Token: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package static let prefix = "cw_"
  /// 62^43 > 2^256.
  static let drawnCount = 43
  private static let alphabet = [UInt8]("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

  /// The secret itself.
  package let text: String
  package var hash: TokenHash { TokenHash(of: text) }

  package var description: String { "\(Self.prefix)(hidden)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: []) }

  /// A new one from the kernel's randomness.
  package static func make() -> Token {
    var drawn = [UInt8](prefix.utf8)
    while drawn.count < prefix.utf8.count + drawnCount {
      // 248 = 4 * 62: what lies above would favour the first letters.
      for byte in Secrets.random(byteCount: 64) where byte < 248 && drawn.count < prefix.utf8.count + drawnCount {
        drawn.append(alphabet[Int(byte % 62)])
      }
    }
    return Token(text: String(decoding: drawn, as: UTF8.self))
  }

  /// Whether `text` has a token's form, so that it can be kept out of messages and arguments.
  package static func resembles(_ text: String) -> Bool { text.hasPrefix(prefix) }
}

/// SHA-256 of a token: what the store keeps, and what the relay names a token by. Not a secret: 256 random bits cannot be guessed back.
package struct TokenHash: Hashable, Sendable, CustomStringConvertible {
  package static let byteCount = 32
  /// Longer texts are no token; only so much of them is hashed.
  package static let maximumTokenByteCount = 256
  /// Hexadecimal digits of `identifier`, and the fewest that name a token.
  package static let identifierDigitCount = 12
  package static let minimumDigitCount = 6

  package let bytes: [UInt8]

  package init(of token: String) {
    let text = [UInt8](token.utf8.prefix(Self.maximumTokenByteCount))
    self.init(of: text.span)
  }

  package init(of token: Span<UInt8>) {
    bytes = Secrets.sha256(token.extracting(first: Self.maximumTokenByteCount))
  }

  init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// All 64 hexadecimal digits.
  package var hexadecimal: String { Hexadecimal.text(bytes[...]) }
  /// The token's name in lists: the first digits.
  package var identifier: String { Hexadecimal.text(bytes.prefix(Self.identifierDigitCount / 2)) }
  package var description: String { identifier }
}
