/// Appends JSON (RFC 8259) to a buffer, members in the order they are written. It knows where commas belong; balance of `begin…` and
/// `end…` is the caller's duty and checked by `finish`.
///
///     var json = JSONWriter(buffer)
///     json.object { json in
///       json.member("event", "ready")
///       json.member("port", 8080)
///     }
@safe package struct JSONWriter {
  private let buffer: ByteBuffer
  /// A value precedes at this level: the next one needs a comma.
  private var needsComma = false
  private var depth = 0

  package init(_ buffer: ByteBuffer) { self.buffer = buffer }

  // MARK: Structure

  package mutating func beginObject() { open(0x7B) }
  package mutating func endObject() { close(0x7D) }
  package mutating func beginArray() { open(0x5B) }
  package mutating func endArray() { close(0x5D) }

  package mutating func object(_ body: (inout JSONWriter) -> Void) {
    beginObject()
    body(&self)
    endObject()
  }

  package mutating func array(_ body: (inout JSONWriter) -> Void) {
    beginArray()
    body(&self)
    endArray()
  }

  package mutating func key(_ name: String) {
    separate()
    appendString(name)
    buffer.append(0x3A)
    needsComma = false
  }

  /// Ends a line of a JSON-lines stream; a precondition failure when an object or array is still open.
  package mutating func finishLine() {
    precondition(depth == 0, "JSON line ended inside an object or array")
    buffer.append(0x0A)
    needsComma = false
  }

  // MARK: Values

  package mutating func value(_ text: String) {
    separate()
    appendString(text)
  }

  package mutating func value(_ number: some BinaryInteger) {
    separate()
    buffer.append(String(number))
  }

  /// NaN and infinities have no JSON form and become null.
  package mutating func value(_ number: Double) {
    separate()
    buffer.append(number.isFinite ? number.description : "null")
  }

  package mutating func value(_ flag: Bool) {
    separate()
    buffer.append(flag ? "true" : "false" as StaticString)
  }

  package mutating func null() {
    separate()
    buffer.append("null" as StaticString)
  }

  package mutating func member(_ name: String, _ text: String) {
    key(name)
    value(text)
  }
  package mutating func member(_ name: String, _ number: some BinaryInteger) {
    key(name)
    value(number)
  }
  package mutating func member(_ name: String, _ number: Double) {
    key(name)
    value(number)
  }
  package mutating func member(_ name: String, _ flag: Bool) {
    key(name)
    value(flag)
  }
  /// Leaves the member out when there is no text.
  package mutating func member(_ name: String, ifPresent text: String?) {
    if let text { member(name, text) }
  }

  // MARK: Inside

  private mutating func separate() {
    if needsComma { buffer.append(0x2C) }
    needsComma = true
  }

  private mutating func open(_ bracket: UInt8) {
    separate()
    buffer.append(bracket)
    needsComma = false
    depth += 1
  }

  private mutating func close(_ bracket: UInt8) {
    precondition(depth > 0, "JSON object or array closed twice")
    buffer.append(bracket)
    needsComma = true
    depth -= 1
  }

  /// Escapes what RFC 8259 §7 demands, and DEL and C1 besides, so that a JSON line may safely reach a terminal.
  private func appendString(_ text: String) {
    buffer.append(0x22)
    var text = text
    text.withUTF8 { bytes in
      var plain = 0
      var index = 0
      while index < bytes.count {
        let byte = unsafe bytes[index]
        var length = 1
        let escape: (UInt8, UInt8)?  // (letter, 0) or (0, code for \u00XX)
        switch byte {
        case 0x22, 0x5C: escape = (byte, 0)
        case 0x0A: escape = (0x6E, 0)
        case 0x0D: escape = (0x72, 0)
        case 0x09: escape = (0x74, 0)
        case 0..<0x20, 0x7F: escape = (0, byte)
        // U+0080 to U+009F is C2 80 to C2 9F. Strings are valid UTF-8: a byte follows C2.
        case 0xC2 where unsafe bytes[index + 1] < 0xA0:
          escape = unsafe (0, bytes[index + 1])
          length = 2
        default: escape = nil
        }
        if let escape {
          // SAFETY: plain...index lies inside the string's bytes, which live for this closure.
          unsafe appendRun(UnsafeBufferPointer(rebasing: bytes[plain..<index]))
          buffer.append(0x5C)
          if escape.0 != 0 {
            buffer.append(escape.0)
          } else {
            buffer.append("u00" as StaticString)
            for digit in [escape.1 >> 4, escape.1 & 15] { buffer.append(digit < 10 ? 0x30 + digit : 0x57 + digit) }
          }
          plain = index + length
        }
        index += length
      }
      unsafe appendRun(UnsafeBufferPointer(rebasing: bytes[plain...]))
    }
    buffer.append(0x22)
  }

  private func appendRun(_ run: UnsafeBufferPointer<UInt8>) {
    // SAFETY: the caller's bytes outlive the call.
    unsafe buffer.append(Span(_unsafeElements: run))
  }
}
