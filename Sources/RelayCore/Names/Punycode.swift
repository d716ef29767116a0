/// Checks the form of internationalised labels (RFC 3492). The relay never shows them decoded, so it only needs to know that a
/// browser could.
enum Punycode {
  /// Whether `encoded` (lower-case letters, digits and hyphens; what follows `xn--`) decodes by RFC 3492 §6.2 to Unicode scalars
  /// of which at least one is not ASCII.
  static func isValid(_ encoded: ArraySlice<UInt8>) -> Bool {
    var index = encoded.startIndex
    var length: UInt32 = 0
    if let delimiter = encoded.lastIndex(of: UInt8(ascii: "-")) {
      if delimiter == encoded.startIndex { return false }
      length = UInt32(delimiter - encoded.startIndex)
      index = delimiter + 1
    }
    if index == encoded.endIndex { return false }

    var scalar: UInt32 = 128
    var position: UInt32 = 0
    var bias: UInt32 = 72
    while index < encoded.endIndex {
      let previous = position
      var weight: UInt32 = 1
      var k: UInt32 = 36
      while true {
        guard index < encoded.endIndex, let digit = digit(encoded[index]) else { return false }
        index += 1
        let (step, stepOverflow) = digit.multipliedReportingOverflow(by: weight)
        let (sum, sumOverflow) = position.addingReportingOverflow(step)
        if stepOverflow || sumOverflow { return false }
        position = sum
        let threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias
        if digit < threshold { break }
        let (next, overflow) = weight.multipliedReportingOverflow(by: 36 - threshold)
        if overflow { return false }
        weight = next
        k += 36
      }
      length += 1
      bias = adapt(position - previous, length, isFirst: previous == 0)
      let (next, overflow) = scalar.addingReportingOverflow(position / length)
      if overflow || next < 0xA0 || Unicode.Scalar(next) == nil { return false }  // C1 controls are in no label
      scalar = next
      position = position % length + 1
    }
    return true
  }

  private static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a"))
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 26
    default: nil
    }
  }

  /// RFC 3492 §6.1.
  private static func adapt(_ delta: UInt32, _ count: UInt32, isFirst: Bool) -> UInt32 {
    var delta = isFirst ? delta / 700 : delta / 2
    delta += delta / count
    var k: UInt32 = 0
    while delta > (35 * 26) / 2 {
      delta /= 35
      k += 36
    }
    return k + 36 * delta / (delta + 38)
  }
}
