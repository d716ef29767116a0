import CausewayRelayCore
import Testing

@testable import CausewayRelay

let everyCommand: [AdminCommand] = [
  .addAccount(email: "me@example.org"), .listAccounts, .disableAccount(email: "a b\t\n%é"), .enableAccount(email: ""),
  .removeAccount(email: "x"), .createToken(email: "y"), .listTokens(email: nil), .listTokens(email: ""), .revokeToken(id: "abcdef"),
  .listNames(email: nil), .listNames(email: "z"), .releaseName("shop1"),
]

@Suite struct AdminCodecTests {
  @Test("a question says after decoding what it said before, in one line", arguments: everyCommand)
  func question(_ command: AdminCommand) throws {
    for cursor in ["", "a b\n"] {
      let bytes = AdminCodec.encode(command, from: cursor)
      #expect(bytes.filter { $0 == 0x0A }.count == 1)
      #expect(bytes.last == 0x0A)
      let line = Array(bytes.dropLast())
      let question = AdminCodec.question(line.span)
      let decoded = try #require(question)
      #expect(decoded.0 == command)
      #expect(decoded.cursor == cursor)
    }
  }

  @Test(
    "what is no question of this version is none",
    arguments: [
      "", "\t\t\t", "causeway-admin-2\taccount-list\t\t", "causeway-admin-1\taccount-list\t", "causeway-admin-1\tnothing\t\t",
      "causeway-admin-1\taccount-add\t%\t", "causeway-admin-1\taccount-add\t%4\t", "causeway-admin-1\taccount-add\t%zz\t",
      "causeway-admin-1\taccount-add\t%ff\t", "causeway-admin-1\taccount-list\t\t\t",
    ])
  func noQuestion(_ text: String) {
    let bytes = [UInt8](text.utf8)
    let isNone = AdminCodec.question(bytes.span) == nil
    #expect(isNone)
  }

