extension IPAddress {
  /// Dotted decimal or IPv6 text (RFC 4291 §2.2), strictly: no leading zeros or other bases in IPv4, no zone, no brackets.
  public init?(_ text: Span<UInt8>) {
    guard text.count <= 45 else { return nil }
    if text.firstIndex(of: UInt8(ascii: ":"), in: 0..<text.count) != nil { self.init(ipv6: text) } else { self.init(ipv4: text) }
  }

  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    self.init(bytes.span)
  }

  init?(ipv4 text: Span<UInt8>) {
    var value: UInt32 = 0
    var part: UInt32 = 0
    var digits = 0
    var parts = 1
    for i in text.indices {
      if text[i] == UInt8(ascii: ".") {
        guard digits > 0, parts < 4 else { return nil }
        value = value &<< 8 | part
        parts += 1
        part = 0
        digits = 0
        continue
      }
      guard ASCII.isDigit(text[i]), digits < 3, digits == 0 || part > 0 else { return nil }
      part = part * 10 + UInt32(text[i] - 0x30)
      guard part <= 255 else { return nil }
      digits += 1
    }
    guard parts == 4, digits > 0 else { return nil }
    self.init(ipv4: value &<< 8 | part)
  }

  init?(ipv6 text: Span<UInt8>) {
    var groups = IPv6Groups()
    var i = 0
    if text.count >= 2, text[0] == ASCII.colon {
      guard text[1] == ASCII.colon else { return nil }
      groups.gap = 0
      i = 2
    }
    while i < text.count {
      let start = i
      var value: UInt16 = 0
      while i < text.count, let digit = ASCII.hexadecimalValue(text[i]) {
        guard i - start < 4 else { return nil }
        value = value &<< 4 | UInt16(digit)
        i += 1
      }
      if i < text.count, text[i] == UInt8(ascii: ".") {
        guard let tail = IPAddress(ipv4: text.extracting(start..<text.count)) else { return nil }
        guard groups.append(UInt16(truncatingIfNeeded: tail.low >> 16)), groups.append(UInt16(truncatingIfNeeded: tail.low)) else {
          return nil
        }
        break
      }
      guard i > start, groups.append(value) else { return nil }
      if i == text.count { break }
      guard text[i] == ASCII.colon else { return nil }
      i += 1
      if i < text.count, text[i] == ASCII.colon {
        guard groups.gap == nil else { return nil }
        groups.gap = groups.count
        i += 1
      } else if i == text.count {
        return nil  // a single colon at the end
      }
    }
    guard let (high, low) = groups.value else { return nil }
    self.init(ipv6High: high, low: low)
  }

  /// Eight groups of 16 bits while they are read, and where `::` stands.
  private struct IPv6Groups {
    var values: InlineArray<8, UInt16> = .init(repeating: 0)
    var count = 0
    var gap: Int?

    mutating func append(_ value: UInt16) -> Bool {
      guard count < 8 else { return false }
      values[count] = value
      count += 1
      return true
    }

    /// Nil when the groups don't add up to eight; `::` stands for at least one.
    var value: (UInt64, UInt64)? {
      guard gap == nil ? count == 8 : count < 8 else { return nil }
      var words: (UInt64, UInt64) = (0, 0)
      for i in 0..<count {
        let place = i < gap ?? 8 ? i : i + 8 - count
        if place < 4 {
          words.0 |= UInt64(values[i]) &<< UInt64(16 * (3 - place))
        } else {
          words.1 |= UInt64(values[i]) &<< UInt64(16 * (7 - place))
        }
      }
      return words
    }
  }
}

extension IPAddress: CustomStringConvertible {
  /// The canonical text of RFC 5952; mapped addresses show their IPv4 part in dotted decimal (§5).
  public var description: String {
    if family == .v4 { return Self.dotted(UInt32(truncatingIfNeeded: low)) }
    if high == 0, low >> 32 == 0xFFFF { return "::ffff:" + Self.dotted(UInt32(truncatingIfNeeded: low)) }
    let groups = (0..<8).map { (i: Int) -> UInt16 in
      let word = i < 4 ? high : low
      return UInt16(truncatingIfNeeded: word &>> UInt64(48 - 16 * (i % 4)))
    }
    guard let run = Self.longestZeroRun(groups) else { return Self.joined(groups[...]) }
    return Self.joined(groups[..<run.lowerBound]) + "::" + Self.joined(groups[run.upperBound...])
  }

  private static func dotted(_ value: UInt32) -> String { "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)" }

  private static func joined(_ groups: ArraySlice<UInt16>) -> String {
    groups.map { String($0, radix: 16) }.joined(separator: ":")
  }

  /// The first of the longest runs of at least two zero groups.
  private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int>? {
    var best: Range<Int>?
    var start = 0
    while start < groups.count {
      var end = start
      while end < groups.count, groups[end] == 0 { end += 1 }
      if end - start >= 2, end - start > best?.count ?? 0 { best = start..<end }
      start = max(end, start + 1)
    }
    return best
  }
}
