/// Checks UTF-8 (RFC 3629) that arrives in pieces: the state of an unfinished character is carried from piece to piece, and the
/// first byte that cannot be right is reported at once.
public struct UTF8Validator: Sendable {
  /// Continuation bytes that the current character still needs.
  private var needed: UInt8 = 0
  /// Bounds of the next continuation byte: they exclude overlong forms, surrogates and what is above U+10FFFF.
  private var lower: UInt8 = 0x80
  private var upper: UInt8 = 0xBF

  public init() {}

  /// No character is unfinished.
  public var isComplete: Bool { needed == 0 }

  /// - Returns: false when the text cannot be UTF-8 whatever follows; then the state means nothing any more.
  public mutating func accept(_ bytes: Span<UInt8>) -> Bool {
    var i = 0
    let count = bytes.count
    while i < count {
      if needed == 0 {
        while i &+ 8 <= count, bytes.littleEndian(at: i, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 { i &+= 8 }
        guard i < count else { break }
      }
      guard accept(bytes[i]) else { return false }
      i &+= 1
    }
    return true
  }

  @inline(__always) private mutating func accept(_ byte: UInt8) -> Bool {
    if needed > 0 {
      guard byte >= lower, byte <= upper else { return false }
      needed &-= 1
      (lower, upper) = (0x80, 0xBF)
      return true
    }
    switch byte {
    case 0x00...0x7F: return true
    case 0xC2...0xDF: needed = 1
    case 0xE0: (needed, lower) = (2, 0xA0)
    case 0xE1...0xEC, 0xEE, 0xEF: needed = 2
    case 0xED: (needed, upper) = (2, 0x9F)
    case 0xF0: (needed, lower) = (3, 0x90)
    case 0xF1...0xF3: needed = 3
    case 0xF4: (needed, upper) = (3, 0x8F)
    default: return false
    }
    return true
  }

  /// Whether `bytes` are UTF-8 from beginning to end.
  public static func isValid(_ bytes: Span<UInt8>) -> Bool {
    var validator = UTF8Validator()
    return validator.accept(bytes) && validator.isComplete
  }
}
