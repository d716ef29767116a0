import CausewayBase
import CausewayWire
import Testing

private func hex(_ text: String) -> [UInt8] { Hexadecimal.decode(Array(text.filter { $0 != " " }.utf8).span)! }
private func encodeHex(_ bytes: [UInt8]) -> String { Hexadecimal.encode(bytes.span) }

/// RFC 6455 §5.7: bytes, masked, header without mask, payload.
private let examples: [(bytes: String, isMasked: Bool, opcode: WebSocketOpcode, isFinal: Bool, payload: String)] = [
  ("81 05 48656c6c6f", false, .text, true, "Hello"),
  ("81 85 37fa213d 7f9f4d5158", true, .text, true, "Hello"),
  ("01 03 48656c", false, .text, false, "Hel"),
  ("80 02 6c6f", false, .continuation, true, "lo"),
  ("89 05 48656c6c6f", false, .ping, true, "Hello"),
  ("8a 85 37fa213d 7f9f4d5158", true, .pong, true, "Hello"),
]

@Test("the frames of RFC 6455 §5.7 decode and encode", arguments: examples.indices)
func frameExamples(_ row: Int) throws {
  let (text, isMasked, opcode, isFinal, payload) = examples[row]
  let bytes = hex(text)
  let (header, count) = try #require(try WebSocketFrameHeader.parse(bytes.span, expectsMask: isMasked))
  #expect(header.opcode == opcode && header.isFinal == isFinal && (header.mask != nil) == isMasked)
  #expect(header.payloadByteCount == UInt64(payload.utf8.count) && count == bytes.count - payload.utf8.count)
  let buffer = ByteBuffer()
  let plain = Array(payload.utf8)
  buffer.appendFrame(opcode, plain.span, isFinal: isFinal, mask: header.mask)
  #expect(buffer.array == bytes)
}

@Test(
  "lengths take their shortest form, and back",
  arguments: [
    (0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10), (1 << 40, 10), (UInt64(Int64.max), 10),
  ] as [(UInt64, Int)])
func frameLengths(_ length: UInt64, _ byteCount: Int) throws {
  for mask in [nil, 0x0403_0201] as [UInt32?] {
    let header = WebSocketFrameHeader(opcode: .binary, payloadByteCount: length, isFinal: false, mask: mask, reservedBits: 4)
    let buffer = ByteBuffer()
    header.append(to: buffer)
    let bytes = buffer.array
    #expect(bytes.count == byteCount + (mask == nil ? 0 : 4) && header.byteCount == bytes.count)
    let parsed = try WebSocketFrameHeader.parse(bytes.span, expectsMask: mask != nil, allowedReservedBits: 4, limit: .max)
    #expect(parsed?.header == header && parsed?.byteCount == bytes.count)
    for end in 0..<bytes.count {
      let partial = try WebSocketFrameHeader.parse(
        bytes.span.extracting(0..<end), expectsMask: mask != nil, allowedReservedBits: 4, limit: .max)
      #expect(partial == nil)
    }
  }
}

@Test(
  "frames that RFC 6455 §5 forbids are refused",
  arguments: [
    ("c1 00", false, .reservedBits), ("a1 00", false, .reservedBits), ("91 00", false, .reservedBits), ("83 00", false, .reservedOpcode),
    ("87 00", false, .reservedOpcode), ("8b 00", false, .reservedOpcode), ("8f 00", false, .reservedOpcode), ("81 00", true, .maskMissing),
    ("81 80 00000000", false, .maskUnexpected), ("09 00", false, .controlFragmented), ("08 00", false, .controlFragmented),
    ("89 7e 007e", false, .controlTooLong), ("88 7f 0000000000000001", false, .controlTooLong), ("82 7e 007d", false, .lengthNotShortest),
    ("82 7f 000000000000ffff", false, .lengthNotShortest), ("82 7f 8000000000000000", false, .lengthInvalid),
    ("82 7f ffffffffffffffff", false, .lengthInvalid), ("82 7f 0000000000100001", false, .frameTooLarge),
    ("82 7f 7fffffffffffffff", false, .frameTooLarge),
  ] as [(String, Bool, WebSocketError)])
func forbiddenFrames(_ text: String, _ expectsMask: Bool, _ error: WebSocketError) {
  let bytes = hex(text)
  let result = outcome { () throws(WebSocketError) -> Bool in try WebSocketFrameHeader.parse(bytes.span, expectsMask: expectsMask) == nil }
  #expect(result == .failure(error))
  #expect(error.closeCode == (error == .frameTooLarge ? 1009 : 1002))
}

