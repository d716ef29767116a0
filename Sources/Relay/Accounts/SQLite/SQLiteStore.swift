/// Accounts, tokens and names in one SQLite file: WAL, synchronous=FULL, so that what a call has returned survives SIGKILL and a power
/// cut, and the next start needs no repair. The operations are in SQLiteStore+Accounts, +Tokens and +Names.
package final class SQLiteStore: AccountStore {
  let database: SQLiteConnection

  /// Opens or creates the database at `path`, whose folder the caller has locked (`DataDirectory`).
  package init(path: String) throws(StoreError) {
    database = try SQLiteConnection(path: path)
    try SQLiteSchema.prepare(database)
  }

  /// All calls of `body` in one transaction: one wait for the disk.
  package func transaction<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
    try database.transaction(body)
  }
}
