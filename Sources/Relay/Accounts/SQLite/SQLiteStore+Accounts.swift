package import CausewayRelayCore

extension SQLiteStore {
  package func addAccount(_ email: EmailAddress, token: TokenHash?, at now: WallTime) throws(StoreError) -> Account {
    try database.transaction { () throws(StoreError) in
      if try account(email) != nil { throw .accountExists(email.text) }
      try database.run("INSERT INTO accounts (email, created) VALUES (?1, ?2)", [.text(email.text), .integer(now.seconds)])
      let account = Account(id: AccountID(rawValue: database.lastInsertedID), email: email.text, isEnabled: true, created: now)
      if let token { try addToken(token, to: account.id, at: now) }
      return account
    }
  }

  package func account(_ email: EmailAddress) throws(StoreError) -> Account? {
    try database.row("SELECT id, email, enabled, created FROM accounts WHERE email = ?1", [.text(email.text)], Self.account)
  }

  package func account(_ id: AccountID) throws(StoreError) -> Account? {
    try database.row(Self.accountByID, [.integer(id.rawValue)], Self.account)
  }

  static let accountByID = "SELECT id, email, enabled, created FROM accounts WHERE id = ?1"

  package func accounts(after id: AccountID?, limit: Int) throws(StoreError) -> [AccountSummary] {
    let sql = """
      SELECT id, email, enabled, created,
        (SELECT count(*) FROM tokens WHERE account = accounts.id AND revoked IS NULL),
        (SELECT count(*) FROM names WHERE account = accounts.id)
      FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2
      """
    return try database.rows(sql, [.integer(id?.rawValue ?? 0), .integer(Int64(limit))]) { row in
      AccountSummary(account: Self.account(row), tokenCount: Int(row.integer(4)), nameCount: Int(row.integer(5)))
    }
  }

  package func setEnabled(_ account: AccountID, _ isEnabled: Bool) throws(StoreError) {
    try database.run(
      "UPDATE accounts SET enabled = ?2 WHERE id = ?1", [.integer(account.rawValue), .integer(isEnabled ? 1 : 0)])
    if database.changedRowCount == 0 { throw .noSuchAccount }
  }

  package func removeAccount(_ account: AccountID, at now: WallTime) throws(StoreError) -> [TunnelName] {
    try database.transaction { () throws(StoreError) in
      let names = try database.rows("SELECT name FROM names WHERE account = ?1", [.integer(account.rawValue)]) {
        (row) throws(StoreError) in try self.name(row, 0)
      }
      // A name released before keeps its date. The account's number goes by ON DELETE SET NULL, its tokens by ON DELETE CASCADE.
      try database.run(
        "UPDATE names SET released = ?2 WHERE account = ?1 AND released IS NULL", [.integer(account.rawValue), .integer(now.seconds)])
      try database.run("DELETE FROM accounts WHERE id = ?1", [.integer(account.rawValue)])
      if database.changedRowCount == 0 { throw .noSuchAccount }
      return names
    }
  }

  static func account(_ row: SQLiteStatement) -> Account {
    Account(
      id: AccountID(rawValue: row.integer(0)), email: row.text(1), isEnabled: row.integer(2) == 1,
      created: WallTime(seconds: row.integer(3)))
  }

  /// A name that was valid when it was written. Anything else means that somebody edited the file.
  func name(_ row: SQLiteStatement, _ column: Int32) throws(StoreError) -> TunnelName {
    let text = row.text(column)
    do throws(NameError) {
      return try TunnelName(label: text)
    } catch {
      throw .database(path: database.path, code: 11, detail: "the table of names holds '\(NameError.printable(text))'")
    }
  }
}
