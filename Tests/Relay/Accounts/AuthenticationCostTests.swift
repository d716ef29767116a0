@testable import CausewayRelay
import CausewayRelayCore
import Testing

@Suite struct AuthenticationCostTests {
  @Test("with 100,000 accounts a sign-in is two look-ups by key, known or not")
  func byKey() throws {
    let folder = TemporaryFolder()
    let store = try SQLiteStore(path: folder.path + "/relay.db")
    try store.transaction { () throws(StoreError) in
      for index in 0..<100_000 {
        _ = try store.addAccount(email("a\(index)@example.org"), token: TokenHash(of: "cw_\(index)"), at: start)
      }
    }
    for sql in [SQLiteStore.tokenByHash, SQLiteStore.accountByID] {
      let plan = try store.database.rows("EXPLAIN QUERY PLAN \(sql)") { $0.text(3) }
      #expect(plan.count == 1)
      #expect(plan[0].hasPrefix("SEARCH"), "\(plan)")
      #expect(plan[0].contains("PRIMARY KEY"), "\(plan)")
    }
    let known = (0..<1000).map { TokenHash(of: "cw_\($0 * 97)") }
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
