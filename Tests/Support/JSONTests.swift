import CausewayBase
import CausewaySupport
import Testing

@Suite struct JSONTests {
  func write(_ body: (inout JSONWriter) -> Void) -> String {
    let buffer = ByteBuffer()
    var json = JSONWriter(buffer)
    body(&json)
    return unsafe buffer.bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
  }

  @Test func writesMembersInOrder() {
    let text = write { json in
      json.object { json in
        json.member("event", "ready")
        json.member("n", -5)
        json.member("big", UInt64.max)
        json.member("x", 0.25)
        json.member("ok", true)
        json.member("gone", ifPresent: nil)
        json.key("list")
        json.array { json in
          json.value(1)
          json.null()
          json.array { _ in }
          json.object { _ in }
        }
        json.member("nan", Double.nan)
      }
      json.finishLine()
      json.object { $0.member("next", 1) }
      json.finishLine()
    }
    #expect(
      text == #"{"event":"ready","n":-5,"big":18446744073709551615,"x":0.25,"ok":true,"list":[1,null,[],{}],"nan":null}"# + "\n"
        + #"{"next":1}"# + "\n")
  }

  @Test(
    "strings are escaped",
    arguments: [
      ("", #""""#), ("a\"b\\c/", #""a\"b\\c/""#), ("\n\r\t\u{8}\u{0}", #""\n\r\t\u0008\u0000""#),
      ("\u{1B}[31m\u{7F}", #""\u001b[31m\u007f""#),
      ("\u{80}\u{9F}\u{A0}", "\"\\u0080\\u009f\u{A0}\""), ("ü€😀", "\"ü€😀\""),
    ])
  func strings(_ text: String, _ expected: String) throws {
    #expect(write { $0.value(text) } == expected)
    #expect(try JSONValue(parsing: expected) == .string(text))
  }

  @Test(
    "reads",
    arguments: [
      ("null", .null), (" true ", .boolean(true)), ("-0", .integer(0)), ("12", .integer(12)), ("1.5e2", .number(150)),
      ("1E-1", .number(0.1)),
      ("9223372036854775807", .integer(.max)), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
      (#""\u00fc\ud83d\ude00\/""#, .string("ü😀/")),
      ("[]", .array([])), ("[1, [2]]", .array([.integer(1), .array([.integer(2)])])), ("{}", .object([])),
      ("{\"b\":1,\n\"a\":{}}", .object([.init("b", .integer(1)), .init("a", .object([]))])),
    ] as [(String, JSONValue)])
  func reads(_ text: String, _ value: JSONValue) throws { #expect(try JSONValue(parsing: text) == value) }

  @Test(
    "refuses",
    arguments: [
      ("", 0), ("nul", 3), ("01", 0), ("1.", 2), ("-", 1), ("+1", 0), ("1e", 2), ("1e999", 0), ("[1,]", 3), ("[1 2]", 3), ("{\"a\":1,}", 7),
      ("{a:1}", 1),
      ("{\"a\" 1}", 5), ("{\"a\":1,\"a\":2}", 7), ("\"a", 0), ("\"\n\"", 1), (#""\x""#, 1), (#""\u12g4""#, 5), (#""\ud800""#, 1),
      (#""\udc00""#, 1), (#""\ud800\u0041""#, 7),
      ("1 2", 2), ("'a'", 0), ("NaN", 0), ("// x", 0),
    ])
  func refuses(_ text: String, _ offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.offset == offset, "\(error?.description ?? "")")
  }

  @Test func depthIsBounded() {
    let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
    #expect(throws: Never.self) { try JSONValue(parsing: deep) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: "[" + deep + "]") }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[", count: 1_000_000)) }
  }

  @Test func invalidUTF8IsRefused() {
    let bytes: [UInt8] = [0x22, 0xC3, 0x22]
    #expect(throws: JSONError.self) { try JSONValue(parsing: bytes.span) }
  }
}
