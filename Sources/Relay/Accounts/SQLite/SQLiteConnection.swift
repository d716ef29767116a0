internal import CSQLite

/// A value of a parameter or a column.
enum SQLiteValue: Equatable {
  case null
  case integer(Int64)
  case text(String)
  case blob([UInt8])

  static func integer(_ value: Int64?) -> SQLiteValue { value.map { .integer($0) } ?? .null }
}

/// One connection and its prepared statements. For one thread at a time.
@safe final class SQLiteConnection {
  /// How long a statement waits for a lock of another process (a backup tool; relays and commands exclude each other by the lock file).
  static let busyTimeoutMilliseconds: Int32 = 5000

  let path: String
  private let handle: OpaquePointer
  private var statements: [String: SQLiteStatement] = [:]
  private var transactionDepth = 0

  /// Opens or creates; the caller has made the file if its mode matters.
  init(path: String) throws(StoreError) {
    self.path = path
    var opened: OpaquePointer?
    // SAFETY: `opened` is written once; the path is copied by SQLite.
    let code = unsafe sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, nil)
    guard let opened = unsafe opened, code == SQLITE_OK else {
      let detail = unsafe String(cString: sqlite3_errstr(code))
      unsafe _ = sqlite3_close_v2(opened)
      throw .database(path: path, code: code, detail: detail)
    }
    unsafe handle = opened
    unsafe _ = sqlite3_busy_timeout(handle, Self.busyTimeoutMilliseconds)
  }

  deinit {
    statements.removeAll()
    // SAFETY: opened in init; a statement that somebody still holds keeps the connection alive (close_v2).
    unsafe _ = sqlite3_close_v2(handle)
  }

  /// Rows changed by the last statement.
  var changedRowCount: Int { unsafe Int(sqlite3_changes64(handle)) }
  var lastInsertedID: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  /// Runs several statements without parameters (migrations, pragmas).
  func execute(_ sql: String) throws(StoreError) {
    // SAFETY: no callback, no message pointer.
    try check(unsafe sqlite3_exec(handle, sql, nil, nil, nil))
  }

  /// Runs a cached statement for its effect.
  func run(_ sql: String, _ values: [SQLiteValue] = []) throws(StoreError) {
    let statement = try prepared(sql)
    defer { statement.reset() }
    try check(statement.bind(values))
    while true {
      let code = statement.step()
      if code == SQLITE_DONE { return }
      if code != SQLITE_ROW { try check(code) }
    }
  }

  /// Runs a cached statement and turns each row into a value.
  func rows<Value>(_ sql: String, _ values: [SQLiteValue] = [], _ body: (SQLiteStatement) throws(StoreError) -> Value)
    throws(StoreError) -> [Value]
  {
    let statement = try prepared(sql)
    defer { statement.reset() }
    try check(statement.bind(values))
    var result: [Value] = []
    while true {
      let code = statement.step()
      if code == SQLITE_DONE { return result }
      if code != SQLITE_ROW { try check(code) }
      result.append(try body(statement))
    }
  }

  func row<Value>(_ sql: String, _ values: [SQLiteValue] = [], _ body: (SQLiteStatement) throws(StoreError) -> Value)
    throws(StoreError) -> Value?
  {
    try rows(sql, values, body).first
  }

  /// All of `body` or nothing, on the disk when it returns. One inside another joins it.
  func transaction<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
    if transactionDepth > 0 {
      transactionDepth += 1
      defer { transactionDepth -= 1 }
      return try body()
    }
    // IMMEDIATE: two readers that both want to write later would refuse each other.
    try run("BEGIN IMMEDIATE")
    transactionDepth = 1
    defer { transactionDepth = 0 }
    do throws(StoreError) {
      let value = try body()
      try run("COMMIT")
      return value
    } catch {
      do throws(StoreError) { try run("ROLLBACK") } catch {}  // SQLite has rolled back by itself after a full disk
      throw error
    }
  }

  private func prepared(_ sql: String) throws(StoreError) -> SQLiteStatement {
    if let statement = statements[sql] { return statement }
    var compiled: OpaquePointer?
    // SAFETY: SQLite copies the text; `compiled` is written once.
    try check(unsafe sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &compiled, nil))
    guard let compiled = unsafe compiled else { preconditionFailure("an empty SQL statement") }
    let statement = unsafe SQLiteStatement(compiled)
    statements[sql] = statement
    return statement
  }

  private func check(_ code: Int32) throws(StoreError) {
    if code == SQLITE_OK { return }
    throw .database(path: path, code: code, detail: unsafe String(cString: sqlite3_errmsg(handle)))
  }
}
