/// RFC 4648 §4 and §5, strictly: no white space, no stray bits, padding exactly as the alphabet wants it.
public enum Base64 {
  /// The standard alphabet, padded.
  public static func encode(_ bytes: Span<UInt8>) -> String { encode(bytes, url: false) }

  /// The URL and file name alphabet, without padding.
  public static func encodeURL(_ bytes: Span<UInt8>) -> String { encode(bytes, url: true) }

  /// The standard alphabet; padding is required. Nil when `text` is anything else.
  public static func decode(_ text: Span<UInt8>) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    var end = text.count
    if end > 0, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
    if end > 0, end < text.count, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
    return decode(text, upTo: end, url: false)
  }

  /// The URL alphabet; no padding is taken. Nil when `text` is anything else.
  public static func decodeURL(_ text: Span<UInt8>) -> [UInt8]? { decode(text, upTo: text.count, url: true) }

  private static func encode(_ bytes: Span<UInt8>, url: Bool) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    var i = 0
    while i < bytes.count {
      let left = min(3, bytes.count - i)
      var group: UInt32 = 0
      for k in 0..<left { group |= UInt32(bytes[i + k]) &<< UInt32(16 - 8 * k) }
      for k in 0...left { text.append(character(UInt8(truncatingIfNeeded: group &>> UInt32(18 - 6 * k) & 63), url)) }
      if !url { for _ in left..<3 { text.append(UInt8(ascii: "=")) } }
      i += 3
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func decode(_ text: Span<UInt8>, upTo end: Int, url: Bool) -> [UInt8]? {
    let tail = end % 4
    guard tail != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(end / 4 * 3 + 2)
    var group: UInt32 = 0
    var held: UInt32 = 0
    for i in 0..<end {
      guard let value = value(text[i], url) else { return nil }
      group = group &<< 6 | UInt32(value)
      held += 6
      if held >= 8 {
        held -= 8
        bytes.append(UInt8(truncatingIfNeeded: group &>> held))
      }
    }
    guard group & ((1 &<< held) &- 1) == 0 else { return nil }
    return bytes
  }

  private static func character(_ value: UInt8, _ url: Bool) -> UInt8 {
    switch value {
    case 0..<26: 0x41 + value
    case 26..<52: 0x61 + value - 26
    case 52..<62: 0x30 + value - 52
    case 62: url ? UInt8(ascii: "-") : UInt8(ascii: "+")
    default: url ? UInt8(ascii: "_") : UInt8(ascii: "/")
    }
  }

  private static func value(_ character: UInt8, _ url: Bool) -> UInt8? {
    switch character {
    case 0x41...0x5A: character - 0x41
    case 0x61...0x7A: character - 0x61 + 26
    case 0x30...0x39: character - 0x30 + 52
    case url ? UInt8(ascii: "-") : UInt8(ascii: "+"): 62
    case url ? UInt8(ascii: "_") : UInt8(ascii: "/"): 63
    default: nil
    }
  }
}

/// RFC 4648 §8.
public enum Hexadecimal {
  /// Lower case, two digits a byte.
  public static func encode(_ bytes: Span<UInt8>) -> String {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for i in bytes.indices {
      for digit in [bytes[i] >> 4, bytes[i] & 15] { text.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Either case; nil when there is another character or an odd number of them.
  public static func decode(_ text: Span<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2)
    for i in stride(from: 0, to: text.count, by: 2) {
      guard let high = ASCII.hexadecimalValue(text[i]), let low = ASCII.hexadecimalValue(text[i + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }
}
