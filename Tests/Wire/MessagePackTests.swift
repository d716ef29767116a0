import CausewayBase
import CausewayWire
import Testing

private func hex(_ text: String) -> [UInt8] { Hexadecimal.decode(Array(text.filter { $0 != " " }.utf8).span)! }

private func encoded(_ value: MessagePackValue) -> [UInt8] {
  let buffer = ByteBuffer()
  value.encode(to: buffer)
  return buffer.array
}

private func decoded(_ bytes: [UInt8], limits: MessagePackValue.Limits = .init()) -> Result<MessagePackValue, MessagePackError> {
  outcome { () throws(MessagePackError) -> MessagePackValue in try MessagePackValue(decoding: bytes.span, limits: limits) }
}

/// Each format of the specification at both ends of its range, in its shortest form.
private let forms: [(MessagePackValue, String)] = [
  (.null, "c0"), (.bool(false), "c2"), (.bool(true), "c3"),
  (.int(0), "00"), (.int(127), "7f"), (.int(128), "cc80"), (.int(255), "ccff"), (.int(256), "cd0100"), (.int(65535), "cdffff"),
  (.int(65536), "ce00010000"), (.int(0xFFFF_FFFF), "ceffffffff"), (.int(0x1_0000_0000), "cf0000000100000000"),
  (.int(.max), "cf7fffffffffffffff"), (.uint(1 << 63), "cf8000000000000000"), (.uint(.max), "cfffffffffffffffff"),
  (.int(-1), "ff"), (.int(-32), "e0"), (.int(-33), "d0df"), (.int(-128), "d080"), (.int(-129), "d1ff7f"), (.int(-32768), "d18000"),
  (.int(-32769), "d2ffff7fff"), (.int(-2_147_483_648), "d280000000"), (.int(-2_147_483_649), "d3ffffffff7fffffff"),
  (.int(.min), "d38000000000000000"), (.float(1.5), "ca3fc00000"), (.double(1.5), "cb3ff8000000000000"),
  (.double(-.infinity), "cbfff0000000000000"),
  (.string(""), "a0"), (.string("é"), "a2c3a9"), (.string(String(repeating: "a", count: 31)), "bf" + String(repeating: "61", count: 31)),
  (.string(String(repeating: "a", count: 32)), "d920" + String(repeating: "61", count: 32)),
  (.string(String(repeating: "a", count: 256)), "da0100" + String(repeating: "61", count: 256)),
  (.string(String(repeating: "a", count: 65536)), "db00010000" + String(repeating: "61", count: 65536)),
  (.binary([]), "c400"), (.binary([1, 2]), "c4020102"),
  (.binary([UInt8](repeating: 0, count: 256)), "c50100" + String(repeating: "00", count: 256)),
  (.binary([UInt8](repeating: 0, count: 65536)), "c600010000" + String(repeating: "00", count: 65536)),
  (.array([]), "90"), (.array([.int(1), .null]), "9201c0"),
  (.array([MessagePackValue](repeating: .null, count: 16)), "dc0010" + String(repeating: "c0", count: 16)),
  (.map([]), "80"), (.map([.init("b", .int(1)), .init("a", .array([]))]), "82a16201a16190"),
  (
    .map((0..<16).map { .init(String(UnicodeScalar(UInt8(0x61 + $0))), .int(0)) }),
    "de0010" + (0..<16).map { "a1" + String(0x61 + $0, radix: 16) + "00" }.joined()
  ),
  (.ext(type: -1, [1]), "d4ff01"), (.ext(type: 5, [1, 2]), "d5050102"),
  (.ext(type: 5, [UInt8](repeating: 9, count: 16)), "d805" + String(repeating: "09", count: 16)),
  (.ext(type: 5, [1, 2, 3]), "c70305010203"), (.ext(type: 5, []), "c70005"),
]

@Test("each format has its shortest form, and back", arguments: forms.indices)
func messagePackForms(_ row: Int) {
  let (value, text) = forms[row]
  let bytes = hex(text)
  #expect(encoded(value) == bytes)
  #expect(decoded(bytes) == .success(value))
  var reader = MessagePackReader()
  let skipped = outcome { () throws(MessagePackError) in try reader.skip(bytes.span) }
  #expect((try? skipped.get()) != nil && reader.offset == bytes.count)
  for end in 0..<min(bytes.count, 40) {
    #expect(decoded(Array(bytes[..<end])) == .failure(.truncated), "first \(end) bytes")
  }
}

@Test(
  "numbers may come in a longer form",
  arguments: [("cc05", 5), ("cd0005", 5), ("cf0000000000000005", 5), ("d005", 5), ("d3ffffffffffffffff", -1)] as [(String, Int64)])
func longForms(_ text: String, _ value: Int64) {
  #expect(decoded(hex(text)) == .success(.int(value)))
}

