import Glibc
import Testing

@testable import CausewayRelay

@Suite struct DataDirectoryTests {
  let folder = TemporaryFolder()

  @Test(
    "the standard place is the XDG state folder",
    arguments: [
      (["XDG_STATE_HOME": "/s", "HOME": "/h"], "/s/causeway/relay"), (["HOME": "/h"], "/h/.local/state/causeway/relay"),
      (["XDG_STATE_HOME": "relative", "HOME": "/h"], "/h/.local/state/causeway/relay"), (["XDG_STATE_HOME": "", "HOME": "h"], nil),
      ([:], nil),
    ] as [([String: String], String?)])
  func standard(_ environment: [String: String], _ expected: String?) throws {
    if let expected {
      #expect(try DataDirectory.standard { environment[$0] }.path == expected)
    } else {
      #expect(throws: DataDirectoryError.noHome) { try DataDirectory.standard { environment[$0] } }
    }
  }

  @Test("folder 0700, database and its companions 0600, whatever the umask and however deep")
  func modes() throws {
    let data = DataDirectory(path: folder.path + "/a/b/relay/")
    try data.prepare()
    let lock = try data.lock()
    let store = try data.openStore(lock)
    _ = try store.makeAccount("me@example.org")
    #expect(mode(folder.path + "/a") == 0o700)
    #expect(mode(data.path) == 0o700)
    for file in [data.databasePath, data.databasePath + "-wal", data.databasePath + "-shm", data.lockPath] {
      #expect(mode(file) == 0o600, "\(file)")
    }
    #expect(contents(of: data.lockPath) == [UInt8]("\(getpid())\n".utf8))
  }

  @Test("an empty folder, and a relay's that others can read, are closed to others; any other open folder is refused as it is")
  func closesToOthers() throws {
    let data = folder.data
    unsafe mkdir(data.path, 0o777)
    unsafe chmod(data.path, 0o777)
    try data.prepare()
    #expect(mode(data.path) == 0o700)

    write([1], to: data.path + "/something")
    unsafe chmod(data.path, 0o755)
    #expect(throws: DataDirectoryError.notPrivate(path: data.path, mode: 0o755)) { try data.prepare() }
    #expect(mode(data.path) == 0o755)

    write([], to: data.databasePath)
    try data.prepare()
    #expect(mode(data.path) == 0o700)

    unsafe chmod(data.path, 0o770)
    #expect(throws: DataDirectoryError.notPrivate(path: data.path, mode: 0o770)) { try data.prepare() }
  }

  @Test("a folder of another user is refused", .enabled(if: geteuid() == 0))
  func notOurs() throws {
    let data = folder.data
    try data.prepare()
    unsafe chown(data.path, 12345, 12345)
    #expect(throws: DataDirectoryError.notOurs(path: data.path)) { try data.prepare() }
  }

  @Test("a file in its place is refused in one line")
  func file() throws {
    let data = folder.data
    write([], to: data.path)
    #expect(throws: DataDirectoryError.system(path: data.path, message: "not a folder")) { try data.prepare() }
  }

  @Test("one at a time: the second hears who holds the lock, and gets it when the first lets go")
  func lock() throws {
    let data = folder.data
    try data.prepare()
    do {
      let first = try data.lock()
      #expect(throws: DataDirectoryError.locked(path: data.path, pid: getpid())) { _ = try data.lock() }
      _ = consume first
    }
    // A test beside this one may be between fork and exec with a copy of the descriptor: it lets go soon.
    _ = try data.lock(waitingMilliseconds: 2000)
  }
}
