/// The tables, and how older ones become the present ones.
enum SQLiteSchema {
  /// "CWAY": marks the file as ours (PRAGMA application_id).
  static let applicationID: Int64 = 0x4357_4159

  /// Entry n brings schema n to n + 1 (PRAGMA user_version). Never change one that was published: add the next.
  static let migrations = [
    """
    CREATE TABLE accounts (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      email TEXT NOT NULL UNIQUE,
      enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
      created INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE tokens (
      hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
      account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
      created INTEGER NOT NULL,
      last_used INTEGER,
      revoked INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_account ON tokens (account);
    CREATE TABLE names (
      name TEXT NOT NULL PRIMARY KEY,
      account INTEGER REFERENCES accounts (id) ON DELETE SET NULL,
      kind INTEGER NOT NULL CHECK (kind IN (0, 1)),
      last_used INTEGER NOT NULL,
      released INTEGER,
      tcp_port INTEGER UNIQUE CHECK (tcp_port BETWEEN 1 AND 65535)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX names_by_account ON names (account);
    """
  ]

  /// Sets the connection up and migrates, each step in a transaction of its own. A database of a later schema is refused unchanged.
  static func prepare(_ database: SQLiteConnection, migrations: [String] = migrations) throws(StoreError) {
    let found = try number(database, "PRAGMA user_version")
    let application = try number(database, "PRAGMA application_id")
    let known = Int64(migrations.count)
    if application != 0 && application != applicationID { throw .foreignDatabase(path: database.path) }
    if application == 0 {
      // No mark: only an empty file may become ours.
      let tables = try number(database, "SELECT count(*) FROM sqlite_schema")
      if tables > 0 { throw .foreignDatabase(path: database.path) }
    }
    if found > known { throw .newerSchema(path: database.path, found: found, known: known) }

    try database.execute(
      """
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -1024;
      PRAGMA journal_size_limit = 4194304;
      """)
    for version in max(0, found)..<known {
      try database.transaction { () throws(StoreError) in
        try database.execute(migrations[Int(version)])
        try database.execute("PRAGMA application_id = \(applicationID); PRAGMA user_version = \(version + 1)")
      }
    }
  }

  private static func number(_ database: SQLiteConnection, _ sql: String) throws(StoreError) -> Int64 {
    try database.row(sql) { $0.integer(0) } ?? 0
  }
}