@Test(
  "what is not MessagePack, or too much of it, is refused",
  arguments: [
    ("c1", .reservedByte), ("", .truncated), ("c0c0", .trailingBytes), ("a2c328", .invalidUTF8), ("a1ff", .invalidUTF8),
    ("8101c0", .keyNotString),
    ("ddffffffff", .tooLarge), ("dc0010c0", .truncated), ("dfffffffff", .tooLarge), ("dbffffffff61", .truncated),
    ("c6ffffffff61", .truncated),
    ("c9ffffffff0161", .truncated), ("92c0", .truncated), ("81a161", .truncated),
  ] as [(String, MessagePackError)])
func refusesMessagePack(_ text: String, _ error: MessagePackError) {
  #expect(decoded(hex(text)) == .failure(error))
}

@Test("depth and count are bounded, also when skipping")
func boundsTrees() {
  let deep = [UInt8](repeating: 0x91, count: 32) + [0xC0]
  let tooDeep = [0x91] + deep
  #expect((try? decoded(deep).get()) != nil)
  #expect(decoded(tooDeep) == .failure(.tooDeep))
  var reader = MessagePackReader()
  let fine = outcome { () throws(MessagePackError) -> Bool in
    try reader.skip(deep.span)
    return true
  }
  #expect(fine == .success(true))
  reader.offset = 0
  let refused = outcome { () throws(MessagePackError) -> Bool in
    try reader.skip(tooDeep.span)
    return true
  }
  #expect(refused == .failure(.tooDeep) && reader.offset == 0)
  #expect(decoded(hex("93c0c0c0"), limits: .init(valueCount: 4)) == .success(.array([.null, .null, .null])))
  #expect(decoded(hex("93c0c0c0"), limits: .init(valueCount: 3)) == .failure(.tooLarge))
  #expect(decoded(hex("9291c091c0"), limits: .init(valueCount: 4)) == .failure(.tooLarge))
}

@Test("typed accessors take their type and leave the offset alone otherwise")
func typedAccessors() throws {
  let bytes = hex("93 05 a161 c3 81 a178 cb3ff8000000000000 c40101 ca3fc00000 d5050102 c0")
  var reader = MessagePackReader()
  let span = bytes.span
  let wrong = outcome { () throws(MessagePackError) -> UInt64 in try reader.readUInt(span) }
  #expect(wrong == .failure(.typeMismatch) && reader.offset == 0)
  let array = try reader.readArrayHeader(span)
  let number = try reader.readUInt(span)
  let text = span.string(in: try reader.readString(span))
  let truth = try reader.readBool(span)
  let map = try reader.readMapHeader(span)
  #expect(array == 3 && number == 5 && text == "a" && truth && map == 1)
  try reader.skip(span)  // the key
  let double = try reader.readDouble(span)
  let binary = try reader.readBinary(span)
  let float = try reader.readDouble(span)
  let ext = try reader.readExtension(span)
  #expect(double == 1.5 && binary.count == 1 && float == 1.5 && ext.type == 5 && ext.payload.count == 2)
  let wasNil = try reader.skipNil(span)
  let isAtEnd = reader.isAtEnd(span)
  #expect(wasNil && isAtEnd)
}

@Test("sign and size of integers are checked", arguments: [("ff", true, false), ("7f", true, true), ("cfffffffffffffffff", false, true)])
func integerRanges(_ text: String, _ fitsInt: Bool, _ fitsUInt: Bool) {
  let bytes = hex(text)
  var reader = MessagePackReader()
  let int = try? reader.readInt(bytes.span)
  reader.offset = 0
  let uint = try? reader.readUInt(bytes.span)
  #expect((int != nil) == fitsInt)
  #expect((uint != nil) == fitsUInt)
}

private func randomValue(_ random: inout SeededRandom, depth: Int) -> MessagePackValue {
  switch Int.random(in: 0...(depth > 0 ? 10 : 8), using: &random) {
  case 0: .null
  case 1: .bool(.random(using: &random))
  case 2: .int(Int64(truncatingIfNeeded: random.next()) >> Int64.random(in: 0...63, using: &random))
  case 3: .uint(random.next() | 1 << 63)
  case 4: .float(Float(Int16(truncatingIfNeeded: random.next())))
  case 5: .double(Double(Int32(truncatingIfNeeded: random.next())) / 3)
  case 6: .string(String(repeating: "ñ", count: Int.random(in: 0...200, using: &random)))
  case 7: .binary(random.bytes(Int.random(in: 0...300, using: &random)))
  case 8: .ext(type: Int8(truncatingIfNeeded: random.next()), random.bytes(Int.random(in: 0...20, using: &random)))
  case 9: .array((0..<Int.random(in: 0...20, using: &random)).map { _ in randomValue(&random, depth: depth - 1) })
  default: .map((0..<Int.random(in: 0...20, using: &random)).map { .init("key\($0)", randomValue(&random, depth: depth - 1)) })
  }
}

@Test("encode then decode gives the value back", arguments: UInt64(1)...40)
func messagePackLaw(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let value = randomValue(&random, depth: 3)
  let bytes = encoded(value)
  let back = decoded(bytes, limits: .init(valueCount: 100_000))
  #expect(back == .success(value))
}
