package import CausewayRelayCore

/// Why the store did not do something. `message` is one line and names no secret.
package enum StoreError: Error, Equatable, Sendable {
  /// Policy said no.
  case name(NameError)
  case accountExists(String)
  case noSuchAccount
  case accountDisabled
  case tokenLimit(Int)
  /// The database has a schema of a later version of this program.
  case newerSchema(path: String, found: Int64, known: Int64)
  /// The file is a database, but not of a relay.
  case foreignDatabase(path: String)
  /// What SQLite said, on which file.
  case database(path: String, code: Int32, detail: String)
  /// The store's thread has more to do than it may queue.
  case busy

  package var message: String {
    switch self {
    case .name(let error): error.message
    case .accountExists(let email): "account '\(email)' exists already: use 'causeway relay token create' for another token"
    case .noSuchAccount: "no such account: see 'causeway relay account list'"
    case .accountDisabled: "the account is disabled: ask the relay's owner"
    case .tokenLimit(let limit): "the account has \(limit) valid tokens, the limit: revoke one first"
    case .newerSchema(let path, let found, let known):
      "\(path) has schema \(found), this program knows \(known): install the causeway that wrote it, or a later one"
    case .foreignDatabase(let path): "\(path) is a database of another program: choose another folder with --data"
    case .database(let path, let code, let detail): "\(path): \(detail) (SQLite \(code))\(Self.advice(code))"
    case .busy: "the relay is busy: try again in a moment"
    }
  }

  private static func advice(_ code: Int32) -> String {
    switch code & 0xFF {  // the primary code
    case 5, 6: ": another process uses it, end that one"  // BUSY, LOCKED
    case 8: ": make the folder writable for this user"  // READONLY
    case 10: ": look at the disk (dmesg)"  // IOERR
    case 11, 26: ": restore it from a backup, or move it away to begin anew"  // CORRUPT, NOTADB
    case 13: ": free some space"  // FULL
    case 14: ": check the folder and its permissions"  // CANTOPEN
    default: ""
    }
  }
}
