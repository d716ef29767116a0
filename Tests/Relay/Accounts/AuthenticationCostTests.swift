import CausewayRelayCore
import Testing

@testable import CausewayRelay

@Suite struct AuthenticationCostTests {
  @Test("with 100,000 accounts a sign-in is two look-ups by key, known or not")
  func byKey() throws {
    let folder = TemporaryFolder()
    let store = try SQLiteStore(path: folder.path + "/relay.db")
    try store.database.execute(
      """
      BEGIN;
      WITH RECURSIVE counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 100000)
        INSERT INTO accounts (email, created) SELECT 'a' || n || '@example.org', 0 FROM counter;
      INSERT INTO tokens (hash, account, created) SELECT randomblob(32), id, 0 FROM accounts;
      COMMIT;
      """)
    for sql in [SQLiteStore.tokenByHash, SQLiteStore.accountByID] {
      let plan = try store.database.rows("EXPLAIN QUERY PLAN \(sql)") { $0.text(3) }
      #expect(plan.count == 1)
      #expect(plan[0].hasPrefix("SEARCH"), "\(plan)")
      #expect(plan[0].contains("PRIMARY KEY"), "\(plan)")
    }
    let known = try store.database.rows("SELECT hash FROM tokens WHERE account % 100 = 7") { TokenHash(bytes: $0.blob(0)) }
      .compactMap { $0 }
    let unknown = (0..<1000).map { TokenHash(of: "no \($0)") }
    let clock = ContinuousClock()
    for (kind, hashes) in [("known", known), ("unknown", unknown)] {
      var accepted = 0
      let time = try clock.measure {
        for hash in hashes { if case .accepted = try store.authenticate(hash) { accepted += 1 } }
      }
      print("sign-in, 100,000 accounts, \(kind) token: \(time / hashes.count) each")
      #expect(accepted == (kind == "known" ? 1000 : 0))
    }
  }
}
