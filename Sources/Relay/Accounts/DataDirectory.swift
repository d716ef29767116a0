internal import CLinux
internal import CausewayLinuxIO
internal import Glibc

// SAFETY of every call below that only takes a path: Swift hands over a NUL-terminated copy for the length of the call.

/// Why the relay's folder cannot be used: one line each.
package enum DataDirectoryError: Error, Equatable, Sendable {
  case noHome
  case system(path: String, message: String)
  case notOurs(path: String)
  case notPrivate(path: String, mode: UInt32)
  /// Another process holds the lock; its number when it wrote one.
  case locked(path: String, pid: Int32?)

  package var message: String {
    switch self {
    case .noHome: "neither XDG_STATE_HOME nor HOME names a folder: choose one with --data DIR"
    case .system(let path, let message): "cannot use \(path): \(message)"
    case .notOurs(let path): "data folder \(path) belongs to another user: run as that user, or choose another with --data DIR"
    case .notPrivate(let path, let mode):
      "data folder \(path) is open to other users (mode \(String(mode, radix: 8))): chmod 700 it, or choose another with --data DIR"
    case .locked(let path, let pid):
      "data folder \(path) is in use by \(pid.map { "process \($0)" } ?? "another process"): end it first, or choose another with --data DIR"
    }
  }
}

/// The relay's private folder (0700): `relay.db` (0600, SQLite with its -wal and -shm), `lock` (flock(2), holds the owner's process
/// number) and `admin.sock` (0600).
package struct DataDirectory: Sendable, Equatable {
  package let path: String
  package var databasePath: String { path + "/relay.db" }
  package var lockPath: String { path + "/lock" }
  package var socketPath: String { path + "/admin.sock" }

  /// Names it; nothing is touched.
  package init(path: String) { self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path }

  /// `$XDG_STATE_HOME/causeway/relay`, else `$HOME/.local/state/causeway/relay` (XDG Base Directory: relative paths are ignored).
  package static func standard(environment: (String) -> String?) throws(DataDirectoryError) -> DataDirectory {
    if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") { return DataDirectory(path: state + "/causeway/relay") }
    if let home = environment("HOME"), home.hasPrefix("/") { return DataDirectory(path: home + "/.local/state/causeway/relay") }
    throw .noHome
  }

  /// Makes what is missing (0700) and checks that nobody else can look in. A folder of ours that is only readable by others is closed
  /// when it is empty or holds a relay's database already; any other one is refused, since `--data /etc` must not lock out a system.
  package func prepare() throws(DataDirectoryError) {
    try makeFolders()
    var status = stat()
    // SAFETY: `status` outlives the call.
    if unsafe stat(path, &status) != 0 { throw failure() }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw .system(path: path, message: "not a folder") }
    guard status.st_uid == geteuid() else { throw .notOurs(path: path) }
    let mode = status.st_mode & 0o777
    if mode & 0o077 == 0 { return }
    let isWritableByOthers = mode & 0o022 != 0
    let isRelayFolder = unsafe access(databasePath, F_OK) == 0 && !isWritableByOthers
    guard isRelayFolder || isEmpty() else { throw .notPrivate(path: path, mode: mode) }
    if unsafe chmod(path, 0o700) != 0 { throw failure() }
  }

  /// Takes the lock, trying for so long: another command holds it for milliseconds, a relay for ever.
  package func lock(waitingMilliseconds limit: Int = 0) throws(DataDirectoryError) -> DataDirectoryLock {
    let opened = unsafe open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if opened < 0 { throw failure(lockPath) }
    let descriptor = FileDescriptor(adopting: opened)
    var waited = 0
    while flock(descriptor.rawValue, LOCK_EX | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      if errno != EWOULDBLOCK { throw failure(lockPath) }
      if waited >= limit { throw .locked(path: path, pid: Self.processNumber(in: descriptor.rawValue)) }
      usleep(10_000)
      waited += 10
    }
    _ = fchmod(descriptor.rawValue, 0o600)
    let number = [UInt8]("\(getpid())\n".utf8)
    _ = ftruncate(descriptor.rawValue, 0)
    // SAFETY: the array outlives the call. The number only serves messages: a failed write is no failure.
    unsafe number.withUnsafeBytes { unsafe _ = pwrite(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
    return DataDirectoryLock(descriptor)
  }

  /// Opens the database (0600) under a lock that the caller keeps as long as the store.
  package func openStore(_ lock: borrowing DataDirectoryLock) throws(StoreError) -> SQLiteStore {
    try makeDatabaseFile()
    return try SQLiteStore(path: databasePath)
  }

  /// Makes the file with its mode; SQLite gives -wal and -shm the same. Our descriptor must be closed before SQLite opens the file, and no
  /// other one opened while it has: closing any descriptor of a file drops all of the process's locks on it (fcntl(2)). Without its lock
  /// the next outside reader takes itself for the last one and removes the write-ahead log under the relay, with all that comes later.
  private func makeDatabaseFile() throws(StoreError) {
    let opened = unsafe open(databasePath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    if opened < 0 { throw .database(path: databasePath, code: Self.cannotOpen, detail: SystemError(errno, "open").message) }
    let changed = fchmod(opened, 0o600)
    let code = errno
    _ = Glibc.close(opened)
    if changed != 0 { throw .database(path: databasePath, code: Self.cannotOpen, detail: SystemError(code, "fchmod").message) }
  }

  private static let cannotOpen: Int32 = 14  // SQLITE_CANTOPEN

  private func makeFolders() throws(DataDirectoryError) {
    var missing: [String] = []
    var folder = path
    while unsafe access(folder, F_OK) != 0 && errno == ENOENT {
      missing.append(folder)
      guard let slash = folder.lastIndex(of: "/"), slash != folder.startIndex else { break }
      folder = String(folder[..<slash])
    }
    for folder in missing.reversed() {
      if unsafe mkdir(folder, 0o700) != 0 && errno != EEXIST { throw failure(folder) }
    }
  }

  private func isEmpty() -> Bool {
    // SAFETY: the stream is open until closedir; an entry is looked at before the next readdir.
    guard let stream = unsafe opendir(path) else { return false }
    defer { unsafe _ = closedir(stream) }
    var count = 0
    while unsafe readdir(stream) != nil { count += 1 }
    return count <= 2  // "." and ".."
  }

  private func failure(_ path: String? = nil) -> DataDirectoryError {
    .system(path: path ?? self.path, message: SystemError(errno, "").message)
  }

  private static func processNumber(in descriptor: CInt) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    // SAFETY: the array has 16 bytes.
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes.prefix(count).prefix { (0x30...0x39).contains($0) }, as: UTF8.self))
  }
}

/// Holds the folder's lock; the end of its life, or of the process, gives it back.
package struct DataDirectoryLock: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  fileprivate init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}
