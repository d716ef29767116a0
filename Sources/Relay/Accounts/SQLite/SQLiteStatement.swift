internal import CSQLite

/// A prepared statement, kept by its connection.
@safe final class SQLiteStatement {
  private let handle: OpaquePointer

  /// Takes over a statement from `sqlite3_prepare_v3`.
  @unsafe init(_ handle: OpaquePointer) { unsafe self.handle = handle }

  deinit { unsafe _ = sqlite3_finalize(handle) }

  func reset() {
    unsafe _ = sqlite3_reset(handle)
    unsafe _ = sqlite3_clear_bindings(handle)
  }

  func step() -> Int32 { unsafe sqlite3_step(handle) }

  /// Binds ?1, ?2, …
  func bind(_ values: [SQLiteValue]) -> Int32 {
    for (offset, value) in values.enumerated() {
      let index = Int32(offset + 1)
      let code: Int32
      // SAFETY: SQLITE_TRANSIENT makes SQLite copy text and blobs before the call returns.
      switch value {
      case .null: code = unsafe sqlite3_bind_null(handle, index)
      case .integer(let integer): code = unsafe sqlite3_bind_int64(handle, index, integer)
      case .text(let text): code = unsafe sqlite3_bind_text(handle, index, text, -1, shim_sqlite_transient())
      case .blob(let bytes):
        code = unsafe bytes.withUnsafeBytes { bytes in
          unsafe sqlite3_bind_blob64(handle, index, bytes.baseAddress, UInt64(bytes.count), shim_sqlite_transient())
        }
      }
      if code != SQLITE_OK { return code }
    }
    return SQLITE_OK
  }

  // Columns of the present row, from 0.

  func integer(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(handle, column) }

  func optionalInteger(_ column: Int32) -> Int64? {
    unsafe sqlite3_column_type(handle, column) == SQLITE_NULL ? nil : sqlite3_column_int64(handle, column)
  }

  func text(_ column: Int32) -> String {
    // SAFETY: valid until the next step or reset; copied here, with the length that SQLite knows.
    guard let bytes = unsafe sqlite3_column_text(handle, column) else { return "" }
    let count = unsafe Int(sqlite3_column_bytes(handle, column))
    return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  func blob(_ column: Int32) -> [UInt8] {
    // SAFETY: as in `text`.
    guard let bytes = unsafe sqlite3_column_blob(handle, column) else { return [] }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(handle, column))))
  }
}