@Test("masking in pieces of any size equals masking byte by byte", arguments: UInt64(1)...30)
func maskingEqualsTwin(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let key = UInt32.random(in: 0 ... .max, using: &random)
  let plain = random.bytes(Int.random(in: 0...400, using: &random))
  let expected = plain.enumerated().map { $1 ^ UInt8(truncatingIfNeeded: key >> UInt32($0 % 4 * 8)) }
  let buffer = ByteBuffer()
  buffer.append(plain.span)
  var mask = WebSocketMask(key: key)
  var position = 0
  while position < plain.count {
    let end = min(plain.count, position + Int.random(in: 1...100, using: &random))
    mask.apply(to: buffer, in: position..<end)
    position = end
  }
  #expect(buffer.array == expected)
}

@Test(
  "close payloads (RFC 6455 §7.4)",
  arguments: [
    ("", nil, nil), ("03e8", 1000, nil), ("03e8 627965", 1000, nil), ("0bb8", 3000, nil), ("1387", 4999, nil), ("03f6", 1014, nil),
    ("03", nil, .closePayloadInvalid), ("03ec", nil, .closeCodeInvalid), ("03ed", nil, .closeCodeInvalid), ("03ee", nil, .closeCodeInvalid),
    ("03f7", nil, .closeCodeInvalid), ("03e7", nil, .closeCodeInvalid), ("0bb7", nil, .closeCodeInvalid), ("1388", nil, .closeCodeInvalid),
    ("0000", nil, .closeCodeInvalid), ("03e8 c328", nil, .textInvalid), ("03e8 e282", nil, .textInvalid),
  ] as [(String, UInt16?, WebSocketError?)])
func closePayloads(_ text: String, _ code: UInt16?, _ error: WebSocketError?) {
  let bytes = hex(text)
  let result = outcome { () throws(WebSocketError) -> UInt16? in try WebSocketClose(bytes.span).code }
  #expect(result == (error.map { .failure($0) } ?? .success(code)))
}

@Test("a close reason that is too long loses whole characters")
func closeReasonFits() throws {
  let buffer = ByteBuffer()
  WebSocketClose(code: 1001, reason: String(repeating: "é", count: 100)).append(to: buffer)
  let bytes = buffer.array
  #expect(bytes.count == 2 + 2 + 122)
  let close = try WebSocketClose(bytes.span.extracting(2..<bytes.count))
  #expect(close == WebSocketClose(code: 1001, reason: String(repeating: "é", count: 61)))
}

/// Everything an assembler says about `bytes`, fed in pieces of at most `step` bytes.
private func assemble(_ bytes: [UInt8], isServer: Bool = false, step: Int = .max, messageByteLimit: Int = 1000) -> [String] {
  var assembler = WebSocketAssembler(isServer: isServer, frameByteLimit: 500, messageByteLimit: messageByteLimit)
  var said: [String] = []
  var start = 0
  var end = 0
  do {
    while end < bytes.count {
      end = step == .max ? bytes.count : min(bytes.count, end + step)
      let piece = bytes.span.extracting(start..<end)
      var offset = 0
      while let event = try assembler.next(piece, from: &offset) {
        switch event {
        case .text: said.append("text " + String(decoding: assembler.message.array, as: UTF8.self))
        case .binary: said.append("binary " + encodeHex(assembler.message.array))
        case .ping: said.append("ping " + String(decoding: assembler.control.array, as: UTF8.self))
        case .pong: said.append("pong")
        case .close(let close): said.append("close \(close.code ?? 0)")
        }
      }
      start += offset
    }
  } catch {
    said.append("\(error)")
  }
  return said
}