  @Test("an answer says after decoding what it said before, and a cut one is none")
  func answer() {
    let answer = AdminAnswer(output: ["cw_x", "", "a\tb\nend 0"], notes: ["100 %"], exitCode: 75, next: "5")
    let bytes = AdminCodec.encode(answer)
    #expect(AdminCodec.answer(bytes) == answer)
    for count in 0..<bytes.count { #expect(AdminCodec.answer(Array(bytes.prefix(count))) == nil, "\(count) bytes") }
    for text in ["end 0\nout x\n", "end x\n", "what 1\nend 0\n", "end 0\nend 0\n"] { #expect(AdminCodec.answer([UInt8](text.utf8)) == nil) }
  }
}

@Suite struct AdminServiceTests {
  let folder = TemporaryFolder()
  let store: SQLiteStore

  init() throws { store = try SQLiteStore(path: folder.path + "/relay.db") }

  private func run(_ command: AdminCommand, from cursor: String = "") -> (AdminAnswer, [AdminEffect]) {
    var effects: [AdminEffect] = []
    let answer = AdminService(store, policy: ReservationPolicy()).execute(command, from: cursor, at: start, effects: &effects)
    return (answer, effects)
  }

  private func addAccount(_ address: String = "me@example.org") throws -> (AccountID, String) {
    let (answer, effects) = run(.addAccount(email: address))
    #expect(effects.isEmpty)
    return (try #require(try store.account(email(address))).id, try #require(answer.output.first))
  }

  @Test("add and create print a token that works, alone, and no list shows it")
  func tokens() throws {
    let (id, first) = try addAccount()
    let (answer, _) = run(.createToken(email: "ME@example.org"))
    #expect(answer.output.count == 1)
    for token in [first, answer.output[0]] {
      guard case .accepted(let account, _) = try store.authenticate(TokenHash(of: token)) else {
        Issue.record("the token does not work")
        continue
      }
      #expect(account.id == id)
      for command in [AdminCommand.listAccounts, .listTokens(email: nil), .listNames(email: nil)] {
        let listed = run(command).0
        let isShown = (listed.output + listed.notes).contains { $0.contains(token.dropFirst(3)) }
        #expect(!isShown)
      }
      let isNoted = answer.notes.contains { $0.contains(token.dropFirst(3)) }
      #expect(!isNoted)
    }
  }

  @Test("disable, remove, revoke and release tell the relay what must end")
  func effects() throws {
    let (id, token) = try addAccount()
    let hash = TokenHash(of: token)
    for text in ["shop1", "shop2"] {
      _ = try store.reserve(NameRequest(account: id, name: .exactly(try name(text))), ReservationPolicy(), at: start, seed: 1)
    }
    #expect(run(.disableAccount(email: "me@example.org")).1 == [.endSessions(account: id)])
    #expect(run(.enableAccount(email: "me@example.org")).1 == [])
    #expect(run(.revokeToken(id: hash.identifier)).1 == [.tokenRevoked(hash)])
    #expect(run(.revokeToken(secret: token)).1 == [.tokenRevoked(hash)])
    #expect(run(.releaseName("Shop1")).1 == [.nameReleased(try name("shop1"))])
    let removed = run(.removeAccount(email: "me@example.org")).1
    #expect(removed == [.endSessions(account: id), .nameReleased(try name("shop1")), .nameReleased(try name("shop2"))])
    #expect(try store.account(id) == nil)
  }

  @Test(
    "what cannot be done is one line and an exit code, and has no effect",
    arguments: [
      (.addAccount(email: "nobody"), 2), (.addAccount(email: "taken@example.org"), 1), (.disableAccount(email: "no@example.org"), 1),
      (.removeAccount(email: "no@example.org"), 1), (.createToken(email: "no@example.org"), 1), (.listTokens(email: "no@example.org"), 1),
      (.revokeToken(id: "abc"), 2), (.revokeToken(id: "cw_0123456789"), 2), (.revokeToken(id: "000000000000"), 1),
      (.releaseName("not a name"), 2), (.releaseName("nobodys"), 1),
    ] as [(AdminCommand, Int32)])
  func refusals(_ command: AdminCommand, _ code: Int32) throws {
    _ = try addAccount("taken@example.org")
    let (answer, effects) = run(command)
    #expect(answer.exitCode == code)
    #expect(answer.output.isEmpty)
    #expect(answer.notes.count == 1)
    #expect(effects.isEmpty)
    #expect(answer.notes.first?.contains("0123456789") == false)
  }

  @Test("an ambiguous token is not guessed")
  func ambiguous() throws {
    let (id, _) = try addAccount()
    // Two hashes with the same first digits.
    for last in [1, 2] as [UInt8] {
      let hash = try #require(TokenHash(bytes: [UInt8](repeating: 0xAB, count: 31) + [last]))
      try store.addToken(hash, to: id, at: start)
    }
    let (answer, effects) = run(.revokeToken(id: "abababab"))
    #expect(answer.exitCode == 1)
    #expect(effects.isEmpty)
    #expect(run(.revokeToken(id: String(repeating: "ab", count: 31) + "02")).0.exitCode == 0)
  }

  @Test("a list longer than a page has a cursor, and every page fits the socket")
  func pages() throws {
    try store.transaction { () throws(StoreError) in
      for index in 0..<1200 {
        let account = try store.addAccount(email("a\(index)@" + String(repeating: "abcdefgh.", count: 20) + "org"), token: nil, at: start)
        let wanted: TunnelName
        do throws(NameError) { wanted = try TunnelName(label: "n\(index)" + String(repeating: "x", count: 50)) } catch {
          throw .name(error)
        }
        _ = try store.reserve(NameRequest(account: account.id, name: .exactly(wanted)), ReservationPolicy(), at: start, seed: 1)
      }
    }
    for command in [AdminCommand.listAccounts, .listNames(email: nil)] {
      var lines: [String] = []
      var cursor: String? = ""
      while let from = cursor {
        let answer = run(command, from: from).0
        #expect(AdminCodec.encode(answer).count < AdminCodec.maximumAnswerByteCount)
        lines += answer.output
        cursor = answer.next
      }
      #expect(Set(lines).count == 1200)
      #expect(lines.count == 1200)
    }
  }
}
