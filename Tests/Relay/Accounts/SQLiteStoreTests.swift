import CausewayRelayCore
import Testing

@testable import CausewayRelay

@Suite struct SQLiteStoreTests {
  let folder = TemporaryFolder()
  let store: SQLiteStore

  init() throws { store = try SQLiteStore(path: folder.path + "/relay.db") }

  @Test("the connection is durable: WAL, synchronous FULL, foreign keys, a busy time-out")
  func pragmas() throws {
    for (pragma, expected) in [("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)] as [(String, Int64)] {
      #expect(try store.database.row("PRAGMA \(pragma)") { $0.integer(0) } == expected, "\(pragma)")
    }
    #expect(try store.database.row("PRAGMA journal_mode") { $0.text(0) } == "wal")
  }

  @Test("a token opens its account until it is revoked, its account disabled or removed")
  func authenticate() throws {
    let (account, token) = try store.makeAccount("me@example.org")
    #expect(try store.authenticate(token.hash) == .accepted(account, usedAt: nil))
    #expect(try store.authenticate(TokenHash(of: "cw_wrong")) == .unknownToken)

    try store.setEnabled(account.id, false)
    #expect(try store.authenticate(token.hash) == .disabledAccount)
    try store.setEnabled(account.id, true)

    let second = Token.make()
    try store.addToken(second.hash, to: account.id, at: start)
    try store.revoke(token.hash, at: start)
    #expect(try store.authenticate(token.hash) == .revokedToken)
    #expect(try store.authenticate(second.hash) == .accepted(account, usedAt: nil))

    _ = try store.removeAccount(account.id, at: start)
    #expect(try store.authenticate(second.hash) == .unknownToken)
    #expect(try store.authenticate(token.hash) == .unknownToken)
  }

  @Test("no file of the store holds a token")
  func noTokenOnDisk() throws {
    let (_, token) = try store.makeAccount("me@example.org")
    let secret = [UInt8](token.text.dropFirst(3).utf8)
    for file in ["/relay.db", "/relay.db-wal"] {
      let bytes = try readFile(folder.path + file)
      let isInside = bytes.indices.contains { bytes[$0...].starts(with: secret) }
      #expect(!isInside, "\(file)")
      #expect(!bytes.isEmpty)
    }
  }

  @Test("an address has one account, however it is typed, and numbers are never used again")
  func accountsAreUnique() throws {
    let (first, _) = try store.makeAccount("Me@Example.org")
    #expect(throws: StoreError.accountExists("me@example.org")) { try store.makeAccount("me@example.ORG") }
    _ = try store.removeAccount(first.id, at: start)
    let (second, _) = try store.makeAccount("me@example.org")
    #expect(second.id != first.id)
    #expect(throws: StoreError.noSuchAccount) { try store.setEnabled(first.id, false) }
    #expect(throws: StoreError.noSuchAccount) { try store.addToken(TokenHash(of: "x"), to: first.id, at: start) }
    #expect(throws: StoreError.noSuchAccount) { _ = try store.removeAccount(first.id, at: start) }
  }

  @Test("an account that could not be added with its token leaves nothing")
  func addIsAtomic() throws {
    let (_, token) = try store.makeAccount("one@example.org")
    #expect(throws: StoreError.self) { try store.addAccount(email("two@example.org"), token: token.hash, at: start) }
    #expect(try store.account(email("two@example.org")) == nil)
  }

  @Test("uses of tokens are written to the hour")
  func coarseUse() throws {
    let (account, token) = try store.makeAccount("me@example.org")
    try store.noteUse(of: token.hash, at: start)
    try store.noteUse(of: token.hash, at: start + 3599)
    #expect(try store.authenticate(token.hash) == .accepted(account, usedAt: start))
    try store.noteUse(of: token.hash, at: start + 3600)
    #expect(try store.authenticate(token.hash) == .accepted(account, usedAt: start + 3600))
  }

  @Test("tokens are found by the first digits of their hash")
  func tokensByPrefix() throws {
    let (account, token) = try store.makeAccount("me@example.org")
    for index in 0..<40 { try store.addToken(TokenHash(of: "\(index)"), to: account.id, at: start) }
    for digits in [6, 7, 12, 63, 64] {
      let found = try store.tokens(beginningWith: String(token.hash.hexadecimal.prefix(digits)), limit: 2)
      #expect(found.map(\.hash) == [token.hash], "\(digits) digits")
    }
    let upper = try store.tokens(beginningWith: token.hash.hexadecimal.uppercased(), limit: 2)
    #expect(upper.count == 1)
    #expect(try store.tokens(beginningWith: "xyz", limit: 2).isEmpty)
    #expect(try store.tokens(beginningWith: "", limit: 2).isEmpty)
    #expect(try store.tokens(beginningWith: token.hash.hexadecimal + "0", limit: 2).isEmpty)
    #expect(try store.tokens(of: account.id, after: nil, limit: 100).count == 41)
  }

  @Test("an account has at most a hundred valid tokens")
  func tokenLimit() throws {
    let (account, token) = try store.makeAccount("me@example.org")
    for index in 1..<TokenUse.limitPerAccount { try store.addToken(TokenHash(of: "\(index)"), to: account.id, at: start) }
    let limit = StoreError.tokenLimit(TokenUse.limitPerAccount)
    #expect(throws: limit) { try store.addToken(TokenHash(of: "more"), to: account.id, at: start) }
    try store.revoke(token.hash, at: start)
    try store.addToken(TokenHash(of: "more"), to: account.id, at: start)
  }

  @Test("lists page through everything once, in order")
  func pages() throws {
    try store.transaction { () throws(StoreError) in
      for index in 0..<25 { _ = try store.addAccount(email("a\(index)@example.org"), token: TokenHash(of: "\(index)"), at: start) }
    }
    var emails: [String] = []
    var last: AccountID?
    while true {
      let page = try store.accounts(after: last, limit: 10)
      if page.isEmpty { break }
      emails += page.map(\.account.email)
      last = page.last?.account.id
    }
    #expect(emails == (0..<25).map { "a\($0)@example.org" })
    var hashes: [TokenHash] = []
    while true {
      let page = try store.tokens(of: nil, after: hashes.last, limit: 10)
      if page.isEmpty { break }
      hashes += page.map(\.hash)
    }
    #expect(Set(hashes).count == 25)
    #expect(hashes.map(\.hexadecimal) == hashes.map(\.hexadecimal).sorted())
  }

  private func readFile(_ path: String) throws -> [UInt8] { try #require(contents(of: path)) }
}

@Suite struct SQLiteSchemaTests {
  let folder = TemporaryFolder()
  var path: String { folder.path + "/relay.db" }

  @Test("a schema of a later version is refused and left alone")
  func newer() throws {
    do { try SQLiteStore(path: path).database.execute("PRAGMA user_version = 99") }
    let before = contents(of: path)
    let error = StoreError.newerSchema(path: path, found: 99, known: Int64(SQLiteSchema.migrations.count))
    #expect(throws: error) { try SQLiteStore(path: path) }
    #expect(contents(of: path) == before)
    #expect(error.message.contains("schema 99"))
  }

  @Test("a database of another program is refused and left alone, and so is what is no database")
  func foreign() throws {
    do { try SQLiteConnection(path: path).execute("CREATE TABLE their (x)") }
    let before = contents(of: path)
    #expect(throws: StoreError.foreignDatabase(path: path)) { try SQLiteStore(path: path) }
    #expect(contents(of: path) == before)
    let other = folder.path + "/text"
    write([UInt8](repeating: 0x61, count: 5000), to: other)
    #expect(throws: StoreError.self) { try SQLiteStore(path: other) }
    #expect(contents(of: other) == [UInt8](repeating: 0x61, count: 5000))
  }

  @Test("migrations run once each, in order, and what was there stays")
  func migrates() throws {
    let account: Account
    do { account = try SQLiteStore(path: path).makeAccount("me@example.org").0 }
    let more = SQLiteSchema.migrations + ["CREATE TABLE second (x) STRICT", "CREATE TABLE third (x INTEGER) STRICT"]
    // 'second' without a type is refused by STRICT: the step rolls back whole and the version stays.
    do {
      let database = try SQLiteConnection(path: path)
      #expect(throws: StoreError.self) { try SQLiteSchema.prepare(database, migrations: more) }
      #expect(try database.row("PRAGMA user_version") { $0.integer(0) } == 1)
    }
    let good = SQLiteSchema.migrations + ["CREATE TABLE second (x INTEGER) STRICT", "ALTER TABLE second ADD COLUMN y INTEGER"]
    for _ in 0..<2 {
      let database = try SQLiteConnection(path: path)
      try SQLiteSchema.prepare(database, migrations: good)
      #expect(try database.row("PRAGMA user_version") { $0.integer(0) } == 3)
      #expect(try database.row("SELECT count(*) FROM accounts WHERE id = ?1", [.integer(account.id.rawValue)]) { $0.integer(0) } == 1)
    }
  }
}