@Test(
  "messages come together as RFC 6455 §5.4 says, in pieces of any size",
  arguments: [
    ("81 05 48656c6c6f", ["text Hello"]),
    ("01 03 48656c 80 02 6c6f", ["text Hello"]),
    ("01 03 48656c 89 01 61 00 00 8a 00 80 02 6c6f 88 00", ["ping a", "pong", "text Hello", "close 0"]),
    ("82 00 82 01 ff", ["binary ", "binary ff"]),
    ("01 01 ce 80 01 ba", ["text κ"]),
    ("01 01 ce 80 01 ce", ["textInvalid"]),
    ("81 01 ce", ["textInvalid"]),
    ("01 04 f4908080", ["textInvalid"]),
    ("01 03 eda080", ["textInvalid"]),
    ("80 01 61", ["continuationUnexpected"]),
    ("01 01 61 81 01 62", ["continuationMissing"]),
    ("88 02 03e8 81 01 61", ["close 1000"]),
    ("88 01 03", ["closePayloadInvalid"]),
    ("82 7e 01f5", ["frameTooLarge"]),
    (
      "02 7e 01f4" + String(repeating: "00", count: 500) + "00 7e 01f4" + String(repeating: "00", count: 500) + "80 01 00",
      ["messageTooLarge"]
    ),
  ])
func messages(_ text: String, _ expected: [String]) {
  let bytes = hex(text)
  for step in [Int.max, 1, 2, 7] {
    #expect(assemble(bytes, step: step) == expected, "step \(step)")
  }
}

@Test("a masked conversation survives any cut", arguments: UInt64(1)...10)
func messageLaw(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let buffer = ByteBuffer()
  var expected: [String] = []
  for _ in 0..<10 {
    let payload = random.bytes(Int.random(in: 0...400, using: &random))
    let cut = Int.random(in: 0...payload.count, using: &random)
    buffer.appendFrame(.binary, payload.span.extracting(0..<cut), isFinal: false, mask: random.next(upperBound: UInt32.max))
    buffer.appendFrame(.ping, Array("p".utf8).span, mask: random.next(upperBound: UInt32.max))
    buffer.appendFrame(.continuation, payload.span.extracting(cut..<payload.count), mask: random.next(upperBound: UInt32.max))
    expected += ["ping p", "binary " + encodeHex(payload)]
  }
  #expect(assemble(buffer.array, isServer: true, step: Int.random(in: 1...300, using: &random)) == expected)
}

@Test(
  "UTF-8 is judged early and across pieces",
  arguments: [
    ("", true), ("c3a9", true), ("e282ac", true), ("f09f9880", true), ("f48fbfbf", true), ("ee8080", true), ("ed9fbf", true), ("00", true),
    ("80", false), ("bf", false), ("c0af", false), ("c1bf", false), ("e09fbf", false), ("f08fbfbf", false), ("eda080", false),
    ("f4908080", false),
    ("f5808080", false), ("ff", false), ("fe", false), ("c3", false), ("e282", false), ("f09f98", false), ("c328", false),
    ("e28228", false),
    ("6161616161616161c3a96161616161616161", true), ("6161616161616161616180", false),
  ])
func utf8(_ text: String, _ isValid: Bool) {
  let bytes = hex(text)
  let whole = UTF8Validator.isValid(bytes.span)
  #expect(whole == isValid)
  #expect((String(validating: bytes, as: UTF8.self) != nil) == isValid)  // the standard library as a twin
  for cut in 0...bytes.count {
    var validator = UTF8Validator()
    let first = validator.accept(bytes.span.extracting(0..<cut))
    let second = first && validator.accept(bytes.span.extracting(cut..<bytes.count))
    #expect((second && validator.isComplete) == isValid)
  }
}

@Test("random bytes: the validator agrees with the standard library", arguments: UInt64(1)...4)
func utf8Twin(_ seed: UInt64) {
  var random = SeededRandom(seed: seed)
  let alphabet: [UInt8] = [0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4]
  for _ in 0..<3000 {
    let bytes = (0..<Int.random(in: 0...10, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
    let isValid = UTF8Validator.isValid(bytes.span)
    if isValid != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("\(bytes)") }
  }
}

@Test("the handshake's input is the key and the GUID, and keys are 16 bytes in base64")
func handshakeInput() {
  let input = WebSocketHandshake.acceptInput(Array("dGhlIHNhbXBsZSBub25jZQ==".utf8).span)
  #expect(String(decoding: input, as: UTF8.self) == "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
  for (key, isValid) in [
    ("dGhlIHNhbXBsZSBub25jZQ==", true), ("dGhlIHNhbXBsZSBub25jZR==", false), ("dGhlIHNhbXBsZSBub25jZQ=", false), ("", false),
    ("dGhlIHNhbXBsZSBub25jZQ= ", false), ("dGhlIHNhbXBsZSBub25jZQAA", false),
  ] {
    let result = WebSocketHandshake.isValidKey(Array(key.utf8).span)
    #expect(result == isValid, "\(key)")
  }
}
