package import CausewayRelayCore

extension SQLiteStore {
  static let tokenByHash = "SELECT hash, account, last_used, revoked FROM tokens WHERE hash = ?1"

  private struct Found {
    var hash = [UInt8](repeating: 0, count: TokenHash.byteCount)
    var account: Int64 = 0  // the number of no account
    var lastUsed: Int64?
    var revoked: Int64?
  }

  /// Two look-ups by primary key and one comparison, always: an unknown token goes the same way as a known one, with an account that
  /// does not exist.
  package func authenticate(_ token: TokenHash) throws(StoreError) -> Authentication {
    let row = try database.row(Self.tokenByHash, [.blob(token.bytes)]) { row in
      Found(hash: row.blob(0), account: row.integer(1), lastUsed: row.optionalInteger(2), revoked: row.optionalInteger(3))
    }
    let found = row ?? Found()
    let account = try account(AccountID(rawValue: found.account))
    let isEqual = Secrets.areEqual(found.hash, token.bytes)
    guard isEqual, let account else { return .unknownToken }
    if found.revoked != nil { return .revokedToken }
    if !account.isEnabled { return .disabledAccount }
    return .accepted(account, usedAt: found.lastUsed.map { WallTime(seconds: $0) })
  }

  package func noteUse(of token: TokenHash, at now: WallTime) throws(StoreError) {
    try database.run(
      "UPDATE tokens SET last_used = ?2 WHERE hash = ?1 AND (last_used IS NULL OR last_used <= ?3)",
      [.blob(token.bytes), .integer(now.seconds), .integer((now + -TokenUse.granularitySeconds).seconds)])
  }

  package func addToken(_ token: TokenHash, to account: AccountID, at now: WallTime) throws(StoreError) {
    try database.transaction { () throws(StoreError) in
      guard try self.account(account) != nil else { throw .noSuchAccount }
      let count = try database.row(
        "SELECT count(*) FROM tokens WHERE account = ?1 AND revoked IS NULL", [.integer(account.rawValue)], { $0.integer(0) })
      if count ?? 0 >= Int64(TokenUse.limitPerAccount) { throw .tokenLimit(TokenUse.limitPerAccount) }
      try database.run(
        "INSERT INTO tokens (hash, account, created) VALUES (?1, ?2, ?3)",
        [.blob(token.bytes), .integer(account.rawValue), .integer(now.seconds)])
    }
  }

  private static let tokenColumns = """
    SELECT hash, account, email, tokens.created, last_used, revoked FROM tokens JOIN accounts ON accounts.id = tokens.account
    """

  package func tokens(of account: AccountID?, after token: TokenHash?, limit: Int) throws(StoreError) -> [TokenRecord] {
    let after = SQLiteValue.blob(token?.bytes ?? [])
    let limit = SQLiteValue.integer(Int64(limit))
    if let account {
      return try database.rows(
        "\(Self.tokenColumns) WHERE hash > ?1 AND account = ?3 ORDER BY hash LIMIT ?2",
        [after, limit, .integer(account.rawValue)], record)
    }
    return try database.rows("\(Self.tokenColumns) WHERE hash > ?1 ORDER BY hash LIMIT ?2", [after, limit], record)
  }

  package func tokens(beginningWith digits: String, limit: Int) throws(StoreError) -> [TokenRecord] {
    guard let nibbles = Hexadecimal.nibbles(digits), !nibbles.isEmpty, nibbles.count <= 2 * TokenHash.byteCount else { return [] }
    // The hashes that begin so lie between this prefix filled with 0s and with 1s.
    func filled(_ filler: UInt8) -> [UInt8] {
      let all = nibbles + [UInt8](repeating: filler, count: 2 * TokenHash.byteCount - nibbles.count)
      return (0..<TokenHash.byteCount).map { all[2 * $0] << 4 | all[2 * $0 + 1] }
    }
    return try database.rows(
      "\(Self.tokenColumns) WHERE hash BETWEEN ?1 AND ?2 ORDER BY hash LIMIT ?3",
      [.blob(filled(0)), .blob(filled(15)), .integer(Int64(limit))], record)
  }

  package func revoke(_ token: TokenHash, at now: WallTime) throws(StoreError) {
    try database.run(
      "UPDATE tokens SET revoked = ?2 WHERE hash = ?1 AND revoked IS NULL", [.blob(token.bytes), .integer(now.seconds)])
  }

  private func record(_ row: SQLiteStatement) throws(StoreError) -> TokenRecord {
    guard let hash = TokenHash(bytes: row.blob(0)) else {
      throw .database(path: database.path, code: 11, detail: "the table of tokens holds a hash of a wrong length")
    }
    return TokenRecord(
      hash: hash, account: AccountID(rawValue: row.integer(1)), email: row.text(2), created: WallTime(seconds: row.integer(3)),
      lastUsed: row.optionalInteger(4).map { WallTime(seconds: $0) }, revoked: row.optionalInteger(5).map { WallTime(seconds: $0) })
  }
}
