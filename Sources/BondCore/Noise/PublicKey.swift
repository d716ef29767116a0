public import CausewayCrypto
internal import CausewayWire

/// A Curve25519 public key: 32 bytes, who a peer is.
public struct PublicKey: Hashable, Sendable, BitwiseCopyable {
  public static let byteCount = 32
  /// Most significant byte first, so that comparing words compares bytes.
  private let words: (UInt64, UInt64, UInt64, UInt64)

  /// - Parameter bytes: 32 bytes.
  public init(_ bytes: Span<UInt8>) {
    precondition(bytes.count == Self.byteCount, "a public key has 32 bytes")
    words = (bytes.bigEndian(at: 0), bytes.bigEndian(at: 8), bytes.bigEndian(at: 16), bytes.bigEndian(at: 24))
  }

  /// The key that belongs to a private one.
  public init(of privateKey: SecretKey) {
    let bytes = X25519.publicKey(of: privateKey)
    self.init(bytes.span)
  }

  /// 44 characters, as `wg` prints them; nil for anything else.
  public init?(base64 text: String) {
    let characters = Array(text.utf8)
    guard let bytes = Base64.decode(characters.span), bytes.count == Self.byteCount else { return nil }
    self.init(bytes.span)
  }

  public var bytes: InlineArray<32, UInt8> {
    InlineArray { index in
      let word =
        switch index / 8 {
        case 0: words.0
        case 1: words.1
        case 2: words.2
        default: words.3
        }
      return UInt8(truncatingIfNeeded: word &>> UInt64(56 - index % 8 * 8))
    }
  }

  public static func == (a: PublicKey, b: PublicKey) -> Bool { a.words == b.words }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

/// By bytes, the first one first: who has the smaller key numbers its paths evenly.
extension PublicKey: Comparable {
  public static func < (a: PublicKey, b: PublicKey) -> Bool { a.words < b.words }
}

extension PublicKey: CustomStringConvertible {
  /// Base64, as `wg` prints it.
  public var description: String {
    let bytes = self.bytes
    return Base64.encode(bytes.span)
  }
}
