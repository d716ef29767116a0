import CausewayBase
import CausewayWire
import Testing

// `#expect` takes no spans, so these take arrays.
private func encode(_ bytes: [UInt8]) -> String { Base64.encode(bytes.span) }
private func encodeURL(_ bytes: [UInt8]) -> String { Base64.encodeURL(bytes.span) }
private func encodeHex(_ bytes: [UInt8]) -> String { Hexadecimal.encode(bytes.span) }
private func decode(_ text: String) -> [UInt8]? { Base64.decode(Array(text.utf8).span) }
private func decodeURL(_ text: String) -> [UInt8]? { Base64.decodeURL(Array(text.utf8).span) }
private func decodeHex(_ text: String) -> [UInt8]? { Hexadecimal.decode(Array(text.utf8).span) }
private func find(_ byte: UInt8, _ bytes: [UInt8]) -> Int? { bytes.span.firstIndex(of: byte, in: 0..<bytes.count) }

@Test(
  "the vectors of RFC 4648 §10",
  arguments: [
    ("", "", ""), ("f", "Zg==", "66"), ("fo", "Zm8=", "666f"), ("foo", "Zm9v", "666f6f"), ("foob", "Zm9vYg==", "666f6f62"),
    ("fooba", "Zm9vYmE=", "666f6f6261"),
    ("foobar", "Zm9vYmFy", "666f6f626172"),
  ])
func base64Vectors(_ plain: String, _ base64: String, _ hex: String) {
  let bytes = Array(plain.utf8)
  #expect(encode(bytes) == base64)
  #expect(decode(base64) == bytes)
  #expect(encodeURL(bytes) == base64.filter { $0 != "=" })
  #expect(decodeURL(base64.filter { $0 != "=" }) == bytes)
  #expect(encodeHex(bytes) == hex)
  #expect(decodeHex(hex.uppercased()) == bytes)
}

@Test(
  "what is not base64 is refused",
  arguments: ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm 9", "Zm9-", "=Zm9", "Zg==Zg=="])
func refusesBase64(_ text: String) {
  #expect(decode(text) == nil)
}

@Test("what is not base64url is refused", arguments: ["Z", "Zg==", "Zh", "Zm9+", "Zm9/"])
func refusesBase64URL(_ text: String) {
  #expect(decodeURL(text) == nil)
}

@Test("what is not hexadecimal is refused", arguments: ["6", "6g", "0x", " 6"])
func refusesHexadecimal(_ text: String) {
  #expect(decodeHex(text) == nil)
}

@Test("the alphabets differ in two characters")
func alphabets() {
  let bytes: [UInt8] = [0xFB, 0xEF, 0xFF]
  #expect(encode(bytes) == "++//")
  #expect(encodeURL(bytes) == "--__")
}

@Test("random bytes survive", arguments: UInt64(1)...20)
func base64Law(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let bytes = random.bytes(Int(seed) * 3 / 2)
  #expect(decode(encode(bytes)) == bytes)
  #expect(decodeURL(encodeURL(bytes)) == bytes)
  #expect(decodeHex(encodeHex(bytes)) == bytes)
}

@Test("integers are read in both orders, and a search finds the first byte", arguments: 0...20)
func integersAndSearch(_ length: Int) {
  let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
  let little: UInt32 = bytes.span.littleEndian(at: 1)
  let big: UInt64 = bytes.span.bigEndian(at: 1)
  #expect(little == 0x0504_0302 && big == 0x0203_0405_0607_0809)
  for place in 0..<length {
    var text = [UInt8](repeating: 0xFF, count: length)
    text[place] = 0x0A
    if place + 2 < length { text[place + 2] = 0x0A }
    #expect(find(0x0A, text) == place)
    #expect(find(0x0B, text) == nil)
  }
}
