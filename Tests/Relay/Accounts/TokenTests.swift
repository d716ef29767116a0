import Testing

@testable import CausewayRelay

@Suite struct TokenTests {
  @Test("a token is cw_ and 43 letters or digits, and no two are alike")
  func form() {
    var seen: Set<String> = []
    for _ in 0..<200 {
      let token = Token.make()
      #expect(token.text.wholeMatch(of: /cw_[0-9A-Za-z]{43}/) != nil)
      #expect(seen.insert(token.text).inserted)
      #expect(Token.resembles(token.text))
    }
  }

  @Test("no printing of a token shows it")
  func hidden() {
    let token = Token.make()
    var dumped = ""
    dump(token, to: &dumped)
    for text in ["\(token)", String(reflecting: token), dumped, "\([token])"] {
      #expect(!text.contains(token.text.dropFirst(3)), "shown in \(text.count) characters")
    }
  }

  @Test("the hash is SHA-256 (FIPS 180-4, 'abc'), and lists show its first 12 digits")
  func hash() {
    let hash = TokenHash(of: "abc")
    #expect(hash.hexadecimal == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(hash.identifier == "ba7816bf8f01")
    #expect(TokenHash(of: "") != hash)
    #expect(TokenHash(of: String(repeating: "a", count: 300)) == TokenHash(of: String(repeating: "a", count: 256)))
  }

  @Test("comparison tells equal from different, at any place")
  func compare() {
    let a = [UInt8](repeating: 7, count: 32)
    #expect(Secrets.areEqual(a, a))
    for index in a.indices {
      var b = a
      b[index] ^= 1
      #expect(!Secrets.areEqual(a, b))
    }
    #expect(!Secrets.areEqual(a, Array(a.dropLast())))
  }

  @Test("hexadecimal refuses what is no digit", arguments: ["g", "0x", "\u{11}", "1 ", "é"])
  func hexadecimal(_ text: String) {
    #expect(Hexadecimal.nibbles(text) == nil)
    #expect(Hexadecimal.nibbles("09afAF") == [0, 9, 10, 15, 10, 15])
  }
}
