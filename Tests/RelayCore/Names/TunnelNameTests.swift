import CausewayBase
import CausewayRelayCore
import Testing

@Suite struct TunnelNameTests {
  @Test(
    "a name is one lower-case DNS label",
    arguments: [
      ("a", "a"), ("7", "7"), ("my-app", "my-app"), ("MyApp", "myapp"), ("a--b", "a--b"), ("xn--mnchen-3ya", "xn--mnchen-3ya"),
      ("XN--MNCHEN-3YA", "xn--mnchen-3ya"), ("xn--p1ai", "xn--p1ai"), ("xn--fiqs8s", "xn--fiqs8s"), ("xn--b1a", "xn--b1a"),
      (String(repeating: "a", count: 63), String(repeating: "a", count: 63)),
    ])
  func valid(_ text: String, _ expected: String) throws {
    #expect(try TunnelName(text).text == expected)
  }

  @Test(
    "what is no DNS label is refused with the reason",
    arguments: [
      ("", .empty), (String(repeating: "a", count: 64), .tooLong), ("-a", .hyphenAtEnd), ("a-", .hyphenAtEnd), ("-", .hyphenAtEnd),
      ("a.b", .character), ("a_b", .character), ("a b", .character), ("a\0", .character), ("a\n", .character), ("münchen", .character),
      ("\u{212A}elvin", .character), ("ab--c", .notPunycode), ("xn--", .hyphenAtEnd), ("xn--a", .notPunycode), ("xn--abc-", .hyphenAtEnd),
      ("xn---abc", .notPunycode), ("xn--99999999", .notPunycode), ("xn--mnchen-3y", .notPunycode),
    ] as [(String, NameError.Fault)])
  func invalid(_ text: String, _ fault: NameError.Fault) {
    #expect(throws: NameError.invalid(text, fault)) { try TunnelName(text) }
  }

  @Test(
    "reserved names are refused in any case, but still readable from a database",
    arguments: ["Localhost", "AutoDiscover", "mta-sts", "relay", "wpad"])
  func reserved(_ text: String) throws {
    #expect(throws: NameError.reserved(text.lowercased())) { try TunnelName(text) }
    #expect(try TunnelName(label: text).text == text.lowercased())
  }

  @Test("every reserved name is a label, or its entry could never match")
  func reservedNamesAreLabels() throws {
    for name in ReservedNames.all { #expect(try TunnelName(label: name).text == name) }
  }

  @Test("no message repeats control bytes or has more than one line")
  func messagesAreOneLine() {
    let errors: [NameError] = [
      .invalid("a\u{1B}[31m\nb", .character), .reserved("www"), .nameLimit(3), .portLimit(2), .portOutOfRange(80, 20000...20999),
      .portTaken(20000), .noPortFree(20000...20001), .noNameFree, .invalid(String(repeating: "é", count: 500), .tooLong),
    ]
    for error in errors {
      let isClean = error.message.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
      #expect(isClean, "\(error.message)")
      #expect(error.message.utf8.count < 250)
    }
    #expect(NameError.invalid("a\u{1B}[31m", .character).message.contains("'a?[31m'"))
  }

  @Test(
    "a span is rounded up and has the unit that fits",
    arguments: [(1, "1 more minute"), (60, "1 more minute"), (61, "2 more minutes"), (7201, "3 more hours"), (7 * 86_400, "7 more days")]
      as [(Int64, String)])
  func spans(_ seconds: Int64, _ text: String) throws {
    let name = try TunnelName("shop1")
    #expect(NameError.coolingDown(name, secondsLeft: seconds).message.contains("cools down for \(text):"))
  }
}

@Suite struct RandomNameTests {
  @Test("the same seed draws the same readable names", arguments: [UInt64(1), 2, 3])
  func repeats(_ seed: UInt64) throws {
    var first = SeededRandom(seed: seed)
    var second = SeededRandom(seed: seed)
    for _ in 0..<100 {
      let a = try #require(RandomName.generate(using: &first) { _ in false })
      let b = try #require(RandomName.generate(using: &second) { _ in false })
      #expect(a == b)
      #expect(a.text.wholeMatch(of: /[a-z]+-[a-z]+-[0-9]{4}/) != nil, "\(a)")
    }
  }

  @Test("ten thousand names never collide, since the taken ones are asked for")
  func neverCollides() throws {
    var random = SeededRandom(seed: 7)
    var taken: Set<TunnelName> = []
    for _ in 0..<10_000 {
      let name = try #require(RandomName.generate(using: &random) { taken.contains($0) })
      let isNew = taken.insert(name).inserted
      #expect(isNew)
    }
  }

  @Test("when all short names are taken, the number grows; when all are, the answer is none")
  func widens() throws {
    var random = SeededRandom(seed: 1)
    let name = try #require(RandomName.generate(using: &random) { $0.text.split(separator: "-")[2].count < 6 })
    #expect(name.text.split(separator: "-")[2].count == 6)
    let none = RandomName.generate(using: &random) { _ in true }
    #expect(none == nil)
  }
}

@Suite struct EmailAddressTests {
  @Test(
    "an address is dot-atom@labels, and its case does not matter",
    arguments: [
      ("me@example.org", "me@example.org"), ("Me.Too+x@Example.ORG", "me.too+x@example.org"), ("root@localhost", "root@localhost"),
      ("a@b-c.d", "a@b-c.d"),
    ])
  func valid(_ text: String, _ expected: String) { #expect(EmailAddress(text)?.text == expected) }

  @Test(
    "anything else is none",
    arguments: [
      "", "@", "me", "me@", "@b.c", "a@b@c", "a b@c.d", ".a@b.c", "a.@b.c", "a..b@c.d", "a@b..c", "a@.b", "a@b.", "a@-b.c", "\"a\"@b.c",
      "a\n@b.c", "a\t@b.c", "é@b.c", "a@[127.0.0.1]", String(repeating: "a", count: 65) + "@b.c",
      "a@" + String(repeating: "abcdefg.", count: 32) + "org",
    ])
  func invalid(_ text: String) { #expect(EmailAddress(text) == nil) }
}

@Suite struct WallTimeTests {
  @Test(
    "text is RFC 3339 in UTC",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_228_288, "2026-11-21T02:31:28Z"),
      (-1, "1969-12-31T23:59:59Z"), (4_107_542_399, "2100-02-28T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] as [(Int64, String)])
  func text(_ seconds: Int64, _ expected: String) { #expect(WallTime(seconds: seconds).text == expected) }

  @Test("sums and differences saturate")
  func saturates() {
    #expect(WallTime(seconds: .max) + 1 == WallTime(seconds: .max))
    #expect(WallTime(seconds: .min) + -1 == WallTime(seconds: .min))
    #expect(WallTime(seconds: .max) - WallTime(seconds: -1) == .max)
  }
}
